import type { Logger } from 'pino'
import type { Children } from '../engine/children.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/** Does what servers that died left undone of executions that wait for others, and ends waits that are late. */
export function childrenDuty(parts: { store: Store; children: Children; log: Logger }): Duty {
  return {
    name: 'children',
    everySeconds: 1,
    async run() {
      for (const wait of await parts.store.findWaits(200)) {
        // One that fails every time must not keep the others waiting.
        await parts.children
          .look(wait)
          .catch((err) =>
            parts.log.warn(
              { err, execution_id: wait.execution_id },
              'a wait could not be looked after; trying again',
            ),
          )
      }
    },
  }
}

import { publish } from '../channels.ts'
import type { Engine } from '../engine/engine.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/** Executions that route through more steps than one turn takes, or whose server died in between. */
const STILL_SECONDS = 5

/** Moves executions on that have nothing in the queue and have not moved: it only looks, it never fails them. */
export function stalledDuty(parts: { store: Store; engine: Engine }): Duty {
  return {
    name: 'stalled',
    everySeconds: 5,
    async run() {
      const stalled = await parts.store.findStalled(STILL_SECONDS, 200)
      for (const executionId of stalled) await parts.engine.nudge(executionId)
      if (stalled.length > 0) publish('noetl:upkeep', { what: 'stalled', count: stalled.length })
    },
  }
}

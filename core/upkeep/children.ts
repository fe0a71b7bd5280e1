import type { Children } from '../engine/children.ts'
import type { Pools } from '../store/pools.ts'
import { findWaits } from '../store/waits.ts'
import type { Duty } from './upkeep.ts'

/** Does what servers that died left undone of executions that wait for others, and ends waits that are late. */
export function childrenDuty(parts: { pools: Pools; children: Children }): Duty {
  return {
    name: 'children',
    everySeconds: 1,
    async run() {
      for (const wait of await findWaits(parts.pools.relaxed, 200)) await parts.children.look(wait)
    },
  }
}

import { publish } from '../channels.ts'
import type { Pools } from '../store/pools.ts'
import { rescueExpired, type Waiting } from '../store/queue.ts'
import type { Duty } from './upkeep.ts'

/** Takes leases from workers that were not heard of in time, and announces their commands to others. */
export function rescueDuty(parts: {
  pools: Pools
  newId(): string
  announce(commands: Waiting[], again: boolean): void
}): Duty {
  return {
    name: 'rescue',
    everySeconds: 1,
    async run() {
      const rescued = await rescueExpired(parts.pools.relaxed, 500, parts.newId)
      if (rescued.length === 0) return
      parts.announce(rescued, true)
      publish('noetl:upkeep', { what: 'rescued', count: rescued.length })
    },
  }
}

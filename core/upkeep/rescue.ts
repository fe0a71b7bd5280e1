import { publish } from '../channels.ts'
import type { Waiting } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/** Takes leases from workers that were not heard of in time, and announces their commands to others. */
export function rescueDuty(parts: {
  store: Store
  newId(after: string): string
  announce(commands: Waiting[], again: boolean): void
}): Duty {
  return {
    name: 'rescue',
    everySeconds: 1,
    async run() {
      const rescued = await parts.store.rescueExpired(500, parts.newId)
      if (rescued.length === 0) return
      parts.announce(rescued, true)
      publish('noetl:upkeep', { what: 'rescued', count: rescued.length })
      publish('noetl:rescued', { commands: rescued })
    },
  }
}

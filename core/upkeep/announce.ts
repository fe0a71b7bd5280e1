import { publish } from '../channels.ts'
import type { Waiting } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/** Announces again what no one claimed: its notification may have been lost. */
export function announceDuty(parts: {
  store: Store
  afterSeconds: number
  announce(commands: Waiting[], again: boolean): void
}): Duty {
  return {
    name: 'announce',
    everySeconds: Math.min(1, parts.afterSeconds),
    async run() {
      const unclaimed = await parts.store.takeUnclaimed({
        afterSeconds: parts.afterSeconds,
        limit: 1000,
      })
      if (unclaimed.length === 0) return
      parts.announce(unclaimed, true)
      publish('noetl:upkeep', { what: 'announced', count: unclaimed.length })
    },
  }
}

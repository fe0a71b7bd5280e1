import { publish } from '../channels.ts'
import type { Pools } from '../store/pools.ts'
import { takeUnclaimed, type Waiting } from '../store/queue.ts'
import type { Duty } from './upkeep.ts'

/** Announces again what no one claimed: its notification may have been lost. */
export function announceDuty(parts: {
  pools: Pools
  afterSeconds: number
  announce(commands: Waiting[], again: boolean): void
}): Duty {
  return {
    name: 'announce',
    everySeconds: Math.min(1, parts.afterSeconds),
    async run() {
      const unclaimed = await takeUnclaimed(parts.pools.relaxed, {
        afterSeconds: parts.afterSeconds,
        limit: 1000,
      })
      if (unclaimed.length === 0) return
      parts.announce(unclaimed, true)
      publish('noetl:upkeep', { what: 'announced', count: unclaimed.length })
    },
  }
}

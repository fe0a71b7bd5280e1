import type { Logger } from 'pino'
import { ensurePartitions, retire } from '../store/partitions.ts'
import type { Pools } from '../store/pools.ts'
import type { Duty } from './upkeep.ts'

const DAY_MS = 86_400_000

/** Makes partitions of events ahead, and takes away what is older than it is to be kept. */
export function retentionDuty(parts: {
  pools: Pools
  log: Logger
  /** 0: everything is kept. */
  days: number
  everySeconds?: number
  now?: () => number
}): Duty {
  const { pools, log, days, now = Date.now } = parts
  return {
    name: 'retention',
    everySeconds: parts.everySeconds ?? 60,
    async run() {
      const made = await ensurePartitions(pools.durable, now())
      if (made.length > 0) log.info({ partitions: made }, 'partitions of events were made')
      if (days === 0) return
      for (;;) {
        const { partitions, executions } = await retire(pools.durable, now() - days * DAY_MS)
        if (partitions.length > 0) log.info({ partitions }, 'partitions of events were dropped')
        if (executions === 0) return
      }
    },
  }
}

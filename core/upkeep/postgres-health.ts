import type { Logger } from 'pino'
import { type Concern, MEASURE_SECONDS, type PostgresMonitor } from '../store/postgres-monitor.ts'
import type { Duty } from './upkeep.ts'

/** Measures every minute; says what has become a concern, and what is none any more. */
export function postgresHealthDuty(parts: {
  postgres: PostgresMonitor
  log: Logger
  everySeconds?: number
}): Duty {
  const { postgres, log } = parts
  let known = new Map<string, Concern>()
  return {
    name: 'postgres-health',
    everySeconds: parts.everySeconds ?? MEASURE_SECONDS,
    async run() {
      const { concerns } = await postgres.measure()
      const found = new Map(concerns.map((concern) => [`${concern.about} ${concern.of}`, concern]))
      for (const [key, { about, of, message }] of found) {
        if (!known.has(key)) log.warn({ about, of }, message)
      }
      for (const [key, { about, of }] of known) {
        if (!found.has(key)) log.info({ about, of }, 'what was told of Postgres before is over')
      }
      known = found
    },
  }
}

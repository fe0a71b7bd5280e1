import type pg from 'pg'
import { type Pin, type PostgresHealth, readPostgresHealth } from './postgres-health.ts'

export interface Concern {
  about: 'transaction' | 'dead rows' | 'queue'
  /** Tells concerns of one kind apart. */
  of: string
  message: string
}

/** What was measured last, and what in it is not as it should be. */
export interface PostgresMonitor {
  /** The last measurement, or a new one when that is too old. */
  health(): Promise<PostgresHealth & { warnings: string[] }>
  measure(): Promise<PostgresHealth & { concerns: Concern[] }>
}

/** A transaction open for longer keeps the rows of the queue that have died since. In seconds. */
const MAX_PIN_SECONDS = 600
/** A slot has no time; it pins by the number of transactions since. */
const MAX_PIN_AGE = 1_000_000
/** Dead rows of a table that are many, if they are more than those that live, too. */
const MAX_DEAD_ROWS = 50_000
/** Commands that nobody claims for so long have no worker, or too few. In seconds. */
const MAX_READY_SECONDS = 300
/** What was measured is good for so long. In seconds. */
export const MEASURE_SECONDS = 60

export function makePostgresMonitor(pool: pg.Pool): PostgresMonitor {
  let last: { at: number; measured: Promise<PostgresHealth & { concerns: Concern[] }> } | undefined
  function measure() {
    const measured = readPostgresHealth(pool).then((health) => ({ ...health, concerns: concernsOf(health) }))
    const one = { at: Date.now(), measured }
    last = one
    measured.catch(() => {
      if (last === one) last = undefined
    })
    return measured
  }
  return {
    measure,
    async health() {
      const { concerns, ...health } = await (last !== undefined &&
      Date.now() - last.at < 1000 * MEASURE_SECONDS
        ? last.measured
        : measure())
      return { ...health, warnings: concerns.map(({ message }) => message) }
    },
  }
}

export function concernsOf({ pins, tables, queue }: PostgresHealth): Concern[] {
  const concerns: Concern[] = []
  for (const pin of pins.filter(isOld)) {
    concerns.push({
      about: 'transaction',
      of: `${pin.kind} ${pin.pid ?? pin.name}`,
      message: `${named(pin)} keeps rows that have died since from being cleared away: ${cure(pin)}`,
    })
  }
  for (const { name, live, dead } of tables) {
    if (dead < MAX_DEAD_ROWS || dead < live) continue
    const message = `noetl.${name} has ${dead} dead rows beside ${live} that live: see that autovacuum runs, and what pins old rows`
    concerns.push({ about: 'dead rows', of: name, message })
  }
  for (const { lane, pool, ready, running, oldest_ready_seconds: seconds } of queue) {
    if (seconds < MAX_READY_SECONDS) continue
    const place = pool === '' ? `lane ${lane}` : `lane ${lane}, pool ${pool}`
    const message = `${ready} commands of ${place} wait, the oldest for ${Math.round(seconds)} s, while ${running} run: start workers for it, or more of them`
    concerns.push({ about: 'queue', of: place, message })
  }
  return concerns
}

function isOld({ seconds, xmin_age }: Pin): boolean {
  return xmin_age >= MAX_PIN_AGE || (seconds !== null && seconds >= MAX_PIN_SECONDS)
}

function named({ kind, pid, name, state, seconds, xmin_age }: Pin): string {
  const since = seconds === null ? '' : `${Math.round(seconds)} s and `
  const what =
    kind === 'session'
      ? `Session ${pid} of "${name}" (${state ?? 'its state is hidden from this user'})`
      : kind === 'slot'
        ? `Replication slot "${name}" (${state})`
        : `Prepared transaction "${name}"`
  return `${what}, ${since}${xmin_age} transactions old,`
}

function cure({ kind, pid, name }: Pin): string {
  switch (kind) {
    case 'session':
      return `end it, or SELECT pg_terminate_backend(${pid})`
    case 'slot':
      return `have its reader catch up, or SELECT pg_drop_replication_slot('${name}')`
    case 'prepared':
      return `COMMIT PREPARED '${name}' or ROLLBACK PREPARED '${name}'`
  }
}

import type pg from 'pg'
import { idAt, idTime } from './ids.ts'

/** Days of events in one partition. Ids are ordered by time, so a partition of ids is one of time. */
export const PARTITION_DAYS = 7
/** Partitions made ahead, the current one included. */
const AHEAD = 3
const DAY_MS = 86_400_000
const PERIOD_MS = PARTITION_DAYS * DAY_MS

/** A partition of `noetl.event`: ids from `from`, below `to`. */
export interface Partition {
  name: string
  from: string
  to: string
}

/** The period that holds a time, and those after it. */
export function partitionsFrom(nowMs: number, count = AHEAD): Partition[] {
  const first = Math.floor(nowMs / PERIOD_MS) * PERIOD_MS
  return Array.from({ length: count }, (_, i) => {
    const start = first + i * PERIOD_MS
    const name = `event_${new Date(start).toISOString().slice(0, 10).replaceAll('-', '')}`
    return { name, from: idAt(start), to: idAt(start + PERIOD_MS) }
  })
}

/**
 * Makes the partitions of now and of the time to come, so that the default one stays empty and retention drops
 * whole tables. One for which the default partition holds rows already is left out. Returns the names of those made.
 */
export async function ensurePartitions(db: pg.Client | pg.Pool, nowMs: number): Promise<string[]> {
  const made: string[] = []
  const there = new Set((await listPartitions(db)).map(({ name }) => name))
  for (const { name, from, to } of partitionsFrom(nowMs)) {
    if (there.has(name)) continue
    try {
      // Names and bounds are made above, of digits; DDL takes no parameters.
      await db.query(
        `CREATE TABLE noetl.${name} PARTITION OF noetl.event FOR VALUES FROM (${from}) TO (${to})`,
      )
      made.push(name)
    } catch (error) {
      const { code } = error as { code?: string }
      // Another server was faster, or rows of this time are in the default partition.
      if (code !== '42P07' && code !== '23514' && code !== '42P17') throw error
    }
  }
  return made
}

/** All but the default one, the oldest first. */
export async function listPartitions(db: pg.Client | pg.Pool): Promise<Partition[]> {
  const { rows } = await db.query<{ name: string; bound: string }>(
    `SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'noetl.event'::regclass`,
  )
  return rows
    .flatMap(({ name, bound }) => {
      const [, from, to] = /FROM \('?(\d+)'?\) TO \('?(\d+)'?\)/.exec(bound) ?? []
      return from === undefined || to === undefined ? [] : [{ name, from, to }]
    })
    .sort((a, b) => (BigInt(a.from) < BigInt(b.from) ? -1 : 1))
}

/** What retention took away. */
export interface Retired {
  partitions: string[]
  executions: number
}

/** Executions taken away in one transaction. */
const BATCH = 1000

/**
 * Takes away what ended before a time: executions with all that is theirs, and then partitions of which nothing
 * can be needed any more, because no execution that began before their end still runs.
 */
export async function retire(pool: pg.Pool, beforeMs: number): Promise<Retired> {
  const { rows } = await pool.query<{ count: number }>({
    name: 'retire-executions',
    text: `WITH old AS MATERIALIZED (
             SELECT execution_id FROM noetl.execution
             WHERE status <> 'RUNNING' AND finished_at < $1 ORDER BY execution_id LIMIT $2
           ), r AS (DELETE FROM noetl.result t USING old WHERE t.execution_id = old.execution_id
           ), k AS (DELETE FROM noetl.event_key t USING old WHERE t.execution_id = old.execution_id
           ), a AS (DELETE FROM noetl.vars_access t USING old WHERE t.execution_id = old.execution_id
           ), h AS (DELETE FROM noetl.keychain t USING old
                    WHERE t.scope_type = 'local' AND t.execution_id = old.execution_id
           ), d AS (DELETE FROM noetl.dead_letter t USING old WHERE t.execution_id = old.execution_id
           ), v AS (DELETE FROM noetl.event_default t USING old WHERE t.execution_id = old.execution_id
           ), e AS (
             DELETE FROM noetl.execution t USING old WHERE t.execution_id = old.execution_id RETURNING 1)
           SELECT count(*)::int AS count FROM e`,
    values: [new Date(beforeMs), BATCH],
  })
  const executions = rows[0]!.count
  const partitions: string[] = []
  for (const { name, to } of await listPartitions(pool)) {
    if (idTime(to) > beforeMs || (await isNeeded(pool, to))) break
    await pool.query(`DROP TABLE noetl.${name}`)
    partitions.push(name)
  }
  return { partitions, executions }
}

/** An execution's events come after it: those that began after a partition's end have none in it. */
async function isNeeded(pool: pg.Pool, to: string): Promise<boolean> {
  const { rowCount } = await pool.query('SELECT 1 FROM noetl.execution WHERE execution_id < $1 LIMIT 1', [to])
  return (rowCount ?? 0) > 0
}

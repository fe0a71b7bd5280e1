import type pg from 'pg'
import { byId, type Tables } from './tables.ts'

/** All rows of the tables that the store changes, in one form for both: times in whole milliseconds. */
export type Dump = Record<string, unknown[]>

export function dumpMemory(tables: Tables): Dump {
  const all = tables.all()
  return {
    execution: all.map(({ row }) => row),
    queue: tables.queueRows().map((row) => ({ ...row })),
    event: all.flatMap(({ events }) =>
      [...events]
        .sort((a, b) => byId(a.event_id, b.event_id))
        .map(({ created_at, ...event }) => ({ ...NOTHING, ...event, created_at: Date.parse(created_at) })),
    ),
    result: all.flatMap(({ row, results }) =>
      [...results.values()]
        .sort((a, b) => byId(a.result_id, b.result_id))
        .map((result) => ({ execution_id: row.execution_id, ...result })),
    ),
    wait: all.flatMap(({ waits }) =>
      [...waits.values()].sort((a, b) => byId(a.child_execution_id, b.child_execution_id)),
    ),
    dead_letter: all.flatMap(({ letters }) =>
      [...letters.values()]
        .sort((a, b) => byId(a.letter_id, b.letter_id))
        .map((letter) => ({
          ...letter,
          created_at: letter.created_at.getTime(),
          settled_at: letter.settled_at?.getTime() ?? null,
        })),
    ),
  }
}

const NOTHING = {
  node_id: null,
  node_name: null,
  node_type: null,
  status: null,
  duration: null,
  current_index: null,
  worker_id: null,
  context: null,
  result: null,
  meta: null,
  error: null,
}

const ms = (column: string) => `round(extract(epoch FROM ${column}) * 1000)::float8 AS ${column}`

const QUERIES: Record<string, string> = {
  execution: `SELECT execution_id, catalog_id, path, version, parent_execution_id, status, revision, state, error,
      ${['created_at', 'updated_at', 'finished_at'].map(ms)} FROM noetl.execution ORDER BY execution_id`,
  queue: `SELECT execution_id, queue_id, node_id, node_name, tool_kind, lane, pool, status, attempt, max_attempts, effect,
      announcements, worker_id, lease_token, ${['lease_until', 'claimed_at', 'available_at', 'announced_at'].map(ms)}
    FROM noetl.queue ORDER BY execution_id, queue_id`,
  event: `SELECT execution_id, event_id, event_type, ${ms('created_at')}, ${Object.keys(NOTHING)}
    FROM noetl.event ORDER BY execution_id, event_id`,
  result: `SELECT execution_id, result_id, name, store, bytes, data FROM noetl.result ORDER BY execution_id, result_id`,
  wait: `SELECT execution_id, child_execution_id, event_id, ${['deadline', 'created_at'].map(ms)} FROM noetl.wait
    ORDER BY execution_id, child_execution_id`,
  dead_letter: `SELECT execution_id, letter_id, queue_id, catalog_id, path, step, tool_kind, reason, error, fingerprint,
      attempts, worker_id, trace_id, status, ${['created_at', 'settled_at'].map(ms)}
    FROM noetl.dead_letter ORDER BY execution_id, letter_id`,
}

export async function dumpPostgres(pool: pg.Pool): Promise<Dump> {
  const dump: Dump = {}
  for (const [table, query] of Object.entries(QUERIES)) {
    const { rows } = await pool.query(query)
    dump[table] = rows.map((row) => (table === 'result' ? { ...row, bytes: Number(row.bytes) } : row))
  }
  return dump
}

/** Lets a test set the time of a database: what calls `now()` by its plain name, with `CLOCKED`, gets this one's. */
export async function makeClock(pool: pg.Pool): Promise<(ms: number) => Promise<void>> {
  await pool.query('CREATE SCHEMA clock')
  await pool.query('CREATE TABLE clock.time AS SELECT 0::float8 AS ms')
  await pool.query(`CREATE FUNCTION clock.now() RETURNS timestamptz STABLE LANGUAGE sql
    AS $$ SELECT to_timestamp(ms / 1000) FROM clock.time $$`)
  const { rows } = await pool.query<{ table: string; column: string }>(
    `SELECT d.adrelid::regclass AS table, a.attname AS column FROM pg_attrdef d
     JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
     WHERE pg_get_expr(d.adbin, d.adrelid) IN ('now()', 'pg_catalog.now()')`,
  )
  for (const { table, column } of rows) {
    await pool.query(`ALTER TABLE ${table} ALTER COLUMN ${column} SET DEFAULT clock.now()`)
  }
  return async (now) => {
    await pool.query('UPDATE clock.time SET ms = $1', [now])
  }
}

/** Options of connections that live by that clock. */
export const CLOCKED = '-c search_path=clock,pg_catalog'

export async function emptyTables(pool: pg.Pool): Promise<void> {
  await pool.query(`TRUNCATE ${Object.keys(QUERIES).map((table) => `noetl.${table}`)}`)
}

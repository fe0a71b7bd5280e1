import type pg from 'pg'
import type { CallError } from '../schemas/command.ts'
import type { State, Status } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'

export interface ExecutionRow {
  execution_id: string
  catalog_id: string
  path: string
  version: number
  parent_execution_id: string | null
  status: Status
  revision: number
  error: CallError | null
  created_at: Date
  updated_at: Date
  finished_at: Date | null
}

const COLUMNS = `e.execution_id, e.catalog_id, e.path, e.version, e.parent_execution_id, e.status, e.revision,
  e.error, e.created_at, e.updated_at, e.finished_at`

/** The execution with its routing state, or nothing. */
export async function loadExecution(
  pool: pg.Pool,
  executionId: string,
): Promise<(ExecutionRow & { state: State }) | undefined> {
  const { rows } = await pool.query({
    name: 'load-execution',
    text: `SELECT ${COLUMNS}, e.state FROM noetl.execution e WHERE e.execution_id = $1`,
    values: [executionId],
  })
  return rows[0]
}

export interface ExecutionFilter {
  path?: string
  catalogId?: string
  status?: Status
  parentId?: string
  limit: number
  offset: number
}

/** Newest first. */
export async function listExecutions(pool: pg.Pool, filter: ExecutionFilter): Promise<ExecutionRow[]> {
  const where: string[] = []
  const values: unknown[] = []
  const add = (sql: string, value: unknown) => {
    if (value === undefined) return
    values.push(value)
    where.push(sql.replace('?', `$${values.length}`))
  }
  add('e.path = ?', filter.path)
  add('e.catalog_id = ?', filter.catalogId)
  add('e.status = ?', filter.status)
  add('e.parent_execution_id = ?', filter.parentId)
  values.push(filter.limit, filter.offset)
  const { rows } = await pool.query<ExecutionRow>(
    `SELECT ${COLUMNS} FROM noetl.execution e ${where.length > 0 ? `WHERE ${where.join(' AND ')}` : ''}
     ORDER BY e.execution_id DESC LIMIT $${values.length - 1} OFFSET $${values.length}`,
    values,
  )
  return rows
}

/** Results in a list are shown up to this many characters, events are counted up to this many. */
const LISTED_RESULT = 4096
export const LISTED_EVENTS = 10_000

/** What a list shows beside the rows: results that are small, and how many events there are. */
export async function loadListFacts(
  pool: pg.Pool,
  executionIds: string[],
): Promise<Map<string, { result: Json; eventCount: number }>> {
  const { rows } = await pool.query<{ id: string; result: Json; event_count: number }>({
    name: 'list-facts',
    text: `SELECT x.id, r.result, c.event_count
           FROM unnest($1::bigint[]) AS x(id)
           CROSS JOIN LATERAL (
             SELECT count(*)::int AS event_count FROM (
               SELECT 1 FROM noetl.event WHERE execution_id = x.id LIMIT $2) v) c
           LEFT JOIN LATERAL (
             SELECT CASE WHEN length(result::text) <= $3 THEN result END AS result FROM noetl.event
             WHERE execution_id = x.id AND event_type IN ('call.done', 'call.error', 'loop.done')
               AND current_index IS NULL
             ORDER BY (node_name = 'end') DESC, event_id DESC LIMIT 1) r ON true`,
    values: [executionIds, LISTED_EVENTS, LISTED_RESULT],
  })
  return new Map(rows.map((row) => [row.id, { result: row.result, eventCount: row.event_count }]))
}

/** Running executions that one has started, and those that these have, and so on. */
export async function findRunningBelow(pool: pg.Pool, executionId: string, limit: number): Promise<string[]> {
  const { rows } = await pool.query<{ execution_id: string }>({
    name: 'find-running-below',
    text: `WITH RECURSIVE below AS (
             SELECT execution_id, status, 1 AS depth FROM noetl.execution WHERE parent_execution_id = $1
             UNION ALL
             SELECT e.execution_id, e.status, b.depth + 1
             FROM below b JOIN noetl.execution e ON e.parent_execution_id = b.execution_id
             WHERE b.depth < 100)
           SELECT DISTINCT execution_id FROM below WHERE status = 'RUNNING' AND execution_id <> $1 LIMIT $2`,
    values: [executionId, limit],
  })
  return rows.map((row) => row.execution_id)
}

/** The topmost of the executions that led to one; itself when no other started it. */
export async function findTop(pool: pg.Pool, executionId: string): Promise<string | undefined> {
  const { rows } = await pool.query<{ execution_id: string }>({
    name: 'find-top',
    text: `WITH RECURSIVE above AS (
             SELECT execution_id, parent_execution_id, 1 AS depth FROM noetl.execution WHERE execution_id = $1
             UNION ALL
             SELECT e.execution_id, e.parent_execution_id, a.depth + 1
             FROM above a JOIN noetl.execution e ON e.execution_id = a.parent_execution_id
             WHERE a.depth < 100)
           SELECT execution_id FROM above ORDER BY depth DESC LIMIT 1`,
    values: [executionId],
  })
  return rows[0]?.execution_id
}

/** Executions that began so long ago and still run, oldest first. */
export async function findOld(pool: pg.Pool, minutes: number, limit: number): Promise<string[]> {
  const { rows } = await pool.query<{ execution_id: string }>({
    name: 'find-old',
    text: `SELECT execution_id FROM noetl.execution
           WHERE status = 'RUNNING' AND created_at < now() - $1 * interval '1 minute'
           ORDER BY execution_id LIMIT $2`,
    values: [minutes, limit],
  })
  return rows.map((row) => row.execution_id)
}

/** What a client sees of an execution beside its row: workload, result, steps. */
export async function loadExecutionFacts(
  pool: pg.Pool,
  executionId: string,
): Promise<{
  workload: JsonObject
  result: Json
  completed: string[]
  failed: string[]
  running: string[]
  eventCount: number
}> {
  const { rows } = await pool.query({
    name: 'execution-facts',
    text: `SELECT
        (SELECT context->'workload' FROM noetl.event WHERE execution_id = $1 AND event_id = $1) AS workload,
        (SELECT coalesce(jsonb_build_array(result)->0, 'null') FROM noetl.event
          WHERE execution_id = $1 AND event_type IN ('call.done', 'call.error', 'loop.done')
            AND current_index IS NULL
          ORDER BY (node_name = 'end') DESC, event_id DESC LIMIT 1) AS result,
        (SELECT coalesce(array_agg(node_name ORDER BY at), '{}') FROM (
           SELECT node_name, min(event_id) AS at FROM noetl.event
           WHERE execution_id = $1 AND event_type = 'step.exit' AND status = 'ok' GROUP BY node_name) s) AS completed,
        (SELECT coalesce(array_agg(DISTINCT node_name), '{}') FROM noetl.event
           WHERE execution_id = $1 AND event_type = 'step.exit' AND status = 'error') AS failed,
        (SELECT coalesce(array_agg(DISTINCT node_name), '{}') FROM noetl.queue WHERE execution_id = $1) AS running,
        (SELECT count(*)::int FROM noetl.event WHERE execution_id = $1) AS event_count`,
    values: [executionId],
  })
  const row = rows[0]
  return {
    workload: row.workload ?? {},
    result: row.result ?? null,
    completed: row.completed,
    failed: row.failed,
    running: row.running,
    eventCount: row.event_count,
  }
}

/** Running executions with nothing in the queue that have not moved for a while: their next step was lost. */
export async function findStalled(pool: pg.Pool, seconds: number, limit: number): Promise<string[]> {
  const { rows } = await pool.query<{ execution_id: string }>({
    name: 'find-stalled',
    text: `SELECT e.execution_id FROM noetl.execution e
           WHERE e.status = 'RUNNING' AND e.updated_at < now() - $1 * interval '1 second'
             AND NOT EXISTS (SELECT 1 FROM noetl.queue q WHERE q.execution_id = e.execution_id)
             AND NOT EXISTS (SELECT 1 FROM noetl.wait w WHERE w.execution_id = e.execution_id)
           LIMIT $2`,
    values: [seconds, limit],
  })
  return rows.map((row) => row.execution_id)
}

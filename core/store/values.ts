import type pg from 'pg'
import type { Json, JsonObject } from '../schemas/json.ts'

/** A step's result and the event that holds it. */
export interface StoredResult {
  event_id: string
  step: string
  result: Json
  /** `result` is a stub; the whole is stored aside. */
  aside: boolean
}

/** The newest result of each step that was recorded before `before` (absent: of all). */
export async function loadResults(
  pool: pg.Pool,
  executionId: string,
  steps: string[],
  before?: string,
): Promise<StoredResult[]> {
  const { rows } = await pool.query({
    name: 'load-results',
    text: `SELECT r.event_id, s.step, r.result, r.aside
           FROM unnest($2::text[]) AS s(step)
           CROSS JOIN LATERAL (
             SELECT event_id, result, coalesce(meta ? 'stored', false) AS aside FROM noetl.event
             WHERE execution_id = $1 AND node_name = s.step AND event_id >= $1 AND event_id < $3
               AND event_type IN ('call.done', 'call.error', 'loop.done') AND current_index IS NULL
             ORDER BY event_id DESC LIMIT 1) r`,
    values: [executionId, steps, before ?? '9223372036854775807'],
  })
  return rows
}

/** Events by id: results, and the contexts that hold large values of `ctx` and the items of loops. */
export async function loadEvents(
  pool: pg.Pool,
  executionId: string,
  eventIds: string[],
): Promise<{ event_id: string; context: JsonObject | null; result: Json; aside: boolean }[]> {
  const { rows } = await pool.query({
    name: 'load-events',
    text: `SELECT event_id, context, result, coalesce(meta ? 'stored', false) AS aside FROM noetl.event
           WHERE execution_id = $1 AND event_id = ANY($2::bigint[])`,
    values: [executionId, eventIds],
  })
  return rows
}

/** What the iterations of a loop came to, in their order, each whole. */
export async function loadIterations(
  pool: pg.Pool,
  executionId: string,
  runId: string,
): Promise<{ index: number; ok: boolean; result: Json }[]> {
  const { rows } = await pool.query({
    name: 'load-iterations',
    text: `SELECT v.current_index AS index, v.event_type = 'call.done' AS ok,
                  coalesce(r.data, v.result::json) AS result
           FROM noetl.event v
           LEFT JOIN noetl.result r
             ON v.meta ? 'stored' AND r.execution_id = v.execution_id AND r.result_id = v.event_id
           WHERE v.execution_id = $1 AND v.event_id >= $2 AND v.node_id = $2
             AND v.event_type IN ('call.done', 'call.error') AND v.current_index IS NOT NULL
             AND NOT coalesce(v.meta ? 'parked', false)
           ORDER BY v.current_index`,
    values: [executionId, runId],
  })
  return rows
}

import type pg from 'pg'
import type { Json, JsonObject } from '../schemas/json.ts'

/** A step's result and the event that holds it. */
export interface StoredResult {
  event_id: string
  step: string
  result: Json
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
    text: `SELECT r.event_id, s.step, r.result
           FROM unnest($2::text[]) AS s(step)
           CROSS JOIN LATERAL (
             SELECT event_id, result FROM noetl.event
             WHERE execution_id = $1 AND node_name = s.step AND event_id < $3
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
): Promise<{ event_id: string; context: JsonObject | null; result: Json }[]> {
  const { rows } = await pool.query({
    name: 'load-events',
    text: `SELECT event_id, context, result FROM noetl.event
           WHERE execution_id = $1 AND event_id = ANY($2::bigint[])`,
    values: [executionId, eventIds],
  })
  return rows
}

/** What the iterations of a loop came to, in their order. */
export async function loadIterations(
  pool: pg.Pool,
  executionId: string,
  runId: string,
): Promise<{ index: number; ok: boolean; result: Json }[]> {
  const { rows } = await pool.query({
    name: 'load-iterations',
    text: `SELECT current_index AS index, event_type = 'call.done' AS ok, result FROM noetl.event
           WHERE execution_id = $1 AND node_id = $2
             AND event_type IN ('call.done', 'call.error') AND current_index IS NOT NULL
           ORDER BY current_index`,
    values: [executionId, runId],
  })
  return rows
}

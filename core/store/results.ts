import type pg from 'pg'
import type { Json, JsonObject } from '../schemas/json.ts'
import { loadIterations } from './values.ts'

/** A result that is stored aside: see `Externalised` in the engine. */
export interface NewResult {
  /** Id of the event whose result it is. */
  result_id: string
  /** The step. */
  name: string
  store: 'kv' | 'disk' | 'db'
  bytes: number
  data: Json
}

/**
 * The whole of a result whose event holds a stub: the value stored aside, or for a loop what its iterations
 * left, put together. Undefined when there is none.
 */
export async function loadWhole(
  pool: pg.Pool,
  executionId: string,
  resultId: string,
): Promise<Json | undefined> {
  const { rows } = await pool.query<{
    data: Json
    run: string | null
    stats: JsonObject | null
    frames: boolean
  }>({
    name: 'load-whole',
    text: `SELECT r.data, NULL::bigint AS run, NULL::jsonb AS stats, false AS frames FROM noetl.result r
           WHERE r.execution_id = $1 AND r.result_id = $2
           UNION ALL
           SELECT NULL, v.node_id, v.result->'stats', coalesce(v.meta ? 'frames', false) FROM noetl.event v
           WHERE v.execution_id = $1 AND v.event_id = $2 AND v.event_type = 'loop.done'`,
    values: [executionId, resultId],
  })
  const [row] = rows
  if (row === undefined) return undefined
  if (row.run === null) return row.data
  return loopResult(await loadIterations(pool, executionId, row.run), row.stats ?? {}, row.frames)
}

/** The result of a loop, from those of its iterations in their order; of frames, each holds those of its rows. */
export function loopResult(iterations: { result: Json }[], stats: JsonObject, frames: boolean): JsonObject {
  const results = iterations.flatMap(({ result }) => (frames ? ((result ?? []) as Json[]) : [result]))
  return { results, data: results, stats }
}

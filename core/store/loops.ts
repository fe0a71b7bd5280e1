import type pg from 'pg'
import type { Json } from '../schemas/json.ts'

/** The newest run of a loop. */
export interface LoopRow {
  loop_id: string
  total: number | null
  done: boolean
}

export async function findLoop(
  pool: pg.Pool,
  executionId: string,
  step: string,
): Promise<LoopRow | undefined> {
  const { rows } = await pool.query<LoopRow>({
    name: 'find-loop',
    text: `SELECT v.node_id AS loop_id, (v.meta->>'total')::int AS total,
                  EXISTS (SELECT 1 FROM noetl.event d WHERE d.execution_id = $1 AND d.node_name = $2
                    AND d.event_type = 'loop.done' AND d.current_index IS NULL AND d.node_id = v.node_id) AS done
           FROM noetl.event v
           WHERE v.execution_id = $1 AND v.node_name = $2 AND v.event_type = 'loop.started'
           ORDER BY v.event_id DESC LIMIT 1`,
    values: [executionId, step],
  })
  return rows[0]
}

/** One iteration of a loop that has ended. */
export interface IterationRow {
  index: number
  ok: boolean
  result: Json
  error: Json
}

/** What the iterations of a loop came to, in their order, each whole. */
export async function listIterations(
  pool: pg.Pool,
  executionId: string,
  loopId: string,
  page: { limit: number; offset: number },
): Promise<IterationRow[]> {
  const { rows } = await pool.query<IterationRow>({
    name: 'list-iterations',
    text: `SELECT v.current_index AS index, v.event_type = 'call.done' AS ok,
                  coalesce(r.data, v.result::json) AS result, v.error
           FROM noetl.event v
           LEFT JOIN noetl.result r
             ON v.meta ? 'stored' AND r.execution_id = v.execution_id AND r.result_id = v.event_id
           WHERE v.execution_id = $1 AND v.node_id = $2
             AND v.event_type IN ('call.done', 'call.error') AND v.current_index IS NOT NULL
           ORDER BY v.current_index LIMIT $3 OFFSET $4`,
    values: [executionId, loopId, page.limit, page.offset],
  })
  return rows
}

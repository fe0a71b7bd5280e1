import type pg from 'pg'
import type { Status } from '../schemas/execution.ts'

/** An execution that waits for another, and what is left undone of it. */
export interface Wait {
  execution_id: string
  child_execution_id: string
  event_id: string
  /** Of the child; null: it was never started. */
  status: Status | null
  path: string | null
  /** The time for it is up. */
  late: boolean
}

/** How long a child that was not started is left to the server that is about to do so. In seconds. */
const PATIENCE_SECONDS = 5

/** Waits that are over, late, or whose child was never started. */
export async function findWaits(pool: pg.Pool, limit: number): Promise<Wait[]> {
  const { rows } = await pool.query<Wait>({
    name: 'find-waits',
    text: `SELECT w.execution_id, w.child_execution_id, w.event_id, c.status, c.path,
                  coalesce(w.deadline < now(), false) AS late
           FROM noetl.wait w
           LEFT JOIN noetl.execution c ON c.execution_id = w.child_execution_id
           WHERE (c.status <> 'RUNNING' AND c.finished_at < now() - interval '2 seconds')
              OR (c.status IS NULL AND w.created_at < now() - $2 * interval '1 second')
              OR w.deadline < now()
           LIMIT $1`,
    values: [limit, PATIENCE_SECONDS],
  })
  return rows
}

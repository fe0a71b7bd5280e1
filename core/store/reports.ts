import type pg from 'pg'
import { jsonText } from './json-text.ts'

/**
 * The event in which this very report was recorded before, if it was: same command, same attempt. Asked
 * only for reports whose command is no longer open.
 */
export async function wasRecorded(
  pool: pg.Pool,
  executionId: string,
  report: { command_id: string; attempt: number | null; worker_id: string | null },
): Promise<string | undefined> {
  const { rows } = await pool.query<{ event_id: string }>({
    name: 'was-recorded',
    text: `SELECT event_id FROM noetl.event
           WHERE execution_id = $1 AND event_id > $2 AND event_type IN ('call.done', 'call.error', 'call.waiting', 'call.retrying')
             AND meta->>'command_id' = $2::text
             AND ($3::int IS NULL OR (meta->>'attempt')::int = $3)
             AND ($4::text IS NULL OR worker_id = $4)
           LIMIT 1`,
    values: [executionId, report.command_id, report.attempt, report.worker_id],
  })
  return rows[0]?.event_id
}

/** Late reports kept of one command: enough to see who was late, and no way to fill the table. */
export const LATE_KEPT = 8

/**
 * Keeps a report that came too late, for those who ask what happened; it changes nothing. False when it was not kept:
 * the execution never issued such a command, or enough of them are there.
 */
export async function tellLate(
  pool: pg.Pool,
  event: {
    execution_id: string
    event_id: string
    node_name: string
    worker_id: string | null
    meta: { command_id: string; attempt: number | null; status: string }
  },
): Promise<boolean> {
  const { rowCount } = await pool.query({
    name: 'tell-late',
    text: `INSERT INTO noetl.event (execution_id, event_id, event_type, node_name, worker_id, meta)
           SELECT execution_id, $2, 'command.late', $3, $4, $5 FROM noetl.event
           WHERE execution_id = $1 AND event_id = $6 AND event_type = 'command.issued'
             AND (SELECT count(*) FROM (
                    SELECT FROM noetl.event WHERE execution_id = $1 AND event_id > $6 AND event_type = 'command.late'
                      AND meta->>'command_id' = $6::text LIMIT ${LATE_KEPT}) AS late) < ${LATE_KEPT}`,
    values: [
      event.execution_id,
      event.event_id,
      event.node_name,
      event.worker_id,
      jsonText(event.meta),
      event.meta.command_id,
    ],
  })
  return rowCount === 1
}

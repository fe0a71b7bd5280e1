import type pg from 'pg'
import type { JsonObject } from '../schemas/json.ts'
import { jsonText } from './json-text.ts'

export interface EventRow {
  event_id: string
  execution_id: string
  created_at: Date
  event_type: string
  node_id: string | null
  node_name: string | null
  node_type: string | null
  status: string | null
  duration: number | null
  current_index: number | null
  worker_id: string | null
  catalog_id: string | null
  parent_execution_id: string | null
  context: JsonObject | null
  result: unknown
  meta: JsonObject | null
  error: unknown
}

const COLUMNS = `event_id, execution_id, created_at, event_type, node_id, node_name, node_type, status, duration,
  current_index, worker_id, catalog_id, parent_execution_id, context, result, meta, error`

export interface EventFilter {
  type?: string
  /** Only events after this one. */
  since?: string
  limit: number
  offset: number
}

/** Events of one execution in their order. */
export async function listEvents(
  pool: pg.Pool,
  executionId: string,
  filter: EventFilter,
): Promise<EventRow[]> {
  const { rows } = await pool.query<EventRow>({
    name: 'list-events',
    text: `SELECT ${COLUMNS} FROM noetl.event
           WHERE execution_id = $1 AND event_id > $2 AND ($3::text IS NULL OR event_type = $3)
           ORDER BY event_id LIMIT $4 OFFSET $5`,
    values: [executionId, filter.since ?? '0', filter.type ?? null, filter.limit, filter.offset],
  })
  return rows
}

/** One event, by its id alone or with its execution's. */
export async function getEvent(
  pool: pg.Pool,
  eventId: string,
  executionId?: string,
): Promise<EventRow | undefined> {
  const { rows } = await pool.query<EventRow>(
    executionId === undefined
      ? {
          name: 'event-by-id',
          text: `SELECT ${COLUMNS} FROM noetl.event WHERE event_id = $1 LIMIT 1`,
          values: [eventId],
        }
      : {
          name: 'event-of-execution',
          text: `SELECT ${COLUMNS} FROM noetl.event WHERE execution_id = $2 AND event_id = $1`,
          values: [eventId, executionId],
        },
  )
  return rows[0]
}

export async function countEvents(
  pool: pg.Pool,
  executionId: string,
  filter: Pick<EventFilter, 'type' | 'since'>,
): Promise<number> {
  const { rows } = await pool.query<{ count: number }>({
    name: 'count-events',
    text: `SELECT count(*)::int AS count FROM noetl.event
           WHERE execution_id = $1 AND event_id > $2 AND ($3::text IS NULL OR event_type = $3)`,
    values: [executionId, filter.since ?? '0', filter.type ?? null],
  })
  return rows[0]!.count
}

/** Output of commands, in the order in which it came. */
export async function listLogs(
  pool: pg.Pool,
  executionId: string,
  { step, since, limit }: { step: string | null; since: string; limit: number },
): Promise<EventRow[]> {
  const { rows } = await pool.query<EventRow>({
    name: 'list-logs',
    text: `SELECT ${COLUMNS} FROM noetl.event
           WHERE execution_id = $1 AND event_id > $2 AND event_type = 'call.log'
             AND ($3::text IS NULL OR node_name = $3)
           ORDER BY event_id LIMIT $4`,
    values: [executionId, since, step, limit],
  })
  return rows
}

/**
 * Appends a fact that a client reports and that moves nothing, unless an event with the same key was
 * taken before or the execution has ended. Says which of these it was.
 */
export async function appendEvent(
  pool: pg.Pool,
  event: {
    execution_id: string
    event_id: string
    event_type: string
    node_name: string | null
    status: string | null
    worker_id: string | null
    context: JsonObject
    meta: JsonObject
    key: string | null
    /** False: only looks whether the execution would take it. */
    keep: boolean
  },
): Promise<{ found: boolean; running: boolean; status: string; event_id: string }> {
  const { rows } = await pool.query<{ found: boolean; running: boolean; status: string; event_id: string }>({
    name: 'append-event',
    text: `WITH e AS (
             SELECT execution_id, catalog_id, parent_execution_id, status FROM noetl.execution WHERE execution_id = $1
           ), keyed AS (
             INSERT INTO noetl.event_key (execution_id, key, event_id)
             SELECT execution_id, $9, $2 FROM e WHERE $9::text IS NOT NULL AND status = 'RUNNING' AND $10
             ON CONFLICT DO NOTHING RETURNING event_id
           ), told AS (
             INSERT INTO noetl.event (execution_id, event_id, event_type, node_name, status, worker_id, catalog_id,
               parent_execution_id, context, meta)
             SELECT execution_id, $2, $3, $4, $5, $6, catalog_id, parent_execution_id, $7, $8 FROM e
             WHERE status = 'RUNNING' AND $10 AND ($9::text IS NULL OR EXISTS (SELECT 1 FROM keyed))
             RETURNING event_id
           )
           SELECT EXISTS (SELECT 1 FROM e) AS found,
                  EXISTS (SELECT 1 FROM e WHERE status = 'RUNNING') AS running,
                  coalesce((SELECT status FROM e), '') AS status,
                  coalesce((SELECT event_id FROM told),
                    (SELECT event_id FROM noetl.event_key WHERE execution_id = $1 AND key = $9), $2) AS event_id`,
    values: [
      event.execution_id,
      event.event_id,
      event.event_type,
      event.node_name,
      event.status,
      event.worker_id,
      jsonText(event.context),
      jsonText(event.meta),
      event.key,
      event.keep,
    ],
  })
  return rows[0]!
}

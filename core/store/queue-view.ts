import type pg from 'pg'
import type { Waiting } from './queue.ts'

/** A live command as it may be shown: without its token. */
export interface QueuedCommand {
  queue_id: string
  execution_id: string
  node_id: string
  node_name: string
  action: string
  status: string
  attempts: number
  max_attempts: number
  lane: string
  pool: string
  worker_id: string | null
  lease_until: Date | null
  available_at: Date
}

const COLUMNS = `queue_id, execution_id, node_id, node_name, tool_kind AS action, status, attempt AS attempts,
  max_attempts, lane, pool, worker_id, lease_until, available_at`

/** Live commands, oldest first. */
export async function listQueue(
  pool: pg.Pool,
  filter: { status?: string; executionId?: string; limit: number; offset: number },
): Promise<QueuedCommand[]> {
  const { rows } = await pool.query<QueuedCommand>({
    name: 'list-queue',
    text: `SELECT ${COLUMNS} FROM noetl.queue
           WHERE ($1::text IS NULL OR status = $1) AND ($2::bigint IS NULL OR execution_id = $2)
           ORDER BY execution_id, queue_id LIMIT $3 OFFSET $4`,
    values: [filter.status ?? null, filter.executionId ?? null, filter.limit, filter.offset],
  })
  return rows
}

/** How many live commands there are of each status. */
export async function countQueue(pool: pg.Pool): Promise<Record<'queued' | 'running' | 'dead', number>> {
  const { rows } = await pool.query<Record<'queued' | 'running' | 'dead', number>>({
    name: 'count-queue',
    text: `SELECT count(*) FILTER (WHERE status = 'queued')::int AS queued,
                  count(*) FILTER (WHERE status = 'running')::int AS running,
                  count(*) FILTER (WHERE status = 'dead')::int AS dead
           FROM noetl.queue`,
  })
  return rows[0]!
}

/** A few commands that anyone may claim, oldest first, passing over those that others are claiming. */
export async function pickQueued(
  pool: pg.Pool,
  limit: number,
): Promise<{ execution_id: string; queue_id: string }[]> {
  const { rows } = await pool.query({
    name: 'pick-queued',
    text: `SELECT execution_id, queue_id FROM noetl.queue
           WHERE status = 'queued' AND available_at <= now()
           ORDER BY execution_id, queue_id LIMIT $1 FOR UPDATE SKIP LOCKED`,
    values: [limit],
  })
  return rows
}

/** A live command by its id, or by its execution and node: what an announcement of it needs. */
export async function findQueued(
  pool: pg.Pool,
  wanted: { queueId: string | null; executionId: string | null; nodeId: string | null },
): Promise<(Waiting & { status: string }) | undefined> {
  const { rows } = await pool.query<Waiting & { status: string }>({
    name: 'find-queued',
    text: `SELECT execution_id, queue_id, node_name, lane, pool, status FROM noetl.queue
           WHERE queue_id = $1::bigint
              OR ($1::bigint IS NULL AND execution_id = $2::bigint AND $3::text IN (node_id::text, node_name))
           ORDER BY queue_id LIMIT 1`,
    values: [wanted.queueId, wanted.executionId, wanted.nodeId],
  })
  return rows[0]
}

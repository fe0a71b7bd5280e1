import type pg from 'pg'
import type { JsonObject } from '../schemas/json.ts'

export interface WorkerEntry {
  name: string
  runtime_id: string
  runtime: string | null
  status: string
  capacity: number | null
  labels: JsonObject | null
  kinds: string[]
  meta: JsonObject | null
  heartbeat: Date
  created_at: Date
  updated_at: Date
}

/** Registers a worker, or renews what is known of it. */
export async function putWorker(
  pool: pg.Pool,
  worker: Omit<WorkerEntry, 'heartbeat' | 'created_at' | 'updated_at'>,
): Promise<string> {
  const { rows } = await pool.query<{ runtime_id: string }>(
    `INSERT INTO noetl.worker (name, runtime_id, runtime, status, capacity, labels, kinds, meta)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (name) DO UPDATE SET runtime = excluded.runtime, status = excluded.status,
       capacity = excluded.capacity, labels = excluded.labels, kinds = excluded.kinds, meta = excluded.meta,
       heartbeat = now(), updated_at = now()
     RETURNING runtime_id`,
    [
      worker.name,
      worker.runtime_id,
      worker.runtime,
      worker.status,
      worker.capacity,
      JSON.stringify(worker.labels ?? {}),
      worker.kinds,
      JSON.stringify(worker.meta ?? {}),
    ],
  )
  return rows[0]!.runtime_id
}

/** False for a worker that is not registered. */
export async function beatWorker(pool: pg.Pool, name: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE noetl.worker SET heartbeat = now(), status = 'ready' WHERE name = $1`,
    [name],
  )
  return (rowCount ?? 0) > 0
}

/** One worker by its name. */
export async function findWorker(
  pool: pg.Pool,
  name: string,
): Promise<Pick<WorkerEntry, 'name' | 'meta'> | undefined> {
  const { rows } = await pool.query<Pick<WorkerEntry, 'name' | 'meta'>>(
    'SELECT name, meta FROM noetl.worker WHERE name = $1',
    [name],
  )
  return rows[0]
}

export async function removeWorker(pool: pg.Pool, name: string): Promise<boolean> {
  const { rowCount } = await pool.query('DELETE FROM noetl.worker WHERE name = $1', [name])
  return (rowCount ?? 0) > 0
}

/**
 * Workers and when they were last heard of; `status` is `offline` after two minutes of silence. Brokers, which
 * earlier generations register beside them, are of another kind.
 */
export async function listWorkers(
  pool: pg.Pool,
  filter: { runtime?: string; status?: string; brokers?: boolean },
): Promise<WorkerEntry[]> {
  const { rows } = await pool.query<WorkerEntry>(
    `SELECT * FROM (
       SELECT name, runtime_id, runtime, capacity, labels, kinds, meta, heartbeat, created_at, updated_at,
              CASE WHEN heartbeat < now() - interval '2 minutes' THEN 'offline' ELSE status END AS status
       FROM noetl.worker) w
     WHERE ($1::text IS NULL OR runtime = $1) AND ($2::text IS NULL OR status = $2)
       AND (coalesce(meta->>'kind', '') = 'broker') = $3
     ORDER BY name LIMIT 1000`,
    [filter.runtime ?? null, filter.status ?? null, filter.brokers ?? false],
  )
  return rows
}

/** Tool kinds that some worker heard of in the last two minutes can run. */
export async function kindsOfWorkers(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ kind: string }>(
    `SELECT DISTINCT unnest(kinds) AS kind FROM noetl.worker WHERE heartbeat > now() - interval '2 minutes'`,
  )
  return rows.map((row) => row.kind)
}

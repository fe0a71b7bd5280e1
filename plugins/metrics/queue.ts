/**
 * What Postgres tells of the queue, read as a whole from its live commands: the history is not looked at, however
 * long it is. A worker beats every 15 seconds.
 */
export const QUEUE = {
  name: 'metrics-queue',
  text: `SELECT lane,
                count(*) FILTER (WHERE status = 'queued' AND available_at <= now())::int AS ready,
                count(*) FILTER (WHERE status = 'queued' AND available_at > now())::int AS delayed,
                count(*) FILTER (WHERE status = 'running')::int AS running,
                count(*) FILTER (WHERE status = 'dead')::int AS dead,
                count(*) FILTER (WHERE status = 'running' AND lease_until < now())::int AS overdue,
                coalesce(extract(epoch FROM now() - min(available_at)
                  FILTER (WHERE status = 'queued' AND available_at <= now())), 0)::float8 AS oldest
         FROM noetl.queue GROUP BY lane`,
}

export interface LaneFigures {
  lane: string
  ready: number
  delayed: number
  running: number
  dead: number
  overdue: number
  oldest: number
}

/** Ready commands of pools that no worker takes from in their lane. Workers of earlier generations tell no lanes. */
export const UNSERVED = {
  name: 'metrics-unserved',
  text: `SELECT q.lane, sum(q.ready)::int AS commands
         FROM (SELECT lane, pool, count(*) AS ready FROM noetl.queue
               WHERE status = 'queued' AND available_at <= now() GROUP BY lane, pool) q
         WHERE NOT EXISTS (
           SELECT 1 FROM noetl.worker w
           WHERE w.heartbeat > now() - interval '1 minute' AND coalesce(w.meta->>'kind', '') <> 'broker'
             AND coalesce(w.labels->>'pool', '') = q.pool
             AND q.lane = ANY (string_to_array(coalesce(w.labels->>'lanes', 'normal'), ',')))
         GROUP BY q.lane`,
}

export const WORKERS = {
  name: 'metrics-workers',
  text: `SELECT count(*)::int AS workers FROM noetl.worker
         WHERE heartbeat > now() - interval '1 minute' AND coalesce(meta->>'kind', '') <> 'broker'`,
}

import type pg from 'pg'

/** Executions looked at for counts by status; those that run are counted whole. */
export const COUNTED = 10_000

export interface Counts {
  /** Among the newest ones. */
  executions: Record<string, number>
  running: number
  playbooks: number
  workers: number
  queued: number
}

/** What a dashboard shows at a glance: each figure is bounded or comes from a small table. */
export async function loadCounts(pool: pg.Pool): Promise<Counts> {
  const { rows } = await pool.query({
    name: 'counts',
    text: `SELECT
        (SELECT coalesce(jsonb_object_agg(status, count), '{}') FROM (
           SELECT status, count(*)::int AS count FROM (
             SELECT status FROM noetl.execution ORDER BY execution_id DESC LIMIT $1) newest
           GROUP BY status) s) AS executions,
        (SELECT count(*)::int FROM noetl.execution WHERE status = 'RUNNING') AS running,
        (SELECT count(DISTINCT path)::int FROM noetl.catalog
           WHERE lower(kind) = 'playbook' AND archived_at IS NULL) AS playbooks,
        (SELECT count(*)::int FROM noetl.worker
           WHERE heartbeat > now() - interval '2 minutes' AND coalesce(meta->>'kind', '') <> 'broker') AS workers,
        (SELECT count(*)::int FROM noetl.queue WHERE status = 'queued') AS queued`,
    values: [COUNTED],
  })
  return rows[0]
}

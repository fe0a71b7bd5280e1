import type pg from 'pg'
import type { JsonObject } from '../schemas/json.ts'

/** What a claim asks for. The token is made by the worker: the same claim twice gives the same lease. */
export interface Claim {
  execution_id: string
  queue_id: string
  worker_id: string
  token: string
  /** The same claim was made before and not answered: whatever came of it, its attempt was not begun. */
  again?: boolean
  /** Id for the `command.claimed` event. */
  event_id: string
}

/** A command under lease, with the context its `command.issued` event holds. */
export interface Claimed {
  execution_id: string
  queue_id: string
  node_id: string
  node_name: string
  attempt: number
  max_attempts: number
  lane: string
  pool: string
  /** Whose claim it was, where several asked for one command at once. */
  lease_token: string | null
  catalog_id: string
  path: string
  version: number
  parent_execution_id: string | null
  current_index: number | null
  context: JsonObject
}

const CLAIM = `
WITH want AS MATERIALIZED (
  SELECT * FROM json_to_recordset($1::json)
    AS w(execution_id bigint, queue_id bigint, worker_id text, token uuid, again boolean, event_id bigint)
), locked AS MATERIALIZED (
  SELECT q.execution_id, q.queue_id, w.worker_id, w.token, w.event_id,
         -- Also a lease that ran out before its holder heard of it: the attempt is counted, and told.
         coalesce(q.lease_token = w.token AND (q.status = 'running' OR w.again), false) AS again
  FROM want w JOIN noetl.queue q USING (execution_id, queue_id)
  WHERE (q.status = 'queued' AND q.available_at <= now())
     OR (q.status = 'running' AND (q.lease_token = w.token OR (q.lease_until < now() AND q.attempt < q.max_attempts AND q.effect <> 'unsafe')))
  ORDER BY q.execution_id, q.queue_id
  FOR UPDATE OF q
), chosen AS MATERIALIZED (
  -- Of several that ask for one command at once, its holder goes first.
  SELECT DISTINCT ON (execution_id, queue_id) * FROM locked ORDER BY execution_id, queue_id, again DESC
), claimed AS (
  UPDATE noetl.queue q
  SET status = 'running', attempt = q.attempt + CASE WHEN c.again THEN 0 ELSE 1 END, worker_id = c.worker_id,
      lease_token = c.token, lease_until = now() + $2 * interval '1 second', claimed_at = now()
  FROM chosen c
  WHERE q.execution_id = c.execution_id AND q.queue_id = c.queue_id
  RETURNING q.execution_id, q.queue_id, q.node_id, q.node_name, q.attempt, q.max_attempts, q.lane, q.pool,
            q.lease_token, c.event_id, c.worker_id, c.again
), told AS (
  INSERT INTO noetl.event (execution_id, event_id, event_type, node_id, node_name, worker_id, meta)
  SELECT execution_id, event_id, 'command.claimed', node_id, node_name, worker_id,
         jsonb_build_object('command_id', queue_id::text, 'attempt', attempt)
  FROM claimed WHERE NOT again
)
SELECT c.execution_id, c.queue_id, c.node_id, c.node_name, c.attempt, c.max_attempts, c.lane, c.pool, c.lease_token,
       v.catalog_id, v.parent_execution_id, v.current_index, v.context, x.path, x.version
FROM claimed c
JOIN noetl.event v ON v.execution_id = c.execution_id AND v.event_id = c.queue_id
JOIN noetl.execution x ON x.execution_id = c.execution_id`

/** A live command as its claimant would see it. */
export async function readCommand(pool: pg.Pool, commandId: string): Promise<Claimed | undefined> {
  const { rows } = await pool.query<Claimed>(
    `SELECT c.execution_id, c.queue_id, c.node_id, c.node_name, c.attempt, c.max_attempts, c.lane, c.pool,
            c.lease_token, v.catalog_id, v.parent_execution_id, v.current_index, v.context, x.path, x.version
     FROM noetl.queue c
     JOIN noetl.event v ON v.execution_id = c.execution_id AND v.event_id = c.queue_id
     JOIN noetl.execution x ON x.execution_id = c.execution_id
     WHERE c.queue_id = $1 LIMIT 1`,
    [commandId],
  )
  return rows[0]
}

/** Leases what is free among the wanted commands; the rest is left out. One statement for all. */
export async function claimCommands(
  pool: pg.Pool,
  claims: Claim[],
  leaseSeconds: number,
): Promise<Claimed[]> {
  const { rows } = await pool.query<Claimed>({
    name: 'claim',
    text: CLAIM,
    values: [JSON.stringify(claims), leaseSeconds],
  })
  return rows
}

/** The command of an execution that was leased under a token and to nobody since, if there is one. */
export async function leasedUnder(
  pool: pg.Pool,
  executionId: string,
  token: string,
): Promise<string | undefined> {
  const { rows } = await pool.query<{ queue_id: string }>(
    `SELECT queue_id FROM noetl.queue WHERE execution_id = $1 AND lease_token = $2 AND status <> 'dead'`,
    [executionId, token],
  )
  return rows[0]?.queue_id
}

/** Why a command was not leased: the row as it stands, nothing when there is none. */
export async function lookAtCommands(
  pool: pg.Pool,
  ids: { execution_id: string; queue_id: string }[],
): Promise<{ queue_id: string; status: string; worker_id: string | null; retry_after: number }[]> {
  const { rows } = await pool.query({
    name: 'look-at-commands',
    text: `SELECT q.queue_id, q.status, q.worker_id,
                  greatest(0, extract(epoch FROM coalesce(q.lease_until, q.available_at) - now()))::float AS retry_after
           FROM json_to_recordset($1::json) AS w(execution_id bigint, queue_id bigint)
           JOIN noetl.queue q USING (execution_id, queue_id)`,
    values: [JSON.stringify(ids)],
  })
  return rows
}

/** Prolongs leases; returns the commands whose lease still held. */
export async function renewLeases(
  pool: pg.Pool,
  leases: { execution_id: string; queue_id: string; token: string }[],
  leaseSeconds: number,
): Promise<Set<string>> {
  const { rows } = await pool.query<{ queue_id: string }>({
    name: 'renew',
    text: `WITH l AS MATERIALIZED (
             SELECT q.execution_id, q.queue_id
             FROM json_to_recordset($1::json) AS w(execution_id bigint, queue_id bigint, token uuid)
             JOIN noetl.queue q USING (execution_id, queue_id)
             WHERE q.status = 'running' AND q.lease_token = w.token
             ORDER BY q.execution_id, q.queue_id FOR UPDATE OF q)
           UPDATE noetl.queue q SET lease_until = now() + $2 * interval '1 second'
           FROM l WHERE q.execution_id = l.execution_id AND q.queue_id = l.queue_id
           RETURNING q.queue_id`,
    values: [JSON.stringify(leases), leaseSeconds],
  })
  return new Set(rows.map((row) => row.queue_id))
}

/** A command that anyone may claim, as it is announced. */
export interface Waiting {
  execution_id: string
  queue_id: string
  node_name: string
  lane: string
  pool: string
  /** Of its execution; only where it is at hand, for what is told anew brings it with its lease. */
  traceparent?: string
}

const WAITING = 'q.execution_id, q.queue_id, q.node_name, q.lane, q.pool'

/**
 * Hands leases back as if they had never been: the attempt is not counted. What is not safe to repeat is not
 * handed back, for it was begun: its lease runs out, and then it waits for a person.
 */
export async function releaseLeases(
  pool: pg.Pool,
  leases: { execution_id: string; queue_id: string; token: string; event_id: string }[],
): Promise<Waiting[]> {
  const { rows } = await pool.query<Waiting>({
    name: 'release',
    text: `WITH w AS (
             SELECT * FROM json_to_recordset($1::json)
               AS w(execution_id bigint, queue_id bigint, token uuid, event_id bigint)
           ), l AS MATERIALIZED (
             SELECT q.execution_id, q.queue_id, w.event_id, q.worker_id AS holder
             FROM w JOIN noetl.queue q USING (execution_id, queue_id)
             WHERE q.status = 'running' AND q.lease_token = w.token AND q.effect <> 'unsafe'
             ORDER BY q.execution_id, q.queue_id FOR UPDATE OF q
           ), released AS (
             UPDATE noetl.queue q
             SET status = 'queued', attempt = q.attempt - 1, worker_id = NULL, lease_token = NULL,
                 lease_until = NULL, announced_at = now(), announcements = 1
             FROM l WHERE q.execution_id = l.execution_id AND q.queue_id = l.queue_id
             RETURNING ${WAITING}, q.node_id, l.event_id, l.holder
           ), told AS (
             INSERT INTO noetl.event (execution_id, event_id, event_type, node_id, node_name, worker_id, meta)
             SELECT execution_id, event_id, 'command.released', node_id, node_name, holder,
                    jsonb_build_object('command_id', queue_id::text)
             FROM released
           )
           SELECT ${WAITING.replaceAll('q.', '')} FROM released`,
    values: [JSON.stringify(leases)],
  })
  return rows
}

/**
 * Gives commands whose lease ran out back to the queue, unless their attempts are used up. The token stays, for a
 * worker that has not heard yet that it held the lease.
 */
export async function rescueExpired(
  pool: pg.Pool,
  limit: number,
  newId: (after: string) => string,
): Promise<Waiting[]> {
  const { rows } = await pool.query<Waiting & { node_id: string; holder: string; attempt: number }>({
    name: 'rescue-expired',
    text: `WITH l AS MATERIALIZED (
             SELECT q.execution_id, q.queue_id, q.worker_id AS holder FROM noetl.queue q
             WHERE q.status = 'running' AND q.lease_until < now() AND q.attempt < q.max_attempts
               AND q.effect <> 'unsafe'
             ORDER BY q.execution_id, q.queue_id LIMIT $1 FOR UPDATE SKIP LOCKED)
           UPDATE noetl.queue q
           SET status = 'queued', worker_id = NULL, lease_until = NULL, announced_at = now(), announcements = 1
           FROM l WHERE q.execution_id = l.execution_id AND q.queue_id = l.queue_id
           RETURNING ${WAITING}, q.node_id, q.attempt, l.holder`,
    values: [limit],
  })
  if (rows.length > 0) {
    const events = rows.map((row) => ({
      execution_id: row.execution_id,
      event_id: newId(row.queue_id),
      node_id: row.node_id,
      node_name: row.node_name,
      worker_id: row.holder,
      meta: { command_id: row.queue_id, attempt: row.attempt },
    }))
    await pool.query({
      name: 'tell-expired',
      text: `INSERT INTO noetl.event (execution_id, event_id, event_type, node_id, node_name, worker_id, meta)
             SELECT execution_id, event_id, 'command.lease_expired', node_id, node_name, worker_id, meta
             FROM json_to_recordset($1::json) AS v(execution_id bigint, event_id bigint, node_id bigint,
               node_name text, worker_id text, meta jsonb)`,
      values: [JSON.stringify(events)],
    })
  }
  return rows
}

/**
 * Commands that were announced and that no one claimed in time, marked as announced again. The pause
 * doubles with every announcement, so that a long backlog is not buried under its own hints.
 */
export async function takeUnclaimed(
  pool: pg.Pool,
  options: { afterSeconds: number; limit: number; to?: { lane: string; pool: string } },
): Promise<Waiting[]> {
  const { rows } = await pool.query<Waiting>({
    name: 'take-unclaimed',
    text: `WITH l AS MATERIALIZED (
             SELECT q.execution_id, q.queue_id FROM noetl.queue q
             WHERE q.status = 'queued' AND q.available_at <= now()
               AND ($3::text IS NULL OR (q.lane = $3 AND q.pool = $4))
               AND q.announced_at < now() - interval '1 second' *
                   $1::float8 * CASE WHEN $3 IS NULL THEN 1 << least(q.announcements, 6) - 1 ELSE 1 END
             ORDER BY q.execution_id, q.queue_id LIMIT $2 FOR UPDATE SKIP LOCKED)
           UPDATE noetl.queue q
           SET announced_at = now(),
               announcements = CASE WHEN $3 IS NULL THEN least(q.announcements + 1, 100) ELSE q.announcements END
           FROM l WHERE q.execution_id = l.execution_id AND q.queue_id = l.queue_id
           RETURNING ${WAITING}`,
    values: [options.afterSeconds, options.limit, options.to?.lane ?? null, options.to?.pool ?? null],
  })
  return rows
}

/** Makes every waiting command due for an announcement: for when the bus lost what it held. */
export async function forgetAnnouncements(pool: pg.Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `UPDATE noetl.queue SET announced_at = '-infinity', announcements = 1 WHERE status = 'queued'`,
  )
  return rowCount ?? 0
}

/** Makes commands due for an announcement, if they wait still. */
export async function makeDue(
  pool: pg.Pool,
  commands: { execution_id: string; queue_id: string }[],
): Promise<void> {
  await pool.query({
    name: 'make-due',
    text: `UPDATE noetl.queue q SET announced_at = '-infinity', announcements = 1
           FROM json_to_recordset($1::json) AS w(execution_id bigint, queue_id bigint)
           WHERE q.execution_id = w.execution_id AND q.queue_id = w.queue_id AND q.status = 'queued'`,
    values: [JSON.stringify(commands)],
  })
}

/** The execution a command belongs to, for clients that know only the command. */
export async function findCommand(
  pool: pg.Pool,
  commandId: string,
): Promise<{ execution_id: string; node_name: string } | undefined> {
  const { rows } = await pool.query(
    'SELECT execution_id, node_name FROM noetl.queue WHERE queue_id = $1 LIMIT 1',
    [commandId],
  )
  return rows[0]
}

import { createHash } from 'node:crypto'
import type pg from 'pg'
import type { CallError } from '../schemas/command.ts'
import { jsonText } from './json-text.ts'
import type { Waiting } from './queue.ts'

export const REASONS = ['attempts', 'in_doubt', 'error'] as const
/**
 * Why a command waits for a person. `attempts`: it was begun as often as it may be, and not heard of again.
 * `in_doubt`: its worker died, and its tool is not safe to repeat. `error`: it failed, and its playbook says
 * `on_error: park`.
 */
export type Reason = (typeof REASONS)[number]

export interface NewLetter {
  /** Id of the `command.dead` event. */
  letter_id: string
  queue_id: string
  path: string
  step: string
  tool_kind: string
  reason: Reason
  error: CallError
  fingerprint: string
  attempts: number
  worker_id: string | null
  trace_id?: string | null
}

/** Letters of one cause have one fingerprint: what differs from run to run (numbers, ids) is left out of it. */
export function fingerprintOf(about: {
  path: string
  step: string
  error: Pick<CallError, 'kind' | 'code' | 'message'>
}): string {
  const { path, step, error } = about
  const message = error.message
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, '#')
    .replace(/0x[0-9a-f]+/gi, '#')
    .replace(/\d+/g, '#')
    .slice(0, 500)
  const text = JSON.stringify([path, step, error.kind, error.code, message])
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}

/** A command whose holder was not heard of in time, and that is not to be begun again by itself. */
export interface Lost {
  execution_id: string
  queue_id: string
  node_id: string
  node_name: string
  tool_kind: string
  attempt: number
  worker_id: string | null
  path: string
  in_doubt: boolean
}

/** Those whose lease ran out with their attempts used up, or whose tool is not safe to repeat. */
export async function findLost(pool: pg.Pool, limit: number): Promise<Lost[]> {
  const { rows } = await pool.query<Lost>({
    name: 'find-lost',
    text: `SELECT q.execution_id, q.queue_id, q.node_id, q.node_name, q.tool_kind, q.attempt, q.worker_id, x.path,
                  q.effect = 'unsafe' AS in_doubt
           FROM noetl.queue q JOIN noetl.execution x USING (execution_id)
           WHERE q.status = 'running' AND q.lease_until < now()
             AND (q.attempt >= q.max_attempts OR q.effect = 'unsafe')
           LIMIT $1`,
    values: [limit],
  })
  return rows
}

/** Makes dead letters of lost commands, if they are lost still. */
export async function parkLost(
  pool: pg.Pool,
  letters: (NewLetter & { execution_id: string })[],
): Promise<string[]> {
  const { rows } = await pool.query<{ queue_id: string }>({
    name: 'park-lost',
    text: `WITH d AS MATERIALIZED (
             SELECT * FROM json_to_recordset($1::json) AS d(execution_id bigint, letter_id bigint, queue_id bigint,
               path text, step text, tool_kind text, reason text, error jsonb, fingerprint text, attempts integer,
               worker_id text)
           ), l AS MATERIALIZED (
             SELECT q.execution_id, q.queue_id FROM noetl.queue q JOIN d USING (execution_id, queue_id)
             WHERE q.status = 'running' AND q.lease_until < now() AND q.attempt = d.attempts
             ORDER BY q.execution_id, q.queue_id FOR UPDATE OF q SKIP LOCKED
           ), parked AS (
             UPDATE noetl.queue q
             SET status = 'dead', worker_id = NULL, lease_token = NULL, lease_until = NULL
             FROM l WHERE q.execution_id = l.execution_id AND q.queue_id = l.queue_id
             RETURNING q.execution_id, q.queue_id, q.node_id
           ), told AS (
             INSERT INTO noetl.event (execution_id, event_id, event_type, node_id, node_name, worker_id, meta, error)
             SELECT execution_id, d.letter_id, 'command.dead', parked.node_id, d.step, d.worker_id,
                    jsonb_build_object('command_id', queue_id::text, 'reason', d.reason, 'attempt', d.attempts), d.error
             FROM parked JOIN d USING (execution_id, queue_id)
           ), kept AS (
             INSERT INTO noetl.dead_letter (execution_id, letter_id, queue_id, catalog_id, path, step, tool_kind, reason,
               error, fingerprint, attempts, worker_id, trace_id)
             SELECT execution_id, d.letter_id, queue_id, x.catalog_id, d.path, d.step, d.tool_kind, d.reason, d.error,
               d.fingerprint, d.attempts, d.worker_id, substr(x.state->'trace'->>'traceparent', 4, 32)
             FROM parked JOIN d USING (execution_id, queue_id) JOIN noetl.execution x USING (execution_id)
           )
           SELECT queue_id FROM parked`,
    values: [jsonText(letters)],
  })
  return rows.map((row) => row.queue_id)
}

/** A letter as it is shown. `live`: its command waits still. */
export interface Letter extends NewLetter {
  execution_id: string
  catalog_id: string
  trace_id: string | null
  status: 'open' | 'retried' | 'resolved' | 'dropped'
  created_at: Date
  settled_at: Date | null
}

export interface LetterFilter {
  ids?: string[]
  fingerprint?: string
  path?: string
  executionId?: string
  step?: string
  status?: Letter['status']
}

const COLUMNS = `execution_id, letter_id, queue_id, catalog_id, path, step, tool_kind, reason, error, fingerprint,
  attempts, worker_id, trace_id, status, created_at, settled_at`

/** Newest first. */
export async function listLetters(pool: pg.Pool, filter: LetterFilter, limit: number): Promise<Letter[]> {
  const { where, values } = condition(filter)
  const { rows } = await pool.query<Letter>(
    `SELECT ${COLUMNS} FROM noetl.dead_letter ${where} ORDER BY letter_id DESC LIMIT $${values.length + 1}`,
    [...values, limit],
  )
  return rows
}

/** Open letters of one cause together, the most frequent first. */
export async function groupLetters(pool: pg.Pool, filter: LetterFilter, limit: number) {
  const { where, values } = condition({ ...filter, status: 'open' })
  const { rows } = await pool.query<{
    fingerprint: string
    count: number
    path: string
    step: string
    reason: Reason
    message: string
    first_at: Date
    last_at: Date
  }>(
    `SELECT fingerprint, count(*)::int AS count, min(path) AS path, min(step) AS step, min(reason) AS reason,
            (array_agg(error->>'message' ORDER BY letter_id DESC))[1] AS message,
            min(created_at) AS first_at, max(created_at) AS last_at
     FROM noetl.dead_letter ${where} GROUP BY fingerprint ORDER BY count DESC, fingerprint
     LIMIT $${values.length + 1}`,
    [...values, limit],
  )
  return rows
}

function condition(filter: LetterFilter): { where: string; values: unknown[] } {
  const parts: string[] = []
  const values: unknown[] = []
  const add = (sql: string, value: unknown) => {
    if (value === undefined) return
    values.push(value)
    parts.push(sql.replace('?', `$${values.length}`))
  }
  add('letter_id = ANY(?::bigint[])', filter.ids)
  add('fingerprint = ?', filter.fingerprint)
  add('path = ?', filter.path)
  add('execution_id = ?', filter.executionId)
  add('step = ?', filter.step)
  add('status = ?', filter.status)
  // The end of an execution takes its commands with it; what was open of it is open no more.
  if (filter.status === 'open') {
    parts.push(`EXISTS (SELECT 1 FROM noetl.queue q WHERE q.execution_id = dead_letter.execution_id
      AND q.queue_id = dead_letter.queue_id)`)
  }
  return { where: parts.length > 0 ? `WHERE ${parts.join(' AND ')}` : '', values }
}

/** Gives the commands of open letters back to the queue, with all their attempts; they are to be announced. */
export async function retryLetters(
  pool: pg.Pool,
  letters: { execution_id: string; letter_id: string; event_id: string }[],
): Promise<Waiting[]> {
  const { rows } = await pool.query<Waiting>({
    name: 'retry-letters',
    text: `WITH w AS MATERIALIZED (
             SELECT * FROM json_to_recordset($1::json) AS w(execution_id bigint, letter_id bigint, event_id bigint)
           ), l AS MATERIALIZED (
             SELECT q.execution_id, q.queue_id, d.letter_id, w.event_id
             FROM w JOIN noetl.dead_letter d USING (execution_id, letter_id)
             JOIN noetl.queue q USING (execution_id, queue_id)
             WHERE d.status = 'open' AND q.status = 'dead'
             ORDER BY q.execution_id, q.queue_id FOR UPDATE OF q
           ), queued AS (
             UPDATE noetl.queue q
             SET status = 'queued', attempt = 0, available_at = now(), announced_at = now(), announcements = 1
             FROM l WHERE q.execution_id = l.execution_id AND q.queue_id = l.queue_id
             RETURNING q.execution_id, q.queue_id, q.node_id, q.node_name, q.lane, q.pool, l.letter_id, l.event_id
           ), told AS (
             INSERT INTO noetl.event (execution_id, event_id, event_type, node_id, node_name, meta)
             SELECT execution_id, event_id, 'command.retried', node_id, node_name,
                    jsonb_build_object('command_id', queue_id::text, 'letter_id', letter_id::text)
             FROM queued
           ), settled AS (
             UPDATE noetl.dead_letter d SET status = 'retried', settled_at = now()
             FROM queued WHERE d.execution_id = queued.execution_id AND d.letter_id = queued.letter_id
           )
           SELECT execution_id, queue_id, node_name, lane, pool FROM queued`,
    values: [JSON.stringify(letters)],
  })
  return rows
}

/**
 * Takes the command of an open letter under a lease of one's own, to settle it by hand. False when the letter
 * is not open, or its command is not there any more. Its attempts count as used up: a server that dies before
 * it has settled the command leaves a dead letter again.
 */
export async function seizeLetter(
  pool: pg.Pool,
  letter: {
    execution_id: string
    letter_id: string
    token: string
    by: string
    status: 'resolved' | 'dropped'
  },
): Promise<boolean> {
  const { rowCount } = await pool.query({
    name: 'seize-letter',
    text: `WITH l AS MATERIALIZED (
             SELECT q.execution_id, q.queue_id
             FROM noetl.dead_letter d JOIN noetl.queue q USING (execution_id, queue_id)
             WHERE d.execution_id = $1 AND d.letter_id = $2 AND d.status = 'open' AND q.status = 'dead'
             FOR UPDATE OF q
           ), seized AS (
             UPDATE noetl.queue q
             SET status = 'running', worker_id = $4, lease_token = $3, lease_until = now() + interval '60 seconds',
                 attempt = q.max_attempts
             FROM l WHERE q.execution_id = l.execution_id AND q.queue_id = l.queue_id
             RETURNING q.execution_id
           )
           UPDATE noetl.dead_letter d SET status = $5, settled_at = now()
           FROM seized WHERE d.execution_id = seized.execution_id AND d.letter_id = $2`,
    values: [letter.execution_id, letter.letter_id, letter.token, letter.by, letter.status],
  })
  return (rowCount ?? 0) > 0
}

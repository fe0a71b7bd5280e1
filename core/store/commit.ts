import type pg from 'pg'
import type { CallError } from '../schemas/command.ts'
import type { Event } from '../schemas/event.ts'
import type { State, Status } from '../schemas/execution.ts'
import type { JsonObject } from '../schemas/json.ts'
import type { Effect } from '../schemas/playbook.ts'
import type { NewLetter } from './dead-letters.ts'
import { jsonText } from './json-text.ts'
import type { NewResult } from './results.ts'

/**
 * All that one step forward of one execution changes. It is written whole or not at all, and only if
 * the execution is still at `revision` (null: it does not exist yet) and every lease in `settles` holds.
 */
export interface Transition {
  execution_id: string
  revision: number | null
  status: Status
  state: State
  error: CallError | null
  /** For a new execution. */
  birth?: { catalog_id: string; path: string; version: number; parent_execution_id: string | null }
  /** Commands whose outcome this transition records. */
  settles: Settle[]
  events: Event[]
  commands: NewCommand[]
  /** Ids given by senders, recorded so that the same id again changes nothing. */
  keys: { key: string; event_id: string }[]
  /** Results stored aside. */
  results: NewResult[]
  /** Executions to be waited for, begun after this is written. */
  waits: { child_execution_id: string; event_id: string; timeout_seconds: number | null }[]
  /** Executions that are waited for no longer. */
  awaited: string[]
  /** Letters of commands that wait for a person from now on. */
  letters: NewLetter[]
}

/** A command and the proof that its reporter holds it: the token, or for clients without one their name. */
export interface Settle {
  queue_id: string
  token: string | null
  worker_id: string | null
}

export interface NewCommand {
  queue_id: string
  node_id: string
  node_name: string
  tool_kind: string
  lane: string
  pool: string
  max_attempts: number
  effect: Effect
  /** Seconds before it may be claimed; upkeep announces it then. */
  delay: number
  /** It waits for a person. */
  dead: boolean
  /** Leased as it is queued, to the worker that goes on with its execution. */
  lease?: NewLease
}

export interface NewLease {
  token: string
  worker_id: string
  seconds: number
}

export interface CommitResult {
  /** Executions whose transition was written. */
  written: Set<string>
  /** Commands of `settles` whose lease did hold when looked at. */
  held: Set<string>
}

/**
 * Writes many transitions in one statement, which is one transaction and one round trip.
 * Rows are locked in the order of their ids, so that two servers cannot block each other in a ring.
 */
const commitText = (more: string) => `
WITH input AS MATERIALIZED (
  SELECT * FROM json_to_recordset($1::json) AS x(
    execution_id bigint, revision integer, status text, state jsonb, error jsonb, settles integer,
    catalog_id bigint, path text, version integer, parent_execution_id bigint)
), held AS MATERIALIZED (
  SELECT q.execution_id, q.queue_id
  FROM json_to_recordset($2::json) AS s(execution_id bigint, queue_id bigint, token uuid, worker_id text)
  JOIN noetl.queue q USING (execution_id, queue_id)
  WHERE q.status = 'running'
    AND (q.lease_token = s.token OR (s.token IS NULL AND q.worker_id = s.worker_id))
  ORDER BY q.execution_id, q.queue_id
  FOR UPDATE OF q
), current AS MATERIALIZED (
  SELECT e.execution_id
  FROM noetl.execution e JOIN input i USING (execution_id)
  WHERE e.status = 'RUNNING' AND e.revision = i.revision
    AND i.settles = (SELECT count(*) FROM held h WHERE h.execution_id = i.execution_id)
  ORDER BY e.execution_id
  FOR UPDATE OF e
), updated AS (
  UPDATE noetl.execution e
  SET status = i.status, state = i.state, error = i.error, revision = e.revision + 1, updated_at = now(),
      finished_at = CASE WHEN i.status <> 'RUNNING' THEN now() END
  FROM input i JOIN current c USING (execution_id)
  WHERE e.execution_id = i.execution_id
  RETURNING e.execution_id, e.catalog_id, e.parent_execution_id, e.status
), created AS (
  INSERT INTO noetl.execution
    (execution_id, catalog_id, path, version, parent_execution_id, status, state, error, finished_at)
  SELECT execution_id, catalog_id, path, version, parent_execution_id, status, state, error,
         CASE WHEN status <> 'RUNNING' THEN now() END
  FROM input WHERE revision IS NULL
  ON CONFLICT DO NOTHING
  RETURNING execution_id, catalog_id, parent_execution_id, status
), ok AS MATERIALIZED (
  SELECT * FROM updated UNION ALL SELECT * FROM created
), settled AS (
  DELETE FROM noetl.queue q USING held h JOIN ok USING (execution_id)
  WHERE q.execution_id = h.execution_id AND q.queue_id = h.queue_id
), dropped AS (
  DELETE FROM noetl.queue q USING ok
  WHERE ok.status <> 'RUNNING' AND q.execution_id = ok.execution_id
    AND q.queue_id NOT IN (SELECT queue_id FROM held)
), queued AS (
  INSERT INTO noetl.queue (execution_id, queue_id, node_id, node_name, tool_kind, lane, pool, max_attempts, effect,
    status, available_at, announced_at, attempt, worker_id, lease_token, lease_until, claimed_at)
  SELECT execution_id, c.queue_id, c.node_id, c.node_name, c.tool_kind, c.lane, c.pool, c.max_attempts, c.effect,
    CASE WHEN c.dead THEN 'dead' WHEN c.token IS NULL THEN 'queued' ELSE 'running' END,
    now() + c.delay * interval '1 second', CASE WHEN c.delay > 0 THEN '-infinity' ELSE now() END,
    CASE WHEN c.token IS NULL THEN 0 ELSE 1 END, c.worker_id, c.token, now() + c.seconds * interval '1 second',
    CASE WHEN c.token IS NULL THEN NULL ELSE now() END
  FROM json_to_recordset($3::json) AS c(execution_id bigint, queue_id bigint, node_id bigint, node_name text,
    tool_kind text, lane text, pool text, max_attempts smallint, effect text, dead boolean, delay double precision,
    token uuid, worker_id text, seconds double precision)
  JOIN ok USING (execution_id)
), told AS (
  INSERT INTO noetl.event (execution_id, event_id, created_at, event_type, node_id, node_name, node_type,
    status, duration, current_index, worker_id, catalog_id, parent_execution_id, context, result, meta, error)
  SELECT execution_id, v.event_id, v.created_at, v.event_type, v.node_id, v.node_name, v.node_type, v.status,
    v.duration, v.current_index, v.worker_id, ok.catalog_id, ok.parent_execution_id, v.context, v.result,
    v.meta, v.error
  FROM json_to_recordset($4::json) AS v(execution_id bigint, event_id bigint, created_at timestamptz,
    event_type text, node_id bigint, node_name text, node_type text, status text, duration double precision,
    current_index integer, worker_id text, context jsonb, result jsonb, meta jsonb, error jsonb)
  JOIN ok USING (execution_id)
${more}), keyed AS (
  INSERT INTO noetl.event_key (execution_id, key, event_id)
  SELECT execution_id, k.key, k.event_id
  FROM json_to_recordset($5::json) AS k(execution_id bigint, key text, event_id bigint) JOIN ok USING (execution_id)
)
SELECT (SELECT coalesce(array_agg(execution_id), '{}') FROM ok)::text[] AS written,
       (SELECT coalesce(array_agg(queue_id), '{}') FROM held)::text[] AS held`

const COMMIT = commitText('')
/** Beside it: values stored aside, and executions waited for. Most transitions have none. */
const COMMIT_MORE = commitText(`), aside AS (
  INSERT INTO noetl.result (execution_id, result_id, name, store, bytes, data)
  SELECT execution_id, r.result_id, r.name, r.store, r.bytes, r.data
  FROM json_to_recordset($6::json) AS r(execution_id bigint, result_id bigint, name text, store text, bytes bigint,
    data json)
  JOIN ok USING (execution_id)
), waits AS (
  INSERT INTO noetl.wait (execution_id, child_execution_id, event_id, deadline)
  SELECT execution_id, w.child_execution_id, w.event_id, now() + w.timeout_seconds * interval '1 second'
  FROM json_to_recordset($7::json) AS w(execution_id bigint, child_execution_id bigint, event_id bigint,
    timeout_seconds double precision)
  JOIN ok USING (execution_id)
), letters AS (
  INSERT INTO noetl.dead_letter (execution_id, letter_id, queue_id, catalog_id, path, step, tool_kind, reason, error,
    fingerprint, attempts, worker_id, trace_id)
  SELECT execution_id, d.letter_id, d.queue_id, ok.catalog_id, d.path, d.step, d.tool_kind, d.reason, d.error,
    d.fingerprint, d.attempts, d.worker_id, d.trace_id
  FROM json_to_recordset($9::json) AS d(execution_id bigint, letter_id bigint, queue_id bigint, path text, step text,
    tool_kind text, reason text, error jsonb, fingerprint text, attempts integer, worker_id text, trace_id text)
  JOIN ok USING (execution_id)
), awaited AS (
  DELETE FROM noetl.wait w USING ok
  WHERE w.execution_id = ok.execution_id AND (w.execution_id, w.child_execution_id) IN (
    SELECT execution_id, child_execution_id
    FROM json_to_recordset($8::json) AS a(execution_id bigint, child_execution_id bigint))
`)

/** See COMMIT. Transitions must be of different executions. */
export async function commitTransitions(pool: pg.Pool, transitions: Transition[]): Promise<CommitResult> {
  const input: JsonObject[] = []
  const settles: object[] = []
  const commands: object[] = []
  const events: Event[] = []
  const keys: object[] = []
  const results: object[] = []
  const waits: object[] = []
  const awaited: object[] = []
  const letters: object[] = []
  for (const t of transitions) {
    const { execution_id } = t
    input.push({
      execution_id,
      revision: t.revision,
      status: t.status,
      state: t.state as unknown as JsonObject,
      error: t.error as unknown as JsonObject,
      settles: t.settles.length,
      ...t.birth,
    })
    for (const settle of t.settles) settles.push({ execution_id, ...settle })
    for (const { lease, ...command } of t.commands) commands.push({ execution_id, ...command, ...lease })
    for (const event of t.events) events.push(event)
    for (const key of t.keys) keys.push({ execution_id, ...key })
    for (const result of t.results) results.push({ execution_id, ...result })
    for (const wait of t.waits) waits.push({ execution_id, ...wait })
    for (const letter of t.letters) letters.push({ execution_id, ...letter })
    for (const child_execution_id of t.awaited) awaited.push({ execution_id, child_execution_id })
  }
  const plain = [input, settles, commands, events, keys]
  const more = [results, waits, awaited, letters]
  const { rows } = await pool.query<{ written: string[]; held: string[] }>(
    more.every((list) => list.length === 0)
      ? { name: 'commit', text: COMMIT, values: plain.map(jsonText) }
      : { name: 'commit-more', text: COMMIT_MORE, values: [...plain, ...more].map(jsonText) },
  )
  return { written: new Set(rows[0]!.written), held: new Set(rows[0]!.held) }
}

import pg from 'pg'
import { until } from '../support/wait.ts'
import { ask, type Cluster } from './cluster.ts'
import type { Call } from './ledger.ts'
import type { Started } from './load.ts'

/** What a fault has cost. */
export interface Figures {
  executions: number
  /** Commands that were recorded as settled. */
  commands: number
  /** Accepted and not there, settled by nobody, or without the effect that their execution claims. */
  lost: number
  /** Commands with two outcomes, steps recorded twice, or settled by one whose lease had been given on. */
  doubled: number
  /** Calls of tools beyond one for each effect. */
  repeated: number
  stuck: number
  /** FAILED, or COMPLETED with another result than expected. */
  wrong: number
  /** Reports that came too late and were refused. */
  late: number
  underWay: number
  /** Seconds from the fault to the end of the last execution that was under way. */
  recovery: number
  /** Commands of the victim that others took, and the seconds until the last was taken. */
  takenOver: number
  takeover: number | undefined
  /** What is behind a figure that must be 0. */
  notes: string[]
}

/** Waits until nothing runs, and says what is still running when the time is up. */
export async function untilEnded(cluster: Cluster, withinMs: number): Promise<void> {
  await until(
    'the end of all executions',
    () =>
      query(cluster, `SELECT 1 FROM noetl.execution WHERE status = 'RUNNING' LIMIT 1`).then(
        (rows) => rows.length === 0,
      ),
    { withinMs, everyMs: 250 },
  ).catch(() => undefined)
}

export async function measure(
  cluster: Cluster,
  about: { started: Started[]; calls: Call[]; at: number; victim: string | undefined },
): Promise<Figures> {
  const { started, calls, at, victim } = about
  const notes: string[] = []
  const when = new Date(at).toISOString()
  const one = async (text: string, values: unknown[] = []) => (await query(cluster, text, values))[0]!
  const totals = await one(
    `SELECT (SELECT count(*)::int FROM noetl.event WHERE event_type IN (${SETTLED})) AS commands,
            (SELECT count(*)::int FROM noetl.event WHERE event_type = 'command.late') AS late,
            (SELECT count(*)::int FROM noetl.execution WHERE status = 'RUNNING') AS stuck,
            (SELECT count(*)::int FROM noetl.dead_letter WHERE status = 'open') AS letters,
            (SELECT count(*)::int FROM noetl.queue) AS queue`,
  )
  if (totals.stuck > 0 || totals.letters > 0 || totals.queue > 0) notes.push(JSON.stringify(totals))
  const unsettled = await query(
    cluster,
    `SELECT i.execution_id, i.node_name FROM noetl.event i JOIN noetl.execution x USING (execution_id)
     WHERE i.event_type = 'command.issued' AND x.status <> 'RUNNING' AND NOT EXISTS (
       SELECT 1 FROM noetl.event d WHERE d.execution_id = i.execution_id AND d.event_id > i.event_id
         AND d.event_type IN (${SETTLED}) AND d.meta->>'command_id' = i.event_id::text)`,
  )
  for (const row of unsettled) notes.push(`never settled: ${JSON.stringify(row)}`)
  const doubled = await query(
    cluster,
    `SELECT execution_id, meta->>'command_id' AS command, node_name, count(*)::int AS outcomes FROM noetl.event
     WHERE event_type IN (${SETTLED}) GROUP BY 1, 2, 3 HAVING count(*) > 1
     UNION ALL
     SELECT execution_id, 'step', node_name, count(*)::int FROM noetl.event
     WHERE event_type = 'call.done' GROUP BY execution_id, node_name, current_index HAVING count(*) > 1`,
  )
  const fenced = await query(
    cluster,
    `SELECT d.execution_id, d.node_name, d.worker_id, d.meta FROM noetl.event d
     WHERE d.event_type IN (${SETTLED}) AND (d.meta->>'attempt')::int < (
       SELECT max((c.meta->>'attempt')::int) FROM noetl.event c
       WHERE c.execution_id = d.execution_id AND c.event_type = 'command.claimed'
         AND c.meta->>'command_id' = d.meta->>'command_id')`,
  )
  for (const row of [...doubled, ...fenced]) notes.push(`doubled: ${JSON.stringify(row)}`)
  const under = await one(
    `SELECT count(*)::int AS n, extract(epoch FROM max(finished_at) - $1::timestamptz)::float AS seconds
     FROM noetl.execution WHERE created_at <= $1 AND (finished_at IS NULL OR finished_at > $1)`,
    [when],
  )
  const taken = await one(
    `SELECT count(*)::int AS n, max(extract(epoch FROM n.created_at - $2::timestamptz))::float AS seconds
     FROM noetl.event c JOIN LATERAL (
       SELECT n.created_at FROM noetl.event n
       WHERE n.execution_id = c.execution_id AND n.event_type = 'command.claimed' AND n.created_at > $2
         AND n.meta->>'command_id' = c.meta->>'command_id' AND n.event_id > c.event_id
       ORDER BY n.event_id LIMIT 1) n ON true
     WHERE c.event_type = 'command.claimed' AND c.worker_id = $1 AND c.created_at <= $2`,
    [victim ?? '', when],
  )
  const outcome = await checkOutcomes(cluster, started, calls)
  notes.push(...outcome.notes)
  return {
    executions: started.length,
    commands: totals.commands,
    lost: unsettled.length + outcome.lost,
    doubled: doubled.length + fenced.length,
    repeated: outcome.repeated,
    stuck: totals.stuck,
    wrong: outcome.wrong,
    late: totals.late,
    underWay: under.n,
    recovery: under.seconds ?? 0,
    takenOver: taken.n,
    takeover: taken.seconds ?? undefined,
    notes,
  }
}

/** Holds each execution's end against what it had to come to, and its effects against the ledger. */
async function checkOutcomes(cluster: Cluster, started: Started[], calls: Call[]) {
  const notes: string[] = []
  const seen = new Map<string, number>()
  for (const { key } of calls) seen.set(key, (seen.get(key) ?? 0) + 1)
  let [lost, wrong] = [0, 0]
  for (const { id, n, about } of started) {
    const execution = await ask<{ status: string; result: unknown; error: unknown }>(
      cluster,
      'GET',
      `/api/v2/executions/${id}?page_size=1`,
      undefined,
      30_000,
    ).catch((error: Error) => ({ status: 'gone', result: error.message, error: null }))
    if (execution.status === 'gone') {
      lost += 1
      notes.push(`lost: ${about.path} ${id}: ${execution.result}`)
      continue
    }
    if (execution.status === 'RUNNING') {
      notes.push(`stuck: ${about.path} ${id}`)
      continue
    }
    const expected = about.result(n)
    if (execution.status !== 'COMPLETED' || JSON.stringify(execution.result) !== JSON.stringify(expected)) {
      wrong += 1
      const { status, result, error } = execution
      notes.push(`wrong: ${about.path} ${id}: ${JSON.stringify({ status, result, error, expected })}`)
    } else {
      const missing = about.effects(id).filter((key) => !seen.has(key))
      lost += missing.length
      if (missing.length > 0) notes.push(`no effect: ${missing}`)
    }
  }
  return { lost, wrong, repeated: calls.length - seen.size, notes }
}

const SETTLED = `'call.done', 'call.error', 'call.waiting', 'call.retrying'`

/** A statement on a connection of its own: the Postgres under it comes and goes. */
async function query(cluster: Cluster, text: string, values: unknown[] = []) {
  const client = new pg.Client({ connectionString: cluster.databaseUrl, connectionTimeoutMillis: 10_000 })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(text, values)).rows
  } finally {
    await client.end()
  }
}

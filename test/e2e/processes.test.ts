import { readFile } from 'node:fs/promises'
import pg from 'pg'
import t from 'tap'
import { startOrdersApi } from '../../cli/dev/orders-api.ts'
import { makeClient } from '../../core/client.ts'
import { testCluster } from '../support/cluster.ts'
import { checkDatabase } from '../support/history-database.ts'
import { until } from '../support/wait.ts'

const EXECUTIONS = Number(process.env.NOETL_TEST_EXECUTIONS ?? 500)

t.test(
  'two servers and three workers run hundreds of executions without a stuck or doubled step',
  { timeout: 600_000 },
  async (t) => {
    const cluster = await testCluster(t, { servers: 2, workers: 3 })
    const api = await startOrdersApi()
    t.teardown(() => api.close())
    const path = await cluster.register(
      await readFile(new URL('../fixtures/playbooks/orders_report.yaml', import.meta.url), 'utf8'),
    )
    const clients = cluster.servers.map(({ url }) => makeClient({ url, timeoutMs: 60_000 }))
    t.teardown(() => Promise.all(clients.map((client) => client.close())))
    const ids: string[] = []
    for (let n = 0; n < EXECUTIONS; n += 25) {
      const batch = Array.from({ length: Math.min(25, EXECUTIONS - n) }, (_, i) =>
        cluster.execute(path, { api: api.url }, clients[i % clients.length]),
      )
      ids.push(...(await Promise.all(batch)))
    }
    const db = new pg.Client({ connectionString: cluster.databaseUrl })
    await db.connect()
    t.teardown(() => db.end())
    await until(
      'the end of all executions',
      async () =>
        (await db.query(`SELECT count(*)::int AS n FROM noetl.execution WHERE status = 'RUNNING'`)).rows[0]
          .n === 0,
      { withinMs: 500_000, everyMs: 250 },
    )
    const statuses = await db.query('SELECT status, count(*)::int AS n FROM noetl.execution GROUP BY status')
    t.same(statuses.rows, [{ status: 'COMPLETED', n: EXECUTIONS }])
    const calls = await db.query(
      `SELECT step, calls::int, count(*)::int AS executions FROM (
       SELECT node_name AS step, execution_id, count(*) AS calls FROM noetl.event WHERE event_type = 'call.done'
       GROUP BY 1, 2) c GROUP BY 1, 2 ORDER BY 1, 2`,
    )
    const once = ['aggregate', 'best_customers', 'end', 'read_orders', 'start'].map((step) => ({
      step,
      calls: 1,
    }))
    const expected = [...once, { step: 'load_page', calls: 4 }, { step: 'write_regions', calls: 4 }]
      .sort((a, b) => (a.step < b.step ? -1 : 1))
      .map((row) => ({ ...row, executions: EXECUTIONS }))
    t.same(calls.rows, expected, 'every step ran as often as the playbook says, in every execution')
    const odd = await db.query(
      `SELECT event_type, worker_id, node_name AS step, left(error->>'message', 300) AS message, count(*)::int FROM noetl.event
     WHERE event_type IN ('call.error', 'command.late', 'command.lease_expired', 'playbook.failed')
     GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 20`,
    )
    t.same(odd.rows, [])
    const written = await db.query(
      `SELECT (SELECT count(*)::int FROM samples.orders) AS orders, (SELECT count(*)::int FROM samples.region_report) AS regions,
            (SELECT count(*)::int FROM noetl.queue) AS queue`,
    )
    t.same(written.rows, [{ orders: 119 * EXECUTIONS, regions: 4 * EXECUTIONS, queue: 0 }])
    const results = await db.query(
      `SELECT (result->'rows'->0->'report') - 'run' AS report, count(*)::int AS executions, min(execution_id)::text AS first
     FROM noetl.event WHERE event_type = 'call.done' AND node_name = 'end' GROUP BY 1 ORDER BY 2 DESC LIMIT 20`,
    )
    t.match(
      results.rows,
      [{ executions: EXECUTIONS, report: { orders: 119, loaded: 119, total: 26953.25 } }],
      'all came to the same report',
    )
    t.equal(results.rows.length, 1)
    t.equal(new Set(ids).size, EXECUTIONS)
    const claimed = await db.query(
      `SELECT DISTINCT worker_id FROM noetl.event WHERE event_type = 'command.claimed' ORDER BY 1`,
    )
    t.same(
      claimed.rows.map((row) => row.worker_id),
      ['worker-1', 'worker-2', 'worker-3'],
      'all workers had a part',
    )
    const checked = await checkDatabase(cluster.databaseUrl)
    t.same(checked.faults, [], 'every history is as the protocol promises')
    t.equal(checked.executions, EXECUTIONS)
  },
)

t.test('kill -9 of a worker in the midst of a step: another takes over and the run completes', async (t) => {
  const cluster = await testCluster(t, { servers: 1, workers: 1, env: { NOETL_LEASE_SECONDS: '3' } })
  const [first] = cluster.workers
  const path = await cluster.register(`metadata: {path: slow}
workflow:
- step: start
  tool:
    kind: python
    code: |
      import os, time
      print("attempt in", os.getppid(), flush=True)
      if os.environ.get("SLOW"): time.sleep(600)
      result = "done"
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: "{{ start.data }}"}}`)
  // The first worker hangs in the step, for it is told to by its environment; the second does not.
  first!.kill('SIGTERM')
  await first!.exited
  const slow = await cluster.startWorker({
    SLOW: '1',
    NOETL_TOOL_OPTIONS: '{"python": {"passEnvironment": ["SLOW"]}}',
  })
  const id = await cluster.execute(path)
  await slow.says(/attempt in/)
  const second = await cluster.startWorker()
  slow.kill('SIGKILL')
  const ended = await cluster.ended(id)
  t.equal(ended.status, 'COMPLETED')
  t.equal(ended.result, 'done')
  t.match(second.output(), /attempt in/)
  const types = ended.events.filter((event) => event.node_name === 'start').map((event) => event.event_type)
  t.same(types, [
    'command.issued',
    'command.claimed',
    'command.lease_expired',
    'command.claimed',
    'step.enter',
    'call.log',
    'call.done',
    'step.exit',
  ])
  t.same((await checkDatabase(cluster.databaseUrl)).faults, [])
})

t.test('SIGTERM drains a worker: what runs ends or goes back with no attempt burnt', async (t) => {
  const cluster = await testCluster(t, { servers: 1, workers: 1, env: { NOETL_WORKER_GRACE_SECONDS: '2' } })
  const [first] = cluster.workers
  const path = await cluster.register(`metadata: {path: drain}
workload: {seconds: 0}
workflow:
- step: start
  tool:
    kind: python
    input: {seconds: "{{ seconds }}"}
    code: |
      import time, os
      print("begun", seconds, flush=True)
      time.sleep(0 if os.environ.get("FAST") else seconds)
      result = seconds`)
  const short = await cluster.execute(path, { seconds: 1 })
  const long = await cluster.execute(path, { seconds: 600 })
  await first!.says(/begun 1/)
  await first!.says(/begun 600/)
  first!.kill('SIGTERM')
  t.equal(await first!.exited, 0)
  const ended = await cluster.ended(short)
  t.equal(ended.status, 'COMPLETED', 'what could end in its grace has ended')
  const late = await cluster.execute(path, { seconds: 0 })
  await cluster.startWorker({ FAST: '1', NOETL_TOOL_OPTIONS: '{"python": {"passEnvironment": ["FAST"]}}' })
  const handed = await cluster.ended(long)
  t.equal(handed.status, 'COMPLETED')
  const claims = handed.events.filter((event) => event.event_type === 'command.claimed') as unknown as {
    meta: { attempt: number }
    worker_id: string
  }[]
  t.same(
    claims.map((event) => [event.worker_id, event.meta.attempt]),
    [
      ['worker-1', 1],
      ['worker-2', 1],
    ],
  )
  t.equal((await cluster.ended(late)).status, 'COMPLETED')
  t.same((await checkDatabase(cluster.databaseUrl)).faults, [])
})

t.test('a server is killed while executions run: the other goes on with all of them', async (t) => {
  const cluster = await testCluster(t, { servers: 2, workers: 1 })
  const path = await cluster.register(`metadata: {path: chain}
workflow:
- {step: start, set: {ctx.n: 0}, next: {arcs: [{step: work}]}}
- step: work
  tool: {kind: python, input: {n: "{{ ctx.n }}"}, code: "import time; time.sleep(0.05); result = n + 1"}
  set: {ctx.n: "{{ work.data }}"}
  next: {arcs: [{step: work, when: "{{ ctx.n < 20 }}"}]}`)
  const other = makeClient({ url: cluster.servers[1]!.url })
  t.teardown(() => other.close())
  const ids = await Promise.all(Array.from({ length: 6 }, () => cluster.execute(path, {}, other)))
  await until('the runs to be in their midst', async () => {
    const { variables } = await cluster.client.request<{ variables: { n: number } }>(
      'GET',
      `/api/executions/${ids[0]}/status`,
    )
    return variables.n > 4
  })
  cluster.servers[1]!.kill('SIGKILL')
  for (const id of ids) {
    const ended = await cluster.ended(id)
    t.equal(ended.status, 'COMPLETED')
    t.same(ended.variables, { n: 20 })
    t.equal(ended.events.filter((event) => event.event_type === 'call.done').length, 20)
  }
  t.same((await checkDatabase(cluster.databaseUrl)).faults, [])
})

import { channel } from 'node:diagnostics_channel'
import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { readConfig } from '../../../core/config.ts'
import { startServer } from '../../../core/server.ts'
import { migrate } from '../../../core/store/migrate.ts'
import { CONTRACT, type Metric } from '../../../plugins/metrics/index.ts'
import { testGateway } from '../../support/gateway.ts'
import { ownServer } from '../../support/postgres.ts'
import { promtool } from '../../support/prometheus.ts'
import { until } from '../../support/wait.ts'
import { scrape } from './scrape.ts'

const PLUGINS = ['@noetl/metrics', '@noetl/tool-http', '@noetl/tool-shell']
const env = { NOETL_WORKER_PORT: '0' }
const playbook = (path: string, steps: string) => `metadata: {path: ${path}}\nworkflow:\n${steps}`
const NOOP = playbook('one', '  - {step: start, tool: {kind: noop}}')

t.test('metrics: servers and workers tell every metric of their role from the start', async (t) => {
  const gateway = await testGateway(t, { plugins: PLUGINS, env })
  for (const [role, url] of [
    ['server', gateway.server.url],
    ['worker', gateway.worker?.url],
  ] as const) {
    const told = await scrape(url)
    const wanted = Object.entries<Metric>(CONTRACT).filter(([, metric]) => metric.roles.includes(role))
    t.same([...told.types.keys()].sort(), wanted.map(([name]) => name).sort(), role)
    for (const [name, { type }] of wanted) {
      t.equal(told.types.get(name), type, name)
      const series = type === 'histogram' ? `${name}_count` : name
      t.ok(
        [...told.values.keys()].some((key) => key === series || key.startsWith(`${series}{`)),
        `${name} has a series`,
      )
    }
    t.ok([...told.values.values()].every((value) => !Number.isNaN(value)))
    const { ok, said } = await promtool(['check', 'metrics'], { input: told.text })
    t.ok(ok, `promtool on the ${role}: ${said}`)
  }
  const server = await scrape(gateway.server.url)
  t.equal(server.of('noetl_commands_finished_total{lane="normal",tool_kind="http",outcome="error"}'), 0)
  t.equal(server.of('noetl_claims_refused_total{reason="held"}'), 0)
  t.equal(server.of('noetl_queue_wait_seconds_count{lane="normal",cause="paused"}'), 0)
  t.equal(server.of('noetl_consumer_pending{consumer="noetl-worker-pool"}'), 0)
  t.equal(server.of('noetl_workers'), 1)
  t.equal(server.of('noetl_plugin_info{plugin="@noetl/tool-http",version="0.1.0"}'), 1)
  t.ok(
    server.text.includes(`noetl_build_info{role="server",version="0.1.0",node="${process.versions.node}"} 1`),
  )
})

t.test('metrics: what ran is counted, on the server and on the worker', async (t) => {
  const gateway = await testGateway(t, { plugins: PLUGINS, env })
  await gateway.run(NOOP)
  const failed = await gateway.run(
    playbook('two', '  - {step: start, tool: {kind: shell, command: "exit 3"}}'),
  )
  t.equal(failed.status, 'FAILED')
  const worker = await until('the ends on the worker', async () => {
    const told = await scrape(gateway.worker?.url)
    return told.of('noetl_worker_commands_total{tool_kind="shell",outcome="error"}') === 1 && told
  })
  const server = await scrape(gateway.server.url)
  const expected = {
    noetl_executions_started_total: 2,
    'noetl_executions_finished_total{outcome="completed"}': 1,
    'noetl_executions_finished_total{outcome="failed"}': 1,
    'noetl_executions_finished_total{outcome="cancelled"}': 0,
    'noetl_execution_duration_seconds_count{outcome="failed"}': 1,
    'noetl_commands_enqueued_total{lane="normal",tool_kind="noop"}': 1,
    'noetl_commands_finished_total{lane="normal",tool_kind="noop",outcome="ok"}': 1,
    'noetl_commands_finished_total{lane="normal",tool_kind="shell",outcome="error"}': 1,
    'noetl_queue_wait_seconds_count{lane="normal",cause="capacity"}': 2,
    noetl_claims_granted_total: 2,
    'noetl_announcements_total{kind="first"}': 2,
    'noetl_announcements_total{kind="repeated"}': 0,
    'noetl_scrape_source_up{source="postgres"}': 1,
    'noetl_scrape_source_up{source="nats"}': 1,
    'noetl_http_requests_total{route="execute",code="2xx"}': 2,
    'noetl_pool_size{pool="relaxed"}': 4,
    noetl_bus_connected: 1,
  }
  for (const [series, value] of Object.entries(expected)) t.equal(server.of(series), value, series)
  t.ok(server.of('noetl_execution_duration_seconds_sum{outcome="failed"}') > 0)
  t.ok(server.of('noetl_http_requests_total{route="claim",code="2xx"}') >= 1)
  t.ok(server.of('noetl_http_request_duration_seconds_count{route="execute"}') === 2)
  t.equal(worker.of('noetl_tool_run_duration_seconds_count{tool_kind="noop",outcome="ok"}'), 1)
  t.equal(worker.of('noetl_tool_run_duration_seconds_count{tool_kind="shell",outcome="error"}'), 1)
  t.equal(worker.of('noetl_tool_errors_total{kind="tool_error"}'), 1)
  t.equal(worker.of('noetl_notification_to_claim_seconds_count'), 2)
  t.equal(worker.of('noetl_slots'), 16)
  await until('the loop’s lag', async () => {
    const told = await scrape(gateway.worker?.url)
    return told.of('noetl_event_loop_lag_seconds_count') > 0
  })
  for (const { text } of [server, worker]) {
    t.notMatch(text, new RegExp(failed.execution_id), 'no id is told')
    t.notMatch(text, /"two"|"start"/, 'nor a path or a step')
  }
})

t.test('metrics: the queue is told alike by every server, with the age of its oldest', async (t) => {
  const gateway = await testGateway(t, { plugins: PLUGINS, worker: false })
  const other = await startServer(gateway.config, { log: pino({ level: 'silent' }) })
  t.teardown(() => other.close())
  await gateway.register(NOOP)
  for (let n = 0; n < 3; n++) await gateway.execute('one')
  const client = new pg.Client({ connectionString: gateway.databaseUrl })
  await client.connect()
  t.teardown(() => client.end())
  // One has waited for ten minutes, one is dead, one runs under a lease that is over, in a lane of its own.
  await client.query(`WITH n AS (SELECT queue_id, row_number() OVER (ORDER BY queue_id) AS n FROM noetl.queue)
    UPDATE noetl.queue q SET
      available_at = CASE WHEN n = 1 THEN now() - interval '10 minutes' ELSE available_at END,
      status = CASE n WHEN 1 THEN 'queued' WHEN 2 THEN 'dead' ELSE 'running' END,
      attempt = CASE n WHEN 3 THEN 3 ELSE 0 END,
      lane = CASE n WHEN 3 THEN 'fast' ELSE lane END,
      lease_until = CASE n WHEN 3 THEN now() + interval '1 hour' END
    FROM n WHERE n.queue_id = q.queue_id`)
  for (const { url } of [gateway.server, other]) {
    const told = await scrape(url)
    for (const [series, value] of Object.entries({
      'noetl_queue_commands{lane="normal",state="ready"}': 1,
      'noetl_queue_commands{lane="normal",state="dead"}': 1,
      'noetl_queue_commands{lane="normal",state="running"}': 0,
      'noetl_queue_commands{lane="fast",state="running"}': 1,
      'noetl_queue_overdue_leases{lane="fast"}': 0,
      noetl_workers: 0,
    })) {
      t.equal(told.of(series), value, series)
    }
    t.ok(told.of('noetl_queue_oldest_age_seconds{lane="normal"}') >= 600)
  }
})

t.test('metrics: lost leases, takeovers, late reports and dead letters are counted', async (t) => {
  // Claims like a worker that is never heard of again.
  const gateway = await testGateway(t, {
    plugins: PLUGINS,
    worker: false,
    env: { NOETL_LEASE_SECONDS: '1' },
  })
  const { client } = gateway
  await gateway.register(NOOP)
  const execution_id = await gateway.execute('one')
  const { events } = await client.request<{ events: { event_id: string }[] }>(
    'GET',
    `/api/executions/${execution_id}/events?event_type=command.issued`,
  )
  const command_id = events[0]!.event_id
  const claim = async (n: number, id = command_id) => {
    const token = `00000000-0000-4000-8000-00000000000${n}`
    const { results } = await client.request<{ results: { command?: object }[] }>(
      'POST',
      '/api/v2/commands/claim',
      { worker_id: 'w', leases: [{ execution_id, command_id: id, token }] },
    )
    return results[0]?.command !== undefined
  }
  const reaches = (series: string, value: number) =>
    until(`${series} ${value}`, async () => {
      const now = await scrape(gateway.server.url)
      return now.of(series) === value && now
    })
  t.ok(await claim(1))
  t.notOk(await claim(2), 'it is held')
  t.notOk(await claim(2, '1'), 'there is none')
  await reaches('noetl_leases_expired_total', 1)
  t.ok(await claim(3))
  const late = client.request('POST', '/api/v2/events', {
    ...{ execution_id, step: 'start', name: 'call.done', worker_id: 'w' },
    payload: { command_id, result: 1 },
    meta: { token: '00000000-0000-4000-8000-000000000001', attempt: 1 },
  })
  await t.rejects(late, { code: 'NOETL_ERR_COMMAND_LATE' })
  await reaches('noetl_leases_expired_total', 2)
  t.ok(await claim(4))
  const told = await reaches('noetl_dead_letters_total{reason="attempts"}', 1)
  for (const [series, value] of Object.entries({
    noetl_leases_expired_total: 3,
    noetl_takeover_seconds_count: 2,
    noetl_late_reports_total: 1,
    noetl_claims_granted_total: 3,
    'noetl_claims_refused_total{reason="held"}': 1,
    'noetl_claims_refused_total{reason="settled"}': 1,
    'noetl_announcements_total{kind="repeated"}': 2,
    'noetl_queue_wait_seconds_count{lane="normal",cause="capacity"}': 1,
  })) {
    t.equal(told.of(series), value, series)
  }
})

t.test('metrics: waits are told by their cause, letters by their reason', async (t) => {
  const gateway = await testGateway(t, { plugins: PLUGINS, env })
  const run = await gateway.run(
    playbook(
      'waits',
      `  - step: start
    tool:
      kind: shell
      command: "test {{ _attempt }} = 2"
      spec: {policy: {rules: [{when: "{{ outcome.status == 'error' and _attempt == 1 }}", then: {do: retry, attempts: 2, delay: 5}}]}}`,
    ),
  )
  t.equal(run.status, 'COMPLETED')
  await gateway.register(
    `metadata: {path: parks}
executor: {spec: {on_error: park}}
workflow: [{step: start, tool: {kind: shell, command: "exit 3"}}]`,
  )
  await gateway.execute('parks')
  const told = await until('the letter', async () => {
    const now = await scrape(gateway.server.url)
    return now.of('noetl_dead_letters_total{reason="error"}') === 1 && now
  })
  for (const [series, value] of Object.entries({
    'noetl_queue_wait_seconds_count{lane="normal",cause="capacity"}': 2,
    'noetl_queue_wait_seconds_count{lane="normal",cause="retry"}': 1,
    'noetl_commands_finished_total{lane="normal",tool_kind="shell",outcome="retrying"}': 1,
    'noetl_commands_finished_total{lane="normal",tool_kind="shell",outcome="ok"}': 1,
    'noetl_dead_letters_total{reason="attempts"}': 0,
  })) {
    t.equal(told.of(series), value, series)
  }
  t.ok(told.of('noetl_queue_wait_seconds_sum{lane="normal",cause="retry"}') >= 5)
})

t.test('metrics: a scrape says so when Postgres or NATS are away, soon', async (t) => {
  const store = await ownServer(t)
  await migrate(store.url)
  const gateway = await testGateway(t, { plugins: PLUGINS, worker: false, databaseUrl: store.url })
  await gateway.nats.stop()
  await store.stop()
  const told = await until('the figures to be gone', async () => {
    const before = performance.now()
    const now = await scrape(gateway.server.url)
    t.ok(performance.now() - before < 5000, 'no scrape hangs')
    const gone =
      now.of('noetl_scrape_source_up{source="postgres"}') === 0 &&
      now.of('noetl_scrape_source_up{source="nats"}') === 0
    return gone && now
  })
  t.ok(told.text.includes('noetl_queue_commands{lane="normal",state="ready"} Nan'))
  t.equal(told.of('noetl_bus_connected'), 0)
  await gateway.nats.start()
  await store.restart()
  await until('the figures to be back', async () => {
    const now = await scrape(gateway.server.url)
    return (
      now.of('noetl_scrape_source_up{source="postgres"}') === 1 &&
      now.of('noetl_scrape_source_up{source="nats"}') === 1 &&
      now.of('noetl_queue_commands{lane="normal",state="ready"}') === 0
    )
  })
})

t.test('metrics: they are under the token, and where the options say', async (t) => {
  const gateway = await testGateway(t, {
    plugins: PLUGINS,
    worker: false,
    env: {
      NOETL_API_TOKEN: 'a-token',
      NOETL_PLUGIN_OPTIONS: '{"@noetl/metrics": {"path": "/internal/metrics"}}',
    },
  })
  const ask = (path: string, headers = {}) => fetch(`${gateway.server.url}${path}`, { headers })
  t.equal((await ask('/internal/metrics')).status, 401)
  const answer = await ask('/internal/metrics', { authorization: 'Bearer a-token' })
  t.equal(answer.status, 200)
  t.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.equal((await ask('/metrics', { authorization: 'Bearer a-token' })).status, 404)
  const wrong = readConfig(
    {},
    {
      DATABASE_URL: gateway.databaseUrl,
      NATS_URL: gateway.nats.url,
      NOETL_PORT: '0',
      NOETL_PLUGINS: '@noetl/metrics',
      NOETL_PLUGIN_OPTIONS: '{"@noetl/metrics": {"path": "metrics"}}',
    },
  )
  await t.rejects(startServer(wrong, { log: pino({ level: 'silent' }) }), {
    code: 'NOETL_ERR_PLUGIN_LOAD',
    message: /"path" is "metrics"/,
  })
})

t.test('metrics: turned off, nobody hears what the core tells', async (t) => {
  const gateway = await testGateway(t, {
    plugins: PLUGINS,
    env: { ...env, NOETL_PLUGIN_OPTIONS: '{"@noetl/metrics": false}' },
  })
  t.equal((await fetch(`${gateway.server.url}/metrics`)).status, 404)
  t.equal((await fetch(`${gateway.worker?.url}/metrics`)).status, 404)
  const names = [
    'events',
    'announced',
    'claimed',
    'leased',
    'rescued',
    'dead',
    'late',
    'upkeep',
    'call',
    'command',
  ]
  t.same(
    names.filter((name) => channel(`noetl:${name}`).hasSubscribers),
    [],
  )
})

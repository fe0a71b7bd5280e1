import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'nats'
import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { isHeard } from '../../../core/channels.ts'
import { readConfig } from '../../../core/config.ts'
import { startServer } from '../../../core/server.ts'
import { startWorker } from '../../../core/worker.ts'
import { KEY, testGateway } from '../../support/gateway.ts'
import { until } from '../../support/wait.ts'
import { type CollectedSpan, testCollector } from './collector.ts'

const PLUGINS = ['@noetl/tracing', '@noetl/tool-http', '@noetl/tool-shell', '@noetl/tool-python']
const CLIENT = { trace: '4bf92f3577b34da6a3ce929d0e0e4736', span: '00f067aa0ba902b7' }
const HEADER = `00-${CLIENT.trace}-${CLIENT.span}-01`
const SECRET = 'hunter2-of-the-payload'

/** The settings of OpenTelemetry, which reads them itself, for as long as a test runs. */
function otel(t: Tap, set: Record<string, string>): void {
  const before = { ...process.env }
  for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) delete process.env[name]
  Object.assign(process.env, set)
  t.teardown(() => {
    for (const name of Object.keys(set)) delete process.env[name]
    Object.assign(process.env, before)
  })
}
type Tap = { teardown(fn: () => unknown): void }

async function start(url: string, body: object, traceparent?: string): Promise<string> {
  const response = await fetch(`${url}/api/v2/execute`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(traceparent === undefined ? {} : { traceparent }),
    },
    body: JSON.stringify(body),
  })
  return ((await response.json()) as { execution_id: string }).execution_id
}

const hex = (id: string) => BigInt(id).toString(16).padStart(16, '0')
const of = (spans: CollectedSpan[], name: string) => spans.filter((span) => span.name === name)

t.test('tracing: a collector receives the whole tree, from the client to the calls of tools', async (t) => {
  const collector = await testCollector(t)
  otel(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' })
  const seen: (string | undefined)[] = []
  const target = createServer((request, response) => {
    seen.push(request.headers.traceparent as string | undefined)
    response.setHeader('content-type', 'application/json').end('{}')
  })
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => target.close(resolve).closeAllConnections()))
  const { port } = target.address() as AddressInfo

  const gateway = await testGateway(t, { plugins: PLUGINS })
  const nats = await connect({ servers: gateway.nats.url })
  t.teardown(() => nats.close())
  const hints: (string | undefined)[] = []
  nats.subscribe('noetl.commands', {
    callback: (_error, message) =>
      void hints.push(
        message.headers?.keys().includes('traceparent') ? message.headers.get('traceparent') : undefined,
      ),
  })
  await nats.flush()
  await gateway.register(`metadata: {path: traced}
workflow:
  - step: start
    tool:
      - first: {kind: shell, command: 'echo $TRACEPARENT'}
      - second: {kind: python, code: 'import os; result = {"seen": os.environ["TRACEPARENT"]}'}
    next: [{step: ask}]
  - step: ask
    tool: {kind: http, url: 'http://127.0.0.1:${port}/?key={{ workload.key }}'}
`)
  const id = await start(gateway.server.url, { path: 'traced', payload: { key: SECRET } }, HEADER)
  const ended = await gateway.ended(id)
  t.equal(ended.status, 'COMPLETED', ended.error ?? '')

  const spans = await until('all spans', async () =>
    collector.spans.length >= 7 ? collector.spans : undefined,
  )
  t.equal(spans.length, 7)
  t.ok(spans.every(({ traceId }) => traceId === CLIENT.trace))
  const [request] = of(spans, 'POST /api/v2/execute')
  const [execution] = of(spans, 'execution traced')
  t.equal(request?.parentSpanId, CLIENT.span, 'the request is under the span of the client')
  t.equal(execution?.parentSpanId, request?.spanId, 'the execution is under the request')
  t.equal(execution?.spanId, hex(id), 'its id is that of the execution')
  t.equal(execution?.service, 'noetl-server')
  t.match(execution?.attributes, {
    'noetl.execution_id': id,
    'noetl.path': 'traced',
    'noetl.status': 'COMPLETED',
  })
  const [first] = of(spans, 'step start')
  const [second] = of(spans, 'step ask')
  for (const step of [first, second]) {
    t.equal(step?.parentSpanId, execution?.spanId, 'commands are under the execution')
    t.equal(step?.spanId, hex(String(step?.attributes['noetl.command_id'])))
    t.match(step, { service: 'noetl-worker', links: [], failed: false })
  }
  t.match(first?.attributes, { 'noetl.step': 'start', 'noetl.attempt': 1, 'noetl.status': 'ok' })
  const [shell] = of(spans, 'shell first')
  const [python] = of(spans, 'python second')
  const [http] = spans.filter(({ name }) => name.startsWith('http '))
  t.equal(shell?.parentSpanId, first?.spanId, 'calls are under their command')
  t.equal(python?.parentSpanId, first?.spanId)
  t.equal(http?.parentSpanId, second?.spanId)
  const done = ended.events.find((event) => event.event_type === 'call.done' && event.node_name === 'start')
  const told = done?.result as { first: { stdout: string }; second: { seen: string } }
  const header = (span: CollectedSpan | undefined) => `00-${CLIENT.trace}-${span?.spanId}-01`
  t.equal(told.first.stdout.trim(), header(shell), 'a shell is given its own span')
  t.equal(told.second.seen, header(python), 'python is given its own span')
  t.same(seen, [header(http)], 'a request carries its own span')
  t.ok(hints.length >= 1)
  for (const hint of hints) t.equal(hint, header(execution), 'notifications carry the span of the execution')
  t.notMatch(collector.text(), SECRET)
  t.notMatch(collector.text(), String(port), 'no address of a request is told')

  const meta = (type: string) =>
    (ended.events.find((event) => event.event_type === type) as { meta?: { trace_id?: string } } | undefined)
      ?.meta
  t.equal(meta('playbook.started')?.trace_id, CLIENT.trace)
  t.equal(meta('playbook.completed')?.trace_id, CLIENT.trace)
})

t.test(
  'tracing: an execution that waits, and one that it waits for, have traces that are linked',
  async (t) => {
    const collector = await testCollector(t)
    otel(t, {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
      OTEL_BSP_SCHEDULE_DELAY: '50',
    })
    const gateway = await testGateway(t, { plugins: PLUGINS })
    await gateway.register('metadata: {path: below}\nworkflow:\n  - {step: start, tool: {kind: noop}}')
    await gateway.register(`metadata: {path: above}
workflow:
  - {step: start, tool: {kind: playbook, path: below}}
`)
    const id = await start(gateway.server.url, { path: 'above' }, HEADER)
    t.equal((await gateway.ended(id)).status, 'COMPLETED')
    const spans = await until('all spans', async () =>
      of(collector.spans, 'execution above').length > 0 && of(collector.spans, 'step start').length > 2
        ? collector.spans
        : undefined,
    )
    const [above] = of(spans, 'execution above')
    const [below] = of(spans, 'execution below')
    t.equal(above?.traceId, CLIENT.trace)
    t.not(below?.traceId, CLIENT.trace)
    t.equal(below?.parentSpanId, undefined)
    t.same(below?.links, [{ traceId: above?.traceId, spanId: above?.spanId }])
    const steps = of(spans, 'step start')
    const goneOn = steps.find(({ links }) => links.length > 0)
    t.same(goneOn?.links, [{ traceId: below?.traceId, spanId: below?.spanId }])
    t.equal(steps.find(({ traceId }) => traceId === below?.traceId)?.parentSpanId, below?.spanId)
  },
)

t.test('tracing: a repeat after a long wait is linked to the command before it', async (t) => {
  const collector = await testCollector(t)
  otel(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' })
  const gateway = await testGateway(t, { plugins: PLUGINS })
  const { status } = await gateway.run(`metadata: {path: again}
workflow:
  - step: start
    tool:
      kind: shell
      command: 'test {{ _attempt }} = 2'
      retry: {max_attempts: 2, initial_delay: 5}
`)
  t.equal(status, 'COMPLETED')
  const steps = await until('both commands', async () => {
    const found = of(collector.spans, 'step start')
    return found.length === 2 && of(collector.spans, 'execution again').length === 1 ? found : undefined
  })
  const [before, after] = steps
  t.equal(before?.attributes['noetl.status'], 'retrying')
  t.same(after?.links, [{ traceId: before?.traceId, spanId: before?.spanId }])
  const [execution] = of(collector.spans, 'execution again')
  const [request] = of(collector.spans, 'POST /api/v2/execute')
  t.equal(request?.parentSpanId, undefined, 'without a header, the request begins a trace')
  t.equal(execution?.parentSpanId, request?.spanId)
})

t.test('tracing: when the server dies, another one and the worker tell the same tree', async (t) => {
  const collector = await testCollector(t)
  otel(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' })
  const gateway = await testGateway(t, { plugins: PLUGINS, worker: false })
  await gateway.register(`metadata: {path: long}
workflow:
  - {step: start, tool: {kind: shell, command: 'exit 3'}, next: [{step: end, when: '{{ false }}'}]}
  - {step: end, tool: {kind: noop}}
`)
  const id = await start(gateway.server.url, { path: 'long' }, HEADER)
  await gateway.server.close()
  const log = pino({ level: 'silent' })
  const env = {
    DATABASE_URL: gateway.databaseUrl,
    NATS_URL: gateway.nats.url,
    NOETL_PORT: '0',
    NOETL_ENCRYPTION_KEY: KEY,
    NOETL_PLUGINS: PLUGINS.join(','),
  }
  const other = await startServer(readConfig({}, env), { log })
  t.teardown(() => other.close())
  const worker = await startWorker(readConfig({}, { ...env, SERVER_API_URL: other.url }), { log })
  t.teardown(() => worker.close())
  const spans = await until('the end', async () =>
    of(collector.spans, 'execution long').length > 0 && of(collector.spans, 'step start').length > 0
      ? collector.spans
      : undefined,
  )
  const [execution] = of(spans, 'execution long')
  const [request] = of(spans, 'POST /api/v2/execute')
  t.ok(spans.every(({ traceId }) => traceId === CLIENT.trace))
  t.equal(execution?.spanId, hex(id))
  t.equal(execution?.parentSpanId, request?.spanId)
  t.equal(execution?.failed, true)
  t.match(of(spans, 'step start')[0], { parentSpanId: hex(id), failed: true })
})

t.test('tracing: a dead letter has the id of its trace', async (t) => {
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-shell'] })
  await gateway.register(`metadata: {path: parked}
executor: {spec: {on_error: park}}
workflow:
  - {step: start, tool: {kind: shell, command: 'exit 3'}}
`)
  const id = await start(gateway.server.url, { path: 'parked' }, HEADER)
  const db = new pg.Client({ connectionString: gateway.databaseUrl })
  await db.connect()
  t.teardown(() => db.end())
  const letter = await until('the letter', async () => {
    const { rows } = await db.query('SELECT trace_id FROM noetl.dead_letter WHERE execution_id = $1', [id])
    return rows[0] as { trace_id: string } | undefined
  })
  t.equal(letter.trace_id, CLIENT.trace, 'with or without the plugin')
})

t.test(
  'tracing: what the client does not sample is not told, and a broken header is passed over',
  async (t) => {
    const collector = await testCollector(t)
    otel(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' })
    const gateway = await testGateway(t, { plugins: PLUGINS })
    await gateway.register('metadata: {path: one}\nworkflow:\n  - {step: start, tool: {kind: noop}}')
    const unsampled = await start(gateway.server.url, { path: 'one' }, `${HEADER.slice(0, -1)}0`)
    await gateway.ended(unsampled)
    const broken = await start(gateway.server.url, { path: 'one' }, `00-${'0'.repeat(32)}-${CLIENT.span}-01`)
    await gateway.ended(broken)
    const spans = await until('the spans of the second', async () =>
      collector.spans.length >= 4 ? collector.spans : undefined,
    )
    t.ok(spans.every(({ traceId }) => traceId !== CLIENT.trace && !/^0+$/.test(traceId)))
    t.equal(spans.length, 4)
  },
)

t.test('tracing: without a place to send spans to, the plugin does nothing', async (t) => {
  otel(t, {})
  const gateway = await testGateway(t, { plugins: PLUGINS })
  t.notOk(isHeard('noetl:call'))
  t.notOk(isHeard('noetl:command'))
  const { status } = await gateway.run(
    'metadata: {path: one}\nworkflow:\n  - {step: start, tool: {kind: noop}}',
  )
  t.equal(status, 'COMPLETED')
})

t.test('tracing: a collector that is away holds nobody up', async (t) => {
  const collector = createServer()
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  const { port } = collector.address() as AddressInfo
  await new Promise((resolve) => collector.close(resolve))
  otel(t, { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`, OTEL_BSP_SCHEDULE_DELAY: '50' })
  const gateway = await testGateway(t, { plugins: PLUGINS })
  const { status } = await gateway.run(
    'metadata: {path: one}\nworkflow:\n  - {step: start, tool: {kind: noop}}',
  )
  t.equal(status, 'COMPLETED')
  const startedAt = performance.now()
  await gateway.worker?.close()
  await gateway.server.close()
  t.ok(performance.now() - startedAt < 10_000)
})

import { readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'
import { runCli } from '../support/run-cli.ts'
import { until } from '../support/wait.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-python'] })
const dir = await mkdtemp(join(tmpdir(), 'noetl-test-cli-'))
t.teardown(() => rm(dir, { recursive: true, force: true }))
const env = { SERVER_API_URL: gateway.server.url }
const ctl = (args: string[], input?: string) =>
  runCli(args, { env, cwd: dir, ...(input === undefined ? {} : { input }) })

const HELLO = `metadata: {path: cli/hello}
workload: {message: hi, deep: {n: 1}}
workflow:
- step: start
  tool: {kind: python, input: {message: "{{ message }}", n: "{{ deep.n }}"}, code: "result = [message, n]"}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: "{{ start.data }}"}}`
await writeFile(join(dir, 'hello.yaml'), HELLO)
await writeFile(
  join(dir, 'fail.yaml'),
  'metadata: {path: cli/fail}\nworkflow:\n- {step: start, tool: {kind: python, code: "raise ValueError(42)"}}',
)
await writeFile(
  join(dir, 'slow.yaml'),
  'metadata: {path: cli/slow}\nworkflow:\n- {step: start, tool: {kind: python, code: "import time; time.sleep(600)"}}',
)
await writeFile(
  join(dir, 'broken.yaml'),
  'metadata: {path: b}\nworkflow:\n- step: start\n  next: {arcs: [{step: nowhere}]}\n- step: start',
)
await writeFile(join(dir, 'bad.yaml'), 'a: [1\nb: 2')

t.test('playbook: register, list and show', async (t) => {
  const registered = await ctl(['playbook', 'register', 'hello.yaml', 'fail.yaml', 'slow.yaml', '--json'])
  t.equal(registered.code, 0)
  t.match(registered.json(), {
    registered: [
      { file: 'hello.yaml', path: 'cli/hello', version: 1, kind: 'Playbook', catalog_id: /^\d+$/ },
      { path: 'cli/fail' },
      { path: 'cli/slow' },
    ],
  })
  const listed = await ctl(['playbook', 'list'])
  t.match(listed.out, /^PATH +VERSION +REGISTERED\ncli\/fail +1 +\ds ago\ncli\/hello +1 /)
  t.equal((await ctl(['playbook', 'show', 'cli/hello'])).out, `${HELLO}\n`)
  const missing = await ctl(['playbook', 'show', 'cli/helo'])
  t.equal(missing.code, 5)
  t.match(missing.err, /cli\/helo.*Near: cli\/hello.*\nCode: NOETL_ERR_PLAYBOOK_NOT_FOUND/)
})

t.test('playbook validate: needs no server, tells every fault with its place, exit code 3', async (t) => {
  const result = await runCli(['playbook', 'validate', 'broken.yaml', 'bad.yaml', 'hello.yaml'], { cwd: dir })
  t.equal(result.code, 3)
  t.match(result.out, /^broken\.yaml:\d+:\d+: error: step "start" is there already/m)
  t.match(result.out, /^broken\.yaml:4:\d+: error: step "start" leads to "nowhere"/m)
  t.match(result.out, /^bad\.yaml:2:1: error: /m)
  t.match(result.out, /^hello\.yaml: valid \(cli\/hello\)/m)
  const json = (await runCli(['playbook', 'validate', '-', '--json'], { cwd: dir, input: HELLO })).json()
  t.same(json.results, [{ file: 'standard input', valid: true, path: 'cli/hello', faults: [], warnings: [] }])
})

t.test('execute: starts, and waits or watches when asked to', async (t) => {
  const started = await ctl(['execute', 'cli/hello', '--json'])
  t.match(started.json(), { execution_id: /^\d+$/, status: 'started', commands_generated: 1 })
  const waited = await ctl([
    'execute',
    'cli/hello',
    '--payload',
    '{"message": "a"}',
    '--set',
    'deep.n=7',
    '--wait',
    '--json',
  ])
  t.equal(waited.code, 0)
  t.match(waited.json(), { status: 'COMPLETED', result: ['a', 7], completed_steps: ['start', 'end'] })
  const watched = await ctl(['execute', 'cli/hello', '--set', 'message=plain text', '--watch'])
  t.match(watched.out, /ok +start[^\n]*\n.*ok +end[^\n]*\nCOMPLETED {2}cli\/hello \(version 1\)/s)
  t.match(watched.out, /"plain text"/)
  const file = await ctl(
    ['execute', 'cli/hello', '--payload', '@-', '--wait', '--json'],
    '{"message": "from input"}',
  )
  t.match(file.json(), { result: ['from input', 1] })
})

t.test('execute: a run that fails is exit code 1, one that is not done in time 124', async (t) => {
  const failed = await ctl(['execute', 'cli/fail', '--wait'])
  t.equal(failed.code, 1)
  t.match(failed.out, /FAILED {2}cli\/fail.*\nfailed +start\nerror +ValueError: 42 \(line 1\)/s)
  const late = await ctl(['execute', 'cli/slow', '--wait', '--timeout', '1'])
  t.equal(late.code, 124)
  t.match(late.err, /noetlctl execution watch \d+/)
})

t.test('execute: wrong input has its exit code and says what was expected', async (t) => {
  for (const [args, code, message] of [
    [['execute', 'cli/helo'], 5, /Near: cli\/hello/],
    [['execute', 'cli/hello', '--payload', '{'], 3, /--payload is no JSON/],
    [['execute', 'cli/hello', '--payload', '[1]'], 3, /must be a JSON object/],
    [['execute', 'cli/hello', '--payload', '@nothing.json'], 3, /no such file/],
    [['execute', 'cli/hello', '--set', 'message'], 3, /key=value was expected/],
    [['execute', 'cli/hello', '--set', '__proto__.x=1'], 3, /key=value was expected/],
    [['execute'], 2, /Missing 1 required arg/],
    [['execute', 'cli/hello', '--wacth'], 2, /Nonexistent flag: --wacth/],
    [['execute', 'cli/hello', '--watch', '--wait'], 2, /cannot also be provided/],
    [['execute', 'cli/hello', '--timeout', '5'], 2, /--timeout .* --wait or --watch/],
    [['playbok', 'list'], 2, /playbok list is no command.*Near: playbook list/s],
    [['playbook', 'foo'], 2, /playbook foo is no command\. See: noetlctl playbook --help/],
    [['playbook', 'register', 'broken.yaml'], 3, /broken\.yaml: .*leads to "nowhere"/s],
    [['playbook', 'register', 'nothing.yaml'], 3, /nothing\.yaml cannot be read/],
    [['execution', 'show', '77'], 5, /There is no execution 77/],
    [['execution', 'show', 'abc'], 3, /id/],
    [['execution', 'list', '--status', 'DONE'], 3, /one of RUNNING/],
  ] as [string[], number, RegExp][]) {
    const result = await ctl(args)
    t.equal(result.code, code, args.join(' '))
    t.match(result.err, message, args.join(' '))
    t.equal(result.out, '', 'errors are not on standard output')
  }
})

t.test('errors: with --json they are an object on standard output', async (t) => {
  const result = await ctl(['execution', 'show', '77', '--json'])
  t.equal(result.code, 5)
  t.match(result.json(), { error: { code: 'NOETL_ERR_EXECUTION_NOT_FOUND', message: /no execution 77/ } })
  const faults = await ctl(['playbook', 'register', 'broken.yaml', '--json'])
  t.match(faults.json(), {
    error: { code: 'NOETL_ERR_PLAYBOOK_INVALID', details: { faults: [{ line: Number }, { line: Number }] } },
  })
})

t.test('execution: list, show, watch and events', async (t) => {
  const id = await gateway.execute('cli/hello', { message: 'z' })
  await gateway.ended(id)
  t.match(
    (await ctl(['execution', 'list', '--path', 'cli/hello', '--limit', '1'])).out,
    new RegExp(`ID +STATUS +STARTED +TOOK +PATH.*\n${id} +COMPLETED +\\ds ago +\\d+ ms +cli/hello`),
  )
  t.match((await ctl(['execution', 'list', '--json'])).json(), {
    executions: [{ execution_id: id, status: 'COMPLETED', started_at: /^2\d{3}-.*Z$/ }],
  })
  t.match((await ctl(['execution', 'show', id])).out, /COMPLETED.*steps +start, end\nresult +\[\n +"z",/s)
  t.match((await ctl(['execution', 'watch', id])).out, /ok +start/)
  t.match(
    (await ctl(['execution', 'events', id])).out,
    /playbook\.started.*command\.issued.*call\.done.*playbook\.completed/s,
  )
  t.match((await ctl(['execution', 'events', id, '--type', 'call_done', '--json'])).json(), {
    events: [{ event_type: 'call.done', node_name: 'start' }, { node_name: 'end' }],
    pagination: { total_events: 2 },
  })
})

t.test(
  'execution cancel: ends an execution and those it started, or with --no-cascade only itself',
  async (t) => {
    await writeFile(
      join(dir, 'parent.yaml'),
      'metadata: {path: cli/parent}\nworkflow: [{step: start, tool: {kind: playbook, path: cli/slow}}]',
    )
    t.equal((await ctl(['playbook', 'register', 'parent.yaml'])).code, 0)
    const childOf = (parent: string) =>
      until('the child', async () => {
        const all = await gateway.client.request<
          { execution_id: string; path: string; status: string; parent_execution_id: string | null }[]
        >('GET', '/api/executions?path=cli/slow')
        return all.find(({ parent_execution_id }) => parent_execution_id === parent)
      })
    const first = await gateway.execute('cli/parent')
    const child = await childOf(first)
    const alone = await ctl(['execution', 'cancel', first, '--no-cascade', '--json'])
    t.match(alone.json(), { status: 'cancelled', cancelled_executions: [first] })
    t.equal((await childOf(first)).status, 'RUNNING')
    t.match((await ctl(['execution', 'cancel', child.execution_id])).out, /was cancelled/)

    const second = await gateway.execute('cli/parent')
    const other = await childOf(second)
    const both = await ctl(['execution', 'cancel', second, '--reason', 'enough of it'])
    t.equal(both.code, 0)
    t.match(
      both.out,
      new RegExp(`${second} was cancelled\\.\\nSo was one that it started: ${other.execution_id}`),
    )
    const { events } = await gateway.ended(second)
    t.match(events.at(-1), { event_type: 'playbook.cancelled', meta: { reason: 'enough of it' } })
    const again = await ctl(['execution', 'cancel', second])
    t.match(again, { code: 0, out: /was CANCELLED before/ })
    t.equal((await ctl(['execution', 'cancel', '77'])).code, 5)
  },
)

t.test('a server that does not answer is exit code 7 with what to type', async (t) => {
  const result = await runCli(['execution', 'list', '--server', 'http://127.0.0.1:1'])
  t.equal(result.code, 7)
  t.match(result.err, /No server answers at http:\/\/127\.0\.0\.1:1: .*noetlctl dev/)
})

t.test('a server that does not finish its answer is exit code 7 after the time given', async (t) => {
  const server = createServer((_request, response) => {
    // Drips for ever: each part alone would be in time.
    response.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => response.write(' '), 100)
    response.on('close', () => clearInterval(timer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const result = await runCli(['execution', 'list', '--server', url, '--request-timeout', '1'])
  t.equal(result.code, 7)
  t.match(result.err, /GET \/api\S* took more than 1 s \(--request-timeout\)/)
})

const MIGRATIONS = readdirSync(new URL('../../core/store/migrations/', import.meta.url))
  .map((file) => file.slice(0, -4))
  .sort()

t.test('setup: makes schema, stream and consumers once', async (t) => {
  const databaseUrl = (await (await import('../support/postgres.ts')).testDatabase(t, { migrated: false }))
    .url
  const args = ['setup', '--database-url', databaseUrl, '--nats-url', gateway.nats.url]
  t.match((await runCli([...args, '--json'])).json(), {
    migrations: MIGRATIONS,
    schemaVersion: MIGRATIONS.length,
    stream: { name: 'NOETL_COMMANDS', created: false },
    consumers: ['noetl-worker-pool'],
  })
  t.match((await runCli(args)).out, /schema version \d+, nothing to apply\nstream +NOETL_COMMANDS was there/)
  t.match((await runCli([...args, '--lanes', 'high,normal', '--pool', 'gpu', '--json'])).json(), {
    consumers: ['noetl-worker-pool-high-gpu', 'noetl-worker-pool-normal-gpu'],
  })
})

t.test('setup: unreachable Postgres and NATS are told, visibly tried again, and exit code 7', async (t) => {
  const quick = { NOETL_START_PATIENCE_SECONDS: '0.3' }
  const store = await runCli(['setup', '--database-url', 'postgresql://noetl:s3cret@127.0.0.1:1/x'], {
    env: quick,
  })
  t.equal(store.code, 7)
  t.match(
    store.err,
    /Postgres does not answer yet; trying again.*Postgres at postgresql:\/\/noetl:\*\*\*@127\.0\.0\.1:1\/x does not answer: .*ECONNREFUSED.*DATABASE_URL/s,
  )
  t.notMatch(store.err, /s3cret/)
  const bus = await runCli(
    ['setup', '--database-url', gateway.databaseUrl, '--nats-url', 'nats://u:s3cret@127.0.0.1:1'],
    { env: quick },
  )
  t.equal(bus.code, 7)
  t.match(bus.err, /NATS at nats:\/\/u:\*\*\*@127\.0\.0\.1:1 does not answer: .*NATS_URL/s)
  t.notMatch(bus.err, /s3cret/)
})

t.test('server start: a database without the schema says what to type; a taken port too', async (t) => {
  const { url } = await (await import('../support/postgres.ts')).testDatabase(t, { migrated: false })
  const bare = await runCli([
    'server',
    'start',
    '--database-url',
    url,
    '--nats-url',
    gateway.nats.url,
    '--port',
    '0',
  ])
  t.match(bare, {
    code: 1,
    err: /schema version 0, this server needs \d+\. Run: noetlctl setup\nCode: NOETL_ERR_STORE_SCHEMA/,
  })
  const port = new URL(gateway.server.url).port
  const taken = await runCli([
    'server',
    'start',
    '--database-url',
    gateway.databaseUrl,
    '--nats-url',
    gateway.nats.url,
    '--port',
    port,
  ])
  t.match(taken, { code: 1, err: /Cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE.*--port/ })
})

t.test('configuration: all faults at once, exit code 3', async (t) => {
  const result = await runCli([
    'server',
    'start',
    '--port',
    '99999',
    '--nats-url',
    'http://x',
    '--host',
    '0.0.0.0',
  ])
  t.equal(result.code, 3)
  t.match(result.err, /NOETL_HOST is 0\.0\.0\.0.*NATS_URL is no nats.*/s)
  t.match(result.err, /NOETL_PORT is "99999"/)
})

import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { request } from 'undici'
import { startServer } from '../../core/server.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { worker: false })
const { url } = gateway.server
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())
await gateway.register(`metadata: {path: jobs/one}
workload: {n: 1, db: {host: h, port: 1}, at: "run {{ execution_id }}"}
workflow: [{step: start, tool: {kind: noop, result: "{{ n }}"}}]`)
await gateway.register('metadata: {path: jobs/two}\nworkflow: [{step: start, tool: {kind: noop}}]')

interface Started {
  execution_id: string
  status: string
  commands_generated: number
}
async function send<T = Record<string, unknown>>(
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
  base = url,
) {
  const answer = await request(base + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.statusCode, body: (await answer.body.json()) as T }
}
const execute = async (body: object, base?: string) =>
  (await send<Started>('POST', '/api/execute', body, base)).body
const workloadOf = async (id: string) =>
  (await send<{ workload: Record<string, unknown> }>('GET', `/api/executions/${id}`)).body.workload
const executions = async () =>
  Number((await pool.query('SELECT count(*) FROM noetl.execution')).rows[0].count)

t.test('execute: workload means payload; of both, the payload’s keys win', async (t) => {
  const { execution_id } = await execute({
    path: 'jobs/one',
    workload: { n: 2, x: 'w' },
    payload: { x: 'p' },
  })
  t.same(await workloadOf(execution_id), {
    n: 2,
    x: 'p',
    db: { host: 'h', port: 1 },
    at: `run ${execution_id}`,
  })
})

t.test('execute: what clients send beside is taken, and kept where it says something', async (t) => {
  const answer = await execute({
    path: 'jobs/one',
    version: 'latest',
    resource_kind: 'playbook',
    execution_pool: 'heavy',
    trace: { traceparent: '00-abc' },
    parent_execution_id: null,
    payload: null,
  })
  t.match(answer, { status: 'started', commands_generated: 1, execution_id: /^\d+$/ })
  const { body } = await send<{ events: { meta: object }[] }>('GET', `/api/executions/${answer.execution_id}`)
  t.match(body.events[0]!.meta, { execution_pool: 'heavy', trace: { traceparent: '00-abc' } })
})

t.test('dedup: within the window the same key of the same path finds the earlier execution', async (t) => {
  const dedup = { key: 'order-1', window_secs: 60 }
  const first = await execute({ path: 'jobs/one', dedup })
  t.equal(first.status, 'started')
  const before = await executions()
  t.same(await execute({ path: 'jobs/one', dedup, payload: { n: 9 } }), {
    execution_id: first.execution_id,
    status: 'duplicate',
    commands_generated: 0,
  })
  t.equal(await executions(), before, 'nothing was started')
  t.equal((await execute({ path: 'jobs/two', dedup })).status, 'started', 'another path')
  t.equal((await execute({ path: 'jobs/one', dedup: { ...dedup, key: 'order-2' } })).status, 'started')
  await pool.query(
    `UPDATE noetl.start_key SET created_at = now() - interval '61 seconds' WHERE execution_id = $1`,
    [first.execution_id],
  )
  const later = await execute({ path: 'jobs/one', dedup })
  t.equal(later.status, 'started', 'the window is over')
  t.not(later.execution_id, first.execution_id)
})

t.test('dedup: forty at once on two servers start one', async (t) => {
  const other = await startServer(gateway.config, { log: pino({ level: 'silent' }) })
  t.teardown(() => other.close())
  const dedup = { key: 'at once', window_secs: 600 }
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) => execute({ path: 'jobs/one', dedup }, n % 2 ? other.url : url)),
  )
  t.equal(answers.filter(({ status }) => status === 'started').length, 1)
  t.equal(answers.filter(({ status }) => status === 'duplicate').length, 39)
  t.equal(new Set(answers.map(({ execution_id }) => execution_id)).size, 1)
  const { rows } = await pool.query('SELECT status FROM noetl.execution WHERE execution_id = $1', [
    answers[0]!.execution_id,
  ])
  t.equal(rows.length, 1)
})

t.test('dedup: a key whose start died is taken over, and one whose start was refused is free', async (t) => {
  const dedup = { key: 'died', window_secs: 3600 }
  const first = await execute({ path: 'jobs/one', dedup })
  await pool.query(
    `UPDATE noetl.start_key SET execution_id = 77, created_at = now() - interval '2 minutes' WHERE execution_id = $1`,
    [first.execution_id],
  )
  t.equal((await execute({ path: 'jobs/one', dedup })).status, 'started')
  const keys = async () => Number((await pool.query('SELECT count(*) FROM noetl.start_key')).rows[0].count)
  const before = await keys()
  t.match(await execute({ path: 'jobs/none', dedup }), { code: 'NOETL_ERR_PLAYBOOK_NOT_FOUND' })
  t.equal(await keys(), before)
})

t.test('dedup: keys that no window reaches any more are forgotten', async (t) => {
  await execute({ path: 'jobs/one', dedup: { key: 'old', window_secs: 1 } })
  await pool.query(`UPDATE noetl.start_key SET created_at = now() - interval '8 days'`)
  await execute({ path: 'jobs/one', dedup: { key: 'new', window_secs: 1 } })
  const { rows } = await pool.query('SELECT count(*)::int AS count FROM noetl.start_key')
  t.equal(rows[0].count, 1)
})

t.test('batch: each start has its own result; of two with one key the first is started', async (t) => {
  const dedup = { key: 'b', window_secs: 60 }
  const { status, body } = await send('POST', '/api/execute/batch', {
    executions: [
      { path: 'jobs/one', payload: { n: 5 } },
      { path: 'jobs/none' },
      { path: 'jobs/two', dedup },
      { path: 'jobs/two', dedup },
      { path: 'jobs/one', version: 9 },
    ],
  })
  t.equal(status, 200)
  t.match(body, { count: 5, started: 2, duplicates: 1, failed: 2 })
  const results = body.results as (Started & { index: number; error: string | null; code?: string })[]
  t.same(
    results.map((result) => [result.index, result.status, result.commands_generated]),
    [
      [0, 'started', 1],
      [1, 'failed', 0],
      [2, 'started', 1],
      [3, 'duplicate', 0],
      [4, 'failed', 0],
    ],
  )
  t.equal(results[3]!.execution_id, results[2]!.execution_id)
  t.match(results[1], { execution_id: null, code: 'NOETL_ERR_PLAYBOOK_NOT_FOUND', error: /jobs\/none/ })
  t.match(results[4], { error: /version 9 is not/ })
  t.match(await workloadOf(results[0]!.execution_id), { n: 5 })
})

t.test('batch: a list with a fault in it starts nothing', async (t) => {
  const before = await executions()
  for (const executions of [
    [{ path: 'jobs/one' }, { path: 7 }],
    [{ path: 'jobs/one' }, 'jobs/one'],
    [],
    Array.from({ length: 1001 }, () => ({ path: 'jobs/one' })),
  ]) {
    t.match(await send('POST', '/api/execute/batch', { executions }), {
      status: 422,
      body: { code: 'NOETL_ERR_REQUEST_INVALID' },
    })
  }
  t.equal(await executions(), before)
})

t.test('run: the first spelling, with args or parameters, replacing or merging', async (t) => {
  const run = async (body: object, kind = 'playbook') =>
    (await send<Started>('POST', `/api/run/${kind}`, { path: 'jobs/one', ...body })).body.execution_id
  t.match(await workloadOf(await run({ args: { n: 3 } })), { n: 3, db: { host: 'h', port: 1 } })
  t.match(await workloadOf(await run({ parameters: { n: 4 } }, 'Playbooks')), { n: 4 })
  t.same((await workloadOf(await run({ args: { db: { port: 2 } } }))).db, { port: 2 })
  t.same((await workloadOf(await run({ args: { db: { port: 2 } }, merge: true }))).db, { host: 'h', port: 2 })
  t.match(await send('POST', '/api/run/credential', { path: 'jobs/one' }), {
    status: 422,
    body: { error: /run\/playbook was expected/ },
  })
})

t.test('execute: what cannot be is refused with its reason', async (t) => {
  const before = await executions()
  for (const [body, message] of [
    [{ path: 'jobs/one', dedup: { key: '', window_secs: 1 } }, /dedup\/key/],
    [{ path: 'jobs/one', dedup: { key: 'k', window_secs: 0 } }, /window_secs/],
    [{ path: 'jobs/one', dedup: { key: 'k', window_secs: 1e12 } }, /window_secs/],
    [{ path: 'jobs/one', dedup: { key: 'k' } }, /window_secs/],
    [{ path: 'jobs/one', workload: [1] }, /body\/workload/],
    [{ path: 'jobs/one\0', payload: {} }, /cannot be stored/],
    [{ catalog_id: '9999999999999999999' }, /cannot be stored/],
    [{ path: 'jobs/one', version: 4294967296 }, /version/],
    [{ path: 'jobs/one', parent_execution_id: '9999999999999999999' }, /cannot be stored/],
  ] as const) {
    t.match(await send('POST', '/api/v2/execute', body), {
      status: 422,
      body: { code: 'NOETL_ERR_REQUEST_INVALID', error: message },
    })
  }
  t.equal(await executions(), before)
  const { body } = await send<Started>('POST', '/api/v2/execute', {
    path: 'jobs/one',
    payload: JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
  })
  t.notOk('polluted' in {})
  t.match(await workloadOf(body.execution_id), { constructor: 1, n: 1 })
})

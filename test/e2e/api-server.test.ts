import pg from 'pg'
import t from 'tap'
import { send as sendTo } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { worker: false })
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())
const send = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
  sendTo(gateway.server.url, method, path, body)
await gateway.register(`metadata: {path: server/two}
workflow:
- {step: start, tool: {kind: noop}, next: {arcs: [{step: end}]}}
- {step: end, tool: {kind: noop}}`)
await gateway.register('metadata: {path: server/one}\nworkflow: [{step: start, tool: {kind: noop}}]')
interface Item {
  queue_id: string
  execution_id: string
  node_name: string
  status: string
}
const queueOf = async (id: string) =>
  (await send('GET', `/api/queue?execution_id=${id}`)).body.items as Item[]

t.test('queue: looked at, leased, kept, completed, as the first workers asked', async (t) => {
  t.match((await send('POST', '/api/queue/lease', { worker_id: 'w1' })).body, { status: 'empty', job: null })
  const id = await gateway.execute('server/two')
  t.match((await send('GET', '/api/queue')).body, {
    status: 'ok',
    count: 1,
    items: [
      {
        execution_id: id,
        node_name: 'start',
        action: 'noop',
        status: 'queued',
        attempts: 0,
        worker_id: null,
      },
    ],
  })
  for (const path of ['/api/queue/size', '/api/jobs/queue/size', '/api/v2/queue/size']) {
    t.match((await send('GET', path)).body, { status: 'ok', count: 1, queued: 1, running: 0, dead: 0 })
  }
  const leased = await send('POST', '/api/queue/lease', { worker_id: 'w1', lease_seconds: 60 })
  const { queue_id } = (await queueOf(id))[0]!
  t.match(leased.body, {
    status: 'ok',
    job: { queue_id, execution_id: id, node_name: 'start', action: 'noop', meta: { attempt: 1 } },
  })
  t.notMatch(JSON.stringify(await queueOf(id)), /token/)
  t.match(await queueOf(id), [{ status: 'running', worker_id: 'w1', attempts: 1 }])
  t.match((await send('GET', '/api/queue/size?status=leased')).body, { count: 1 })
  t.match((await send('GET', '/api/queue?status=queued')).body, { count: 0 })
  t.match((await send('POST', '/api/queue/lease', { worker_id: 'w2' })).body, { status: 'empty' })

  t.match(await send('POST', `/api/queue/${queue_id}/heartbeat`, { worker_id: 'w1', extend_seconds: 60 }), {
    status: 200,
    body: { status: 'ok', queue_id, lease_seconds: 15 },
  })
  t.match(await send('POST', `/api/queue/${queue_id}/heartbeat`, { worker_id: 'w2' }), { status: 409 })
  t.match(await send('POST', `/api/queue/${queue_id}/complete`, { worker_id: 'w2', result: 1 }), {
    status: 409,
    body: { code: 'NOETL_ERR_COMMAND_LATE' },
  })
  t.match(await send('POST', `/api/queue/${queue_id}/complete`, { worker_id: 'w1', result: { x: 1 } }), {
    status: 200,
    body: { status: 'ok', outcome: 'recorded', commands_generated: 1, event_id: /^\d+$/ },
  })
  t.match(
    await send('POST', `/api/queue/${queue_id}/complete`, { worker_id: 'w1' }),
    { status: 200, body: { outcome: 'duplicate' } },
    'settled before, by this or by its event',
  )
  t.match(await queueOf(id), [{ node_name: 'end', status: 'queued' }])
  const second = (await send('POST', '/api/queue/lease', { worker_id: 'w1' })).body.job as Item
  t.match(
    await send('POST', `/api/queue/${second.queue_id}/fail`, { worker_id: 'w1', error: 'out of luck' }),
    {
      body: { outcome: 'recorded' },
    },
  )
  t.match(await gateway.ended(id), { status: 'FAILED', error: 'out of luck' })
})

t.test('queue: twenty who lease at once get different commands, and none is left over', async (t) => {
  await send('POST', '/api/execute/batch', {
    executions: Array.from({ length: 20 }, () => ({ path: 'server/one' })),
  })
  const answers = await Promise.all(
    Array.from({ length: 25 }, (_, n) => send('POST', '/api/queue/lease', { worker_id: `w${n}` })),
  )
  const jobs = answers.flatMap(({ body }) => (body.status === 'ok' ? [(body.job as Item).queue_id] : []))
  // Who looked while others held all of them was told that there is none; they are there still.
  for (;;) {
    const { body } = await send('POST', '/api/queue/lease', { worker_id: 'last' })
    if (body.status === 'empty') break
    jobs.push((body.job as Item).queue_id)
  }
  t.equal(jobs.length, 20)
  t.equal(new Set(jobs).size, 20, 'none twice')
})

t.test('queue: what cannot be is refused', async (t) => {
  t.equal((await send('POST', '/api/queue/lease', {})).status, 422)
  t.equal((await send('GET', '/api/queue?status=done')).status, 422)
  t.equal((await send('GET', '/api/queue?limit=1001')).status, 422)
  t.equal((await send('GET', "/api/queue?execution_id=1'")).status, 422)
  for (const act of ['complete', 'fail', 'heartbeat']) {
    t.match(await send('POST', `/api/queue/77/${act}`, { worker_id: 'w' }), {
      status: 404,
      body: { code: 'NOETL_ERR_COMMAND_NOT_FOUND' },
    })
    t.equal((await send('POST', `/api/queue/77/${act}`, {})).status, 422)
  }
})

t.test('runtime and broker: the older names of workers, and what is beside them', async (t) => {
  t.match(
    await send('POST', '/api/runtime/register', {
      name: 'r1',
      component_type: 'worker_pool',
      runtime: 'python',
    }),
    {
      status: 200,
      body: { status: 'ok', name: 'r1', kind: 'worker_pool', runtime: 'python', runtime_id: /^\d+$/ },
    },
  )
  t.match(
    (await send('POST', '/api/broker/register', { name: 'b1', runtime: 'http', uri: 'http://b' })).body,
    {
      kind: 'broker',
    },
  )
  t.match((await send('GET', '/api/worker/pools')).body, {
    count: 1,
    items: [{ name: 'r1', status: 'ready' }],
  })
  t.match((await send('GET', '/api/brokers')).body, {
    count: 1,
    items: [{ name: 'b1', meta: { kind: 'broker', uri: 'http://b' } }],
  })
  t.match((await send('GET', '/api/v2/brokers?status=offline')).body, { count: 0, status: 'offline' })
  t.match(await send('POST', '/api/broker/heartbeat', { name: 'b1' }), { status: 200 })
  t.match(await send('POST', '/api/broker/heartbeat', { name: 'b2' }), { status: 404 })
  t.match(
    (
      await send('POST', '/api/broker/heartbeat', {
        name: 'b2',
        registration: { runtime: 'x', kind: { a: 1 } },
      })
    ).body,
    {
      name: 'b2',
      kind: 'broker',
    },
  )
  t.match(await send('DELETE', '/api/broker/deregister', { name: 'b1' }), { status: 200 })
  t.match(await send('POST', '/api/broker/deregister', { name: 'b2' }), { status: 200 })
  t.match(await send('DELETE', '/api/runtime/deregister', { name: 'r1' }), { status: 200 })
  t.match(await send('POST', '/api/runtime/deregister', { name: 'r1' }), { status: 404 })
  t.match((await send('GET', '/api/worker/pools')).body, { count: 0 })
  for (const body of [{}, { name: '' }, { name: 'x', capacity: 1.5 }, { name: 'x', capacity: 1e12 }]) {
    t.equal((await send('POST', '/api/runtime/register', body)).status, 422)
  }
})

t.test('status, pools and figures of a dashboard', async (t) => {
  await pool.query(
    `UPDATE noetl.execution SET created_at = now() - interval '1 day' WHERE status = 'RUNNING'`,
  )
  await send('POST', '/api/executions/cleanup', { older_than_minutes: 1 })
  const before = (await send('GET', '/api/dashboard/stats')).body as Record<string, number>
  const id = await gateway.execute('server/one')
  await send('POST', `/api/executions/${id}/finalize`, { status: 'COMPLETED' })
  const running = await gateway.execute('server/one')
  await send('POST', '/api/catalog/delete', { path: 'server/two' })
  await send('POST', '/api/worker/pool/register', { name: 'w' })
  const { body } = await send('GET', '/api/dashboard/stats')
  t.match(body, {
    status: 'ok',
    total_executions: before.total_executions! + 2,
    successful_executions: before.successful_executions! + 1,
    failed_executions: before.failed_executions,
    active_executions: 1,
    total_playbooks: 1,
    active_workers: 1,
    queued_commands: 1,
  })
  t.match(body.stats, { active_executions: 1, total_playbooks: 1 })
  t.match((await send('GET', '/api/dashboard/widgets')).body, {
    status: 'ok',
    count: 4,
    widgets: [
      { id: 'executions', data: { RUNNING: 1, FAILED: 1 } },
      {
        id: 'newest',
        data: [
          { execution_id: running, status: 'RUNNING' },
          { execution_id: id, status: 'COMPLETED' },
        ],
      },
      { id: 'workers', data: 1 },
      { id: 'queue', data: 1 },
    ],
  })
  t.match((await send('GET', '/api/status')).body, {
    status: 'ok',
    version: /^\d+\./,
    postgres: 'ok',
    nats: 'ok',
    running_executions: 1,
    queued_commands: 1,
    workers: 1,
    uptime_seconds: Number,
  })
  const pools = await send('GET', '/api/v2/pool/status')
  t.match(pools.body, {
    status: 'ok',
    pools: [
      { name: 'durable', max: 12, total: Number, idle: Number, in_use: Number, waiting: 0 },
      { name: 'relaxed', max: 4 },
    ],
  })
  t.notMatch(JSON.stringify(pools.body), /postgres(ql)?:|password/)
})

t.test('database: what is missing is seen; making it new again changes nothing that is there', async (t) => {
  const validate = async () => (await send('GET', '/api/db/validate')).body
  const valid = await validate()
  t.match(valid, { status: 'ok', valid: true, missing: [] })
  t.equal(valid.version, valid.needed)
  const inits = await Promise.all([
    send('POST', '/api/db/init'),
    send('POST', '/api/v2/db/init', {}),
    send('POST', '/api/db/init'),
  ])
  for (const { status, body } of inits) {
    t.equal(status, 200)
    t.match(body, { status: 'ok', applied: [], version: valid.version })
  }
  await pool.query('ALTER TABLE noetl.vars_access RENAME TO vars_elsewhere')
  t.match(await validate(), { status: 'error', valid: false, missing: ['vars_access'] })
  await pool.query('ALTER TABLE noetl.vars_elsewhere RENAME TO vars_access')
  t.match(await validate(), { valid: true })
})

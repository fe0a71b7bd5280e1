import { connect } from 'nats'
import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { type Facts, listen } from '../../../core/channels.ts'
import { readConfig } from '../../../core/config.ts'
import { startWorker } from '../../../core/worker.ts'
import { type Gateway, testGateway } from '../../support/gateway.ts'
import type { Teardown } from '../../support/teardown.ts'
import { until } from '../../support/wait.ts'

const LANES = ['@noetl/lanes', '@noetl/tool-shell']
const NOOP = 'metadata: {path: one}\nworkflow: [{step: start, tool: {kind: noop}}]'
const log = pino({ level: 'silent' })

async function workerOf(t: Teardown, gateway: Gateway, env: Record<string, string>, plugins = LANES) {
  const worker = await startWorker(
    readConfig(
      {},
      {
        NATS_URL: gateway.nats.url,
        SERVER_API_URL: gateway.server.url,
        NOETL_PLUGINS: plugins.join(','),
        NOETL_WORKER_GRACE_SECONDS: '1',
        ...env,
      },
    ),
    { log },
  )
  t.teardown(() => worker.close())
  return worker
}

const startIn = (gateway: Gateway, body: object) =>
  gateway.client.request<{ execution_id: string }>('POST', '/api/v2/execute', body)

t.test('lanes: a server makes the consumers of all of them, of every pool too', async (t) => {
  const { nats } = await testGateway(t, {
    ...{ plugins: LANES, worker: false },
    env: { NOETL_ROUTES: '[{"kind": "shell", "pool": "big"}]' },
  })
  const connection = await connect({ servers: nats.url })
  t.teardown(() => connection.close())
  const manager = await connection.jetstreamManager()
  const found = (await manager.consumers.list('NOETL_COMMANDS').next()).map(({ name, config }) => [
    name,
    config.filter_subject,
  ])
  t.same(Object.fromEntries(found), {
    'noetl-worker-pool': 'noetl.commands',
    'noetl-worker-pool-high': 'noetl.commands.high',
    'noetl-worker-pool-low': 'noetl.commands.low',
    'noetl-worker-pool-normal-big': 'noetl.commands.normal.big',
    'noetl-worker-pool-high-big': 'noetl.commands.high.big',
    'noetl-worker-pool-low-big': 'noetl.commands.low.big',
  })
})

t.test('lanes: call, playbook and step name one each, and a child inherits it', async (t) => {
  const leased: Facts['noetl:leased'][] = []
  t.teardown(listen('noetl:leased', (fact) => void leased.push(fact)))
  const gateway = await testGateway(t, { plugins: LANES })
  await gateway.register(NOOP)
  await gateway.register(`metadata: {path: parent}
workflow:
- {step: start, tool: {kind: noop}, next: {arcs: [{step: call}]}}
- {step: call, spec: {lane: high}, tool: {kind: playbook, path: one}}`)
  const { execution_id } = await startIn(gateway, { path: 'parent', lane: 'low' })
  t.equal((await gateway.ended(execution_id)).status, 'COMPLETED')
  const [child] = await until('the child’s lease', () => {
    const own = leased.filter((fact) => fact.execution_id !== execution_id)
    return own.length > 0 && own
  })
  t.equal(child!.lane, 'high')
  const own = leased.filter((fact) => fact.execution_id === execution_id)
  t.equal(own.find(({ step }) => step === 'start')!.lane, 'low')
  t.equal(own.find(({ step }) => step === 'call')!.lane, 'high')
})

t.test('lanes: one that is not there is refused, by execute, batch and registration', async (t) => {
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-shell'], worker: false })
  await gateway.register(NOOP)
  await t.rejects(startIn(gateway, { path: 'one', lane: 'high' }), {
    ...{ code: 'NOETL_ERR_LANE_UNKNOWN', statusCode: 422 },
    message: /Lane "high" is unknown; there is normal\. .*noetlctl plugins install @noetl\/lanes/,
  })
  await startIn(gateway, { path: 'one', lane: 'normal' })
  const batch = await gateway.client.request('POST', '/api/v2/execute/batch', {
    executions: [{ path: 'one', lane: 'low' }, { path: 'one' }],
  })
  t.match(batch, { results: [{ status: 'failed', code: 'NOETL_ERR_LANE_UNKNOWN' }, { status: 'started' }] })
  await t.rejects(gateway.register(`executor: {spec: {lane: low}}\n${NOOP}`), {
    code: 'NOETL_ERR_PLAYBOOK_INVALID',
    message: /lane "low" is unknown; there is normal\./,
  })
})

t.test(
  'lanes: what is urgent is taken before what waited longer, and the rest does not starve',
  async (t) => {
    const leased: string[] = []
    t.teardown(listen('noetl:leased', ({ lane }) => void leased.push(lane)))
    const gateway = await testGateway(t, { plugins: LANES, worker: false })
    await gateway.register(NOOP)
    const start = (lane: string, count: number) =>
      gateway.client.request('POST', '/api/v2/execute/batch', {
        executions: Array.from({ length: count }, () => ({ path: 'one', lane })),
      })
    await start('low', 60)
    await start('high', 24)
    await workerOf(t, gateway, { NOETL_WORKER_SLOTS: '1' })
    await until('all leases', () => leased.length >= 84, { withinMs: 30_000 })
    const last = leased.lastIndexOf('high') + 1
    const between = leased.slice(0, last).filter((lane) => lane === 'low').length
    t.ok(between >= 1, `low has turns among those of high: ${between}`)
    t.ok(between <= 8, `and few: ${between} before the last of 24 high ones`)
  },
)

t.test('lanes: a worker is refused that asks for one there is not', async (t) => {
  const gateway = await testGateway(t, { plugins: LANES, worker: false })
  await t.rejects(workerOf(t, gateway, { NOETL_WORKER_LANES: 'urgent' }), {
    code: 'NOETL_ERR_LANE_UNKNOWN',
    message: /there is high, normal, low/,
  })
})

t.test('pools: a command for a pool without workers waits, is told, and runs when one comes', async (t) => {
  const gateway = await testGateway(t, {
    plugins: ['@noetl/tool-shell'],
    env: { NOETL_ROUTES: '[{"kind": "shell", "pool": "big"}]' },
  })
  const { client } = gateway
  await gateway.register(
    'metadata: {path: two}\nworkflow: [{step: start, tool: {kind: shell, command: "true"}}]',
  )
  const ready = () => client.request<{ warnings?: string[] }>('GET', '/readyz')
  t.equal((await ready()).warnings, undefined)
  const id = await gateway.execute('two')
  const warnings = await until('the warning', async () => (await ready()).warnings, { withinMs: 15_000 })
  t.match(warnings, [/^1 commands of lane normal, pool big wait, .* noetlctl worker start --pool big$/])
  t.match(await client.request('GET', '/api/queue/size'), {
    count: 1,
    unserved: [{ lane: 'normal', pool: 'big', ready: 1 }],
  })
  const db = new pg.Client({ connectionString: gateway.databaseUrl })
  await db.connect()
  t.teardown(() => db.end())
  const { rows } = await db.query('SELECT lane, pool, status FROM noetl.queue')
  t.same(rows, [{ lane: 'normal', pool: 'big', status: 'queued' }])
  await workerOf(t, gateway, { NOETL_WORKER_POOL: 'big', NOETL_WORKER_NAME: 'big-1' }, ['@noetl/tool-shell'])
  t.equal((await gateway.ended(id)).status, 'COMPLETED')
  await until('no more warning', async () => (await ready()).warnings === undefined, { withinMs: 15_000 })
})

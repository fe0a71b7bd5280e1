import t from 'tap'
import { migrate } from '../../core/store/migrate.ts'
import { testGateway } from '../support/gateway.ts'
import { ownServer } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

const QUICK = { NOETL_REANNOUNCE_SECONDS: '0.5', NOETL_LEASE_SECONDS: '3' }
const CHAIN = `metadata: {path: chain}
workflow:
- {step: start, set: {ctx.n: 0}, next: {arcs: [{step: work}]}}
- step: work
  tool: {kind: python, input: {n: "{{ ctx.n }}"}, code: "import time; time.sleep(0.05); result = n + 1"}
  set: {ctx.n: "{{ work.data }}"}
  next: {arcs: [{step: work, when: "{{ ctx.n < 30 }}"}]}`

t.test(
  'the whole of NATS is lost while executions run: they are delayed and complete',
  { timeout: 120_000 },
  async (t) => {
    const gateway = await testGateway(t, { plugins: ['@noetl/tool-python'], env: QUICK })
    const path = await gateway.register(CHAIN)
    const ids = await Promise.all(Array.from({ length: 5 }, () => gateway.execute(path)))
    const n = async () =>
      (await gateway.client.request<{ variables: { n?: number } }>('GET', `/api/executions/${ids[0]}/status`))
        .variables.n ?? 0
    await until('the runs to be in their midst', async () => (await n()) > 5)
    await gateway.nats.kill()
    const meanwhile = await gateway.execute(path)
    t.match(meanwhile, /^\d+$/, 'an execution can be started without NATS')
    await gateway.nats.start({ wipe: true })
    for (const id of [...ids, meanwhile]) {
      const run = await gateway.ended(id, 60_000)
      t.equal(run.status, 'COMPLETED')
      t.same(run.variables, { n: 30 })
      t.equal(run.events.filter((event) => event.event_type === 'call.done').length, 30, 'no step ran twice')
    }
  },
)

t.test(
  'Postgres is killed and comes back while executions run: they go on where they were',
  { timeout: 120_000 },
  async (t) => {
    const postgres = await ownServer(t)
    await migrate(postgres.url)
    const gateway = await testGateway(t, {
      plugins: ['@noetl/tool-python'],
      env: QUICK,
      databaseUrl: postgres.url,
    })
    const path = await gateway.register(CHAIN)
    const ids = await Promise.all(Array.from({ length: 5 }, () => gateway.execute(path)))
    const n = async () =>
      (await gateway.client.request<{ variables: { n?: number } }>('GET', `/api/executions/${ids[0]}/status`))
        .variables.n ?? 0
    await until('the runs to be in their midst', async () => (await n()) > 5)
    postgres.kill('SIGQUIT')
    await until(
      'the server to notice',
      async () => (await gateway.client.request('GET', '/readyz').catch(() => 'away')) === 'away',
    )
    await postgres.restart()
    for (const id of ids) {
      const run = await until('an answer', () => gateway.ended(id, 60_000).catch(() => undefined), {
        withinMs: 60_000,
      })
      t.equal(run.status, 'COMPLETED')
      t.same(run.variables, { n: 30 })
      const done = run.events.filter((event) => event.event_type === 'call.done')
      t.equal(done.length, 30, 'each step is recorded once')
    }
  },
)

t.test('two tellers of one outcome: the second changes nothing', async (t) => {
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-python'], env: QUICK })
  const run = await gateway.run(CHAIN)
  const command = run.events.find((event) => event.event_type === 'call.done') as unknown as {
    meta: { command_id: string; attempt: number }
    worker_id: string
  }
  const again = {
    execution_id: run.execution_id,
    step: 'work',
    name: 'call.done',
    worker_id: command.worker_id,
    payload: { command_id: command.meta.command_id, result: 99 },
    meta: { attempt: command.meta.attempt },
  }
  t.match(await gateway.client.request('POST', '/api/v2/events', again), { outcome: 'duplicate' })
  const after = await gateway.ended(run.execution_id)
  t.equal(after.events.length, run.events.length)
  t.same(after.variables, { n: 30 })
})

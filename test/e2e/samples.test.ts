import { readFile } from 'node:fs/promises'
import pg from 'pg'
import t from 'tap'
import { makeOrders, startOrdersApi } from '../../cli/dev/orders-api.ts'
import { testGateway } from '../support/gateway.ts'
import { credentialOf } from '../support/postgres.ts'

const read = (name: string) =>
  readFile(new URL(`../fixtures/playbooks/${name}.yaml`, import.meta.url), 'utf8')
const gateway = await testGateway(t)
await gateway.client.request('POST', '/api/credentials', {
  name: 'pg_local',
  type: 'postgres',
  data: credentialOf(gateway.databaseUrl),
})
const api = await startOrdersApi()
t.teardown(() => api.close())

t.test('hello_world: the first generation’s request starts it and it completes', async (t) => {
  const path = await gateway.register(await read('hello_world'))
  t.equal(path, 'tests/fixtures/playbooks/hello_world')
  const started = await gateway.client.request<{ execution_id: string }>('POST', '/api/v2/execute', {
    path,
    payload: { message: 'NATS Test' },
  })
  t.match(started, { execution_id: String, status: 'started', commands_generated: 1 })
  const ended = await gateway.ended(started.execution_id)
  t.equal(ended.status, 'COMPLETED')
  t.same(ended.result, { greeting: 'HELLO_WORLD: NATS Test', length: 9 })
  t.same(ended.completed_steps, ['start', 'hello', 'end'])
})

t.test(
  'orders_report: four tools on real data give the numbers that the data has, with a retry on the way',
  async (t) => {
    const run = await gateway.run(await read('orders_report'), { api: api.url })
    t.equal(run.error, null)
    t.equal(run.status, 'COMPLETED')

    const orders = makeOrders().filter((order) => !order.cancelled)
    const amounts = orders.map((order) => ({
      region: order.region.trim().toLowerCase(),
      customer: order.customer.name,
      amount: Math.round(order.lines.reduce((sum, line) => sum + line.price * line.count, 0) * 100) / 100,
    }))
    const sums = (key: 'region' | 'customer') => {
      const totals = new Map<string, number>()
      for (const row of amounts)
        totals.set(row[key], Math.round(((totals.get(row[key]) ?? 0) + row.amount) * 100) / 100)
      return totals
    }
    const { report } = (run.result as { rows: { report: Record<string, unknown> }[] }).rows[0]!
    t.same(report.regions, Object.fromEntries(sums('region')))
    t.equal(report.orders, orders.length)
    t.equal(report.loaded, orders.length)
    t.equal(report.total, Math.round(amounts.reduce((sum, row) => sum + row.amount, 0) * 100) / 100)
    const best = [...sums('customer')].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, 3)
    t.same(
      report.best,
      best.map(([customer, total]) => ({ customer, total })),
    )

    t.equal(api.refused, 1, 'the API was busy once')
    const pages = run.events.filter(
      (event) => event.event_type === 'call.done' && event.node_name === 'load_page',
    )
    t.same(
      pages.map((event) => (event as unknown as { meta: { calls: number } }).meta.calls),
      [3, 4, 3, 3],
      'only the busy page has one more call',
    )
    const pool = new pg.Client({ connectionString: gateway.databaseUrl })
    await pool.connect()
    t.teardown(() => pool.end())
    const { rows } = await pool.query('SELECT status, count(*)::int FROM noetl.queue GROUP BY status')
    t.same(rows, [], 'the queue is empty')
  },
)

t.test('orders_report: an API that is gone or answers nonsense ends it, with the reason', async (t) => {
  for (const [base, error] of [
    ['http://127.0.0.1:1', /ECONNREFUSED|refused|connect/i],
    [`${api.url}/elsewhere`, /404/],
  ] as const) {
    const run = await gateway.run(await read('orders_report'), { api: base })
    t.equal(run.status, 'FAILED', base)
    t.match(run.error, error)
    t.notOk(run.completed_steps.includes('load_page'))
  }
})

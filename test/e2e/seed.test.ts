import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { testFolder } from '../support/folder.ts'
import { testGateway } from '../support/gateway.ts'
import { credentialOf } from '../support/postgres.ts'

const gateway = await testGateway(t, {
  plugins: ['@noetl/tool-python', '@noetl/tool-http', '@noetl/tool-postgres', '@noetl/tool-duckdb'],
})
const database = new pg.Client({ connectionString: gateway.databaseUrl })
await database.connect()
t.teardown(() => database.end())
await gateway.client.request('POST', '/api/credentials', {
  name: 'pg_local',
  type: 'postgres',
  data: credentialOf(gateway.databaseUrl),
})

const PAGES = [
  [
    { number: 'A-1', customer: { name: "O'Hara" }, amount: 10.5, due: '2025-12-31', tags: ['a', 'b'] },
    { number: 'A-2', customer: { name: 'Zoë' }, amount: 20 },
  ],
  [{ number: 'B-1', customer: { name: '"; DROP TABLE invoices; --' }, amount: 99.99, due: null }],
  [{ number: 'C-1', customer: { name: 'x' }, amount: 0.01, tags: [] }],
]

const seen: string[] = []
const hooks: unknown[] = []
const web = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
  let body = ''
  for await (const chunk of request) body += chunk
  const answer = (status: number, value: unknown) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  if (pathname === '/hook') {
    hooks.push(JSON.parse(body))
    return answer(200, {})
  }
  const key = pathname === '/notices' ? `notice ${JSON.parse(body).to}` : `page ${searchParams.get('page')}`
  seen.push(key)
  const times = seen.filter((other) => other === key).length
  if (key === 'page 2' && times < 3) return answer(500, { sorry: true })
  if (key === 'page 9') return answer(500, { sorry: true })
  if (key === 'notice bo' && times < 2) return answer(503, {})
  if (key === 'notice eve') return answer(422, { why: 'no such person' })
  if (pathname === '/notices') return answer(200, { number: key.length })
  return answer(200, { items: PAGES[Number(searchParams.get('page')) - 1] ?? [] })
})
await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  web.closeAllConnections()
  web.close()
})
const api = `http://127.0.0.1:${(web.address() as AddressInfo).port}`

const read = (name: string) =>
  readFile(new URL(`../fixtures/playbooks/seed/${name}.yaml`, import.meta.url), 'utf8')

async function register(name: string): Promise<{ path: string; warnings: unknown[] }> {
  return gateway.client.request('POST', '/api/catalog/register', { content: await read(name) })
}

for (const name of ['invoices', 'notices', 'readings', 'loads', 'score']) {
  t.test(`seed: ${name} is registered without a word`, async (t) => {
    t.match(await register(name), { path: `seed/${name}`, warnings: [] })
  })
}

t.test(
  'seed invoices: pages are collected, a busy one again, and written into a table all at once',
  async (t) => {
    const run = await gateway.run(await read('invoices'), { api })
    t.equal(run.error, null)
    t.strictSame([run.status, run.result], ['COMPLETED', { rows: 4, largest: 'B-1', pages: 3 }])
    t.strictSame(
      seen.filter((key) => key.startsWith('page')),
      ['page 1', 'page 2', 'page 2', 'page 2', 'page 3'],
    )
    const { rows } = await database.query(
      'SELECT number, customer, amount::text, due::text, tags, state, serial_no IS NOT NULL AS numbered FROM invoices ORDER BY number',
    )
    t.strictSame(rows, [
      {
        number: 'A-1',
        customer: { name: "O'Hara" },
        amount: '10.50',
        due: '2025-12-31',
        tags: ['a', 'b'],
        state: 'kept',
        numbered: true,
      },
      {
        number: 'A-2',
        customer: { name: 'Zoë' },
        amount: '20.00',
        due: null,
        tags: null,
        state: 'new',
        numbered: true,
      },
      {
        number: 'B-1',
        customer: { name: '"; DROP TABLE invoices; --' },
        amount: '99.99',
        due: null,
        tags: null,
        state: 'new',
        numbered: true,
      },
      {
        number: 'C-1',
        customer: { name: 'x' },
        amount: '0.01',
        due: null,
        tags: [],
        state: 'new',
        numbered: true,
      },
    ])
    t.match(run.variables, { last_page: 3, count: 4, total: 130.5 })
  },
)

t.test(
  'seed invoices: a page that cannot be had at all fails the execution with the text of its case',
  async (t) => {
    const run = await gateway.run(await read('invoices'), { api, pages: [9] })
    t.equal(run.status, 'FAILED')
    t.match(run.error, /^the invoices cannot be had: .*500/)
    t.notOk(run.completed_steps.includes('totals'))
  },
)

t.test('seed notices: refusals are noted and audited beside, the others are sent', async (t) => {
  const people = ['al', 'bo', 'eve', 'cy'].map((name) => ({ name }))
  const run = await gateway.run(await read('notices'), { api, people })
  t.equal(run.error, null)
  t.strictSame(
    [run.status, run.result],
    ['COMPLETED', { sent: ['al', 'bo', 'cy'], refused: ['eve'], count: 3 }],
  )
  t.equal(seen.filter((key) => key === 'notice bo').length, 2)
  t.strictSame(
    (await database.query('SELECT person, answer FROM notices WHERE at IS NOT NULL ORDER BY 1')).rows,
    [
      { person: 'al', answer: 9 },
      { person: 'bo', answer: 9 },
      { person: 'cy', answer: 9 },
    ],
  )
  t.match((await database.query('SELECT person, status, why FROM refusals')).rows, [
    { person: 'eve', status: 422, why: /422/ },
  ])
  t.strictSame(run.variables.audited, ['eve'])
  t.match(hooks, [{ report: { sent: ['al', 'bo', 'cy'], count: 3 } }])
})

t.test('seed notices: a case fails the first step, another goes round the report', async (t) => {
  const none = await gateway.run(await read('notices'), { api })
  t.strictSame([none.status, none.error], ['FAILED', 'there is no one to send a notice to'])
  const quiet = await gateway.run(await read('notices'), { api, people: [{ name: 'al' }], quiet: true })
  t.equal(quiet.error, null)
  t.strictSame(
    quiet.events.filter(({ event_type }) => event_type === 'call.done').map(({ node_name }) => node_name),
    ['start', 'tables', 'send', 'report', 'end'],
  )
  t.equal(hooks.length, 1)
})

t.test('seed readings: sinks into a DuckDB file keep types, quotes and defaults', async (t) => {
  const folder = await testFolder(t, 'seed')
  const run = await gateway.run(await read('readings'), { database: join(folder, 'readings.duckdb') })
  t.equal(run.error, null)
  t.match(run.result, {
    totals: [
      { sensor: 'north', n: 3, total: 4.5, good: 3, note: 'none', last: '2025-12-03 10:00:00' },
      { sensor: `it's "south"`, n: 3, total: 27, good: 2, note: 'none' },
    ],
    latest: [{ sensor: 'north', value: 2.5 }],
  })
})

t.test('seed loads: a playbook for each customer; a failure is written down and still one', async (t) => {
  await register('score')
  const fine = await gateway.run(await read('loads'))
  t.equal(fine.error, null)
  t.strictSame([fine.status, fine.result], ['COMPLETED', 2])
  const log = async () =>
    (await database.query('SELECT step, customer, score::int, message FROM load_log ORDER BY score')).rows
  t.strictSame(await log(), [
    { step: null, customer: 'acme', score: 40, message: null },
    { step: null, customer: 'zenith', score: 60, message: null },
  ])
  const failed = await gateway.run(await read('loads'), { most: 50 })
  t.equal(failed.status, 'FAILED')
  t.match(failed.error, /too high: zenith/)
  t.match((await log()).at(-1), { step: 'check', message: /too high: zenith/ })
})

t.test('seed: vars, workload and bare names read each other, on the worker as on the server', async (t) => {
  const run = await gateway.run(`
metadata: {path: seed/names}
workload: {given: 1, over: old}
workflow:
- step: start
  tool: {kind: python, code: "def main(input_data):\\n    return {'n': 5}"}
  vars: {n: "{{ result.n }}", over: new}
  next: end
- step: end
  tool: {kind: python, code: "def main(input_data):\\n    return input_data"}
  args: {a: "{{ vars.given }}", b: "{{ vars.n }}", c: "{{ workload.n }}", d: "{{ n }}", e: "{{ over }}", f: "{{ workload.over }}", g: "{{ vars.over }}"}`)
  t.equal(run.error, null)
  t.same(run.result, { a: 1, b: 5, c: 5, d: 5, e: 'new', f: 'new', g: 'new' })
})

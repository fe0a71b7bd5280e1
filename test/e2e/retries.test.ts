import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const gateway = await testGateway(t, {
  plugins: ['@noetl/tool-python', '@noetl/tool-http'],
  env: { NOETL_WORKER_SLOTS: '1', NOETL_REANNOUNCE_SECONDS: '0.5' },
})
let hits: string[] = []
const server = createServer((request, response) => {
  hits.push(`${request.url} ${request.headers['idempotency-key'] ?? ''}`)
  const first = hits.filter((hit) => hit.startsWith(`${request.url} `)).length === 1
  response.writeHead(first ? 503 : 200, {
    'content-type': 'application/json',
    ...(first ? { 'retry-after': '6' } : {}),
  })
  response.end(JSON.stringify({ first }))
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

t.test('retries: a long delay is held in Postgres; the only slot does other work meanwhile', async (t) => {
  hits = []
  const slow = await gateway.register(`
metadata: {path: retry/slow}
workflow:
- step: start
  tool:
  - {name: before, kind: python, code: "result = {'n': 1}", set: {ctx.seen: "{{ output.n }}"}}
  - name: call
    kind: http
    method: POST
    url: ${url}/a
    spec: {policy: {rules: [{when: "{{ output.http.status == 503 }}", then: {do: retry, attempts: 3, delay: 0.1, set: {ctx.tries: "{{ _attempt }}"}}}]}}
  - {name: after, kind: python, input: {n: "{{ before.n }}", s: "{{ call.status_code }}"}, code: "result = [n, s]"}`)
  const quick = await gateway.register(`
metadata: {path: retry/quick}
workflow:
- {step: start, tool: {kind: python, code: "result = 1"}}`)
  const id = await gateway.execute(slow)
  await until('the first try', () => hits.length === 1)
  const started = Date.now()
  const other = await gateway.ended(await gateway.execute(quick), 5000)
  t.equal(other.status, 'COMPLETED')
  t.equal(hits.length, 1, 'the other ran before the second try')
  const run = await gateway.ended(id)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.match(run.result, { after: [1, 200], data: { first: false }, before: { n: 1 } })
  t.same(run.variables, { seen: 1, tries: 1 })
  t.ok(Date.now() - started > 5000, 'Retry-After was longer than the rule and was kept')
  t.equal(hits.length, 2)
  t.equal(new Set(hits).size, 1, 'both tries have one idempotency key')
  t.equal(run.events.filter((event) => event.event_type === 'call.retrying').length, 1)
})

t.test('on_error park: a failed command waits for a person, and the run goes on from there', async (t) => {
  const path = await gateway.register(`
metadata: {path: retry/park}
executor: {spec: {on_error: park}}
workflow:
- step: start
  tool: {kind: http, url: "${url}/b"}
  next: {arcs: [{step: each}]}
- step: each
  loop: {in: [1, 2], iterator: i, spec: {mode: parallel}}
  tool: {kind: http, url: "${url}/c{{ i }}"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: python, input: {a: "{{ start.status_code }}", b: "{{ each.stats }}"}, code: "result = [a, b]"}`)
  const id = await gateway.execute(path)
  const open = async (count: number) =>
    until('dead letters', async () => {
      const { dead_letters } = await gateway.client.request<{ dead_letters: { id: string; step: string }[] }>(
        'GET',
        `/api/v2/dead-letters?execution_id=${id}&status=open`,
      )
      return dead_letters.length === count && dead_letters
    })
  t.match(await open(1), [{ step: 'start', reason: 'error', message: /503/ }])
  await gateway.client.request('POST', '/api/v2/dead-letters/retry', { path })
  t.match(await open(2), [{ step: 'each' }, { step: 'each' }])
  await gateway.client.request('POST', '/api/v2/dead-letters/retry', { all: true })
  const run = await gateway.ended(id)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.same(run.result, [200, { total: 2, success: 2, failed: 0 }])
})

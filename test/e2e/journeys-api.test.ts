import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

// What people do over the API to executions that a worker runs meanwhile.
const gateway = await testGateway(t, { plugins: ['@noetl/tool-http', '@noetl/tool-python'] })
const { client } = gateway

/** Requests that tools have under way: each holds its step until it is answered. */
const held = new Map<string, { response: ServerResponse; closed: boolean }>()
const server = createServer((request, response) => {
  const entry = { response, closed: false }
  response.on('close', () => (entry.closed = !response.writableEnded))
  held.set(new URL(request.url ?? '', 'http://x').searchParams.get('who') ?? '', entry)
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const holding = (who: string) => until(`the request of ${who}`, () => held.get(who))
const answer = async (who: string, body: object) =>
  (await holding(who)).response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify(body))
const post = <T = Record<string, unknown>>(path: string, body: object = {}) =>
  client.request<T>('POST', path, body)
const statusOf = async (id: string) =>
  (await client.request<{ status: string }>('GET', `/api/executions/${id}`)).status

await gateway.register(`
metadata: {path: acts/held}
workload: {api: "${api}", who: "{{ execution_id }}", factor: 2}
workflow:
- step: start
  tool: {kind: http, url: "{{ api }}/", params: {who: "{{ who }}"}}
  set: {ctx.seen: "{{ start.data.n }}"}
  next: {arcs: [{step: times}]}
- step: times
  tool: {kind: python, input: {n: "{{ ctx.seen }}", factor: "{{ ctx.factor | default(factor) }}"}, code: "result = {'product': n * factor}"}`)
await gateway.register(`
metadata: {path: acts/middle}
workload: {who: ''}
workflow:
- {step: start, tool: {kind: playbook, path: acts/held, return_step: times, input: {who: "{{ who }}"}}}`)
await gateway.register(`
metadata: {path: acts/top}
workload: {tag: ''}
workflow:
- step: start
  loop: {in: [a, b], iterator: leaf, spec: {mode: parallel, max_in_flight: 2}}
  tool: {kind: playbook, path: acts/middle, return_step: start, input: {who: "{{ tag }}-{{ iter.leaf }}"}}
- {step: after, tool: {kind: noop}}`)

t.test('acts: a batch starts each once, and each ends with its own values', async (t) => {
  const one = (who: string, factor: number) => ({
    ...{ path: 'acts/held', payload: { who, factor } },
    dedup: { key: who, window_secs: 600 },
  })
  const batch = await post<{
    started: number
    duplicates: number
    results: { execution_id: string; status: string }[]
  }>('/api/execute/batch', { executions: [one('x', 3), one('y', 5), one('x', 7)] })
  t.match(batch, {
    started: 2,
    duplicates: 1,
    results: [{ status: 'started' }, { status: 'started' }, { status: 'duplicate' }],
  })
  const ids = batch.results.map(({ execution_id }) => execution_id)
  t.equal(ids[2], ids[0])
  await answer('y', { n: 10 })
  await answer('x', { n: 1 })
  t.same((await gateway.ended(ids[0]!)).result, { product: 3 })
  t.same((await gateway.ended(ids[1]!)).result, { product: 50 })
})

t.test('acts: a variable set while a step runs is there for the next one', async (t) => {
  const id = await gateway.execute('acts/held')
  await holding(id)
  await post(`/api/vars/${id}`, { variables: { factor: 100 } })
  await answer(id, { n: 4 })
  t.same((await gateway.ended(id)).result, { product: 400 })
  const { variables } = await client.request<{ variables: object }>('GET', `/api/vars/${id}`)
  t.match(variables, {
    factor: { value: 100, type: 'user_defined' },
    seen: { value: 4, source_step: 'start' },
  })
})

t.test('acts: a rerun has the payload of the first, and values of its own', async (t) => {
  const id = await gateway.execute('acts/held', { who: 'first', factor: 9 })
  await answer('first', { n: 2 })
  t.same((await gateway.ended(id)).result, { product: 18 })
  held.delete('first')
  const again = await post<{ execution_id: string; rerun_of: string }>(`/api/executions/${id}/rerun`)
  t.equal(again.rerun_of, id)
  await answer('first', { n: 3 })
  t.same((await gateway.ended(again.execution_id)).result, { product: 27 })
  t.same((await gateway.ended(id)).result, { product: 18 }, 'the first is as it was')
})

t.test('acts: one that is finalized stays so, whatever its worker brings', async (t) => {
  const id = await gateway.execute('acts/held', { who: 'late' })
  await holding('late')
  t.match(await post(`/api/executions/${id}/finalize`, { status: 'FAILED', error: 'given up' }), {
    status: 'finalized',
  })
  await answer('late', { n: 1 })
  const run = await gateway.ended(id)
  t.match([run.status, run.error], ['FAILED', 'given up'])
  t.match(await post(`/api/executions/${id}/finalize`, { status: 'COMPLETED' }), {
    status: 'already_completed',
  })
  t.notOk((await gateway.ended(id)).completed_steps.includes('times'))
})

t.test('acts: a cancel reaches what runs two playbooks below, and the tools there let go', async (t) => {
  const id = await gateway.execute('acts/top', { tag: 'deep' })
  const leaves = await Promise.all(['deep-a', 'deep-b'].map(holding))
  const cancelled = await post<{ cancelled_executions: string[] }>(`/api/executions/${id}/cancel`, {
    reason: 'enough',
  })
  t.equal(cancelled.cancelled_executions.length, 5, 'itself, two in the middle, two below')
  t.same([...new Set(await Promise.all(cancelled.cancelled_executions.map(statusOf)))], ['CANCELLED'])
  await until('both requests to be dropped', () => leaves.every(({ closed }) => closed))
  t.match(await post(`/api/executions/${id}/cancel`), {
    status: 'already_completed',
    cancelled_executions: [],
  })
})

t.test('acts: without cascade those below go on to their ends', async (t) => {
  const id = await gateway.execute('acts/middle', { who: 'alone' })
  await holding('alone')
  const [child] = await client.request<{ execution_id: string }[]>(
    'GET',
    `/api/executions?parent_execution_id=${id}`,
  )
  t.match(await post(`/api/executions/${id}/cancel`, { cascade: false }), { cancelled_executions: [id] })
  await answer('alone', { n: 6 })
  t.same((await gateway.ended(child!.execution_id)).result, { product: 12 })
  t.equal(await statusOf(id), 'CANCELLED')
})

import { createHash } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import { send as sendTo } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-http'] })
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())
const send = <T = Record<string, unknown>>(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown) =>
  sendTo<T>(gateway.server.url, method, path, body)

await gateway.register(`metadata: {path: values/one}
workload: {text: small, list: [1, 2, 3]}
workflow:
- {step: start, tool: {kind: noop, result: {text: "{{ text }}", n: 7}}, set: {ctx.n: "{{ start.n }}"}, next: {arcs: [{step: each}]}}
- step: each
  loop: {in: "{{ list }}", iterator: item}
  tool: {kind: noop, result: {item: "{{ item }}", text: "{{ text }}"}}`)
const run = async (payload: object) => {
  const id = await gateway.execute('values/one', payload)
  const { status, error } = await gateway.ended(id)
  if (status !== 'COMPLETED') throw new Error(`it ended ${status}: ${error}`)
  return id
}
const small = await run({})
const large = await run({ text: 'x'.repeat(70_000) })

t.test('result: what is put is given back by its reference, as it is', async (t) => {
  const data = { rows: [1, 'ü', null], deep: { a: true } }
  const text = JSON.stringify(data)
  const { status, body } = await send('PUT', `/api/result/${small}`, {
    name: 'my/step ü',
    data,
    scope: 'step',
    source_step: 'start',
  })
  t.equal(status, 200)
  t.match(body, {
    ref: new RegExp(`^noetl://execution/${small}/result/my%2Fstep%20%C3%BC/\\d+$`),
    store: 'kv',
    scope: 'step',
    bytes: Buffer.byteLength(text),
    sha256: createHash('sha256').update(text).digest('hex'),
    expires_at: null,
  })
  const resolve = (ref: unknown) => send('GET', `/api/result/resolve?ref=${encodeURIComponent(String(ref))}`)
  t.same((await resolve(body.ref)).body, data)
  for (const value of ['text', 7, null, false, [], 'x'.repeat(1_100_000)]) {
    const put = (await send('PUT', `/api/v2/result/${small}`, { name: 'v', data: value })).body
    t.equal(put.store, typeof value === 'string' && value.length > 1000 ? 'disk' : 'kv')
    t.same((await resolve(put.ref)).body, value)
  }
  const list = await send<{ results: Record<string, unknown>[]; count: number }>(
    'GET',
    `/api/result/${small}/list`,
  )
  t.equal(list.body.count, 7)
  t.match(list.body.results[0], { ref: body.ref, name: 'my/step ü', bytes: body.bytes, sha256: body.sha256 })
  t.notOk('data' in list.body.results[0]!)
  const page = await send<{ results: unknown[] }>('GET', `/api/result/${small}/list?limit=2&offset=1`)
  t.same(page.body.results, list.body.results.slice(1, 3))
})

t.test('result: references that the engine makes are resolved, of steps and of loops', async (t) => {
  const { events } = (
    await send<{ events: { event_type: string; node_name: string; result: { _ref?: string } }[] }>(
      'GET',
      `/api/executions/${large}?page_size=1000`,
    )
  ).body
  const refOf = (type: string, step: string) =>
    events.find((event) => event.event_type === type && event.node_name === step)?.result._ref ?? ''
  const get = async (ref: string) =>
    (await send<unknown>('GET', `/api/result/resolve?ref=${encodeURIComponent(ref)}`)).body
  t.same(await get(refOf('call.done', 'start')), { text: 'x'.repeat(70_000), n: 7 })
  const loop = (await get(refOf('loop.done', 'each'))) as { results: { item: number; text: string }[] }
  t.same(
    loop.results.map(({ item, text }) => [item, text.length]),
    [1, 2, 3].map((item) => [item, 70_000]),
  )
})

t.test('result: references to nothing, and what is none', async (t) => {
  for (const ref of [
    `noetl://execution/${small}/result/start/1`,
    `noetl://execution/${small}/result/start/9999999999999999999`,
    `noetl://execution/${small}/result/%/1`,
    `noetl://execution/${small}/result/../../1`,
    'noetl://execution/1;DROP TABLE noetl.result/result/a/1',
    'file:///etc/passwd',
    'http://127.0.0.1/',
  ]) {
    const { status } = await send('GET', `/api/result/resolve?ref=${encodeURIComponent(ref)}`)
    t.ok(status === 404 || status === 422, `${ref} → ${status}`)
  }
  t.equal((await send('GET', '/api/result/resolve')).status, 422)
  t.equal((await send('PUT', '/api/result/77', { name: 'a', data: 1 })).status, 404)
  t.equal((await send('GET', '/api/result/77/list')).status, 404)
  for (const body of [
    { name: 'a' },
    { data: 1 },
    { name: '', data: 1 },
    { name: 'n'.repeat(501), data: 1 },
  ]) {
    t.equal((await send('PUT', `/api/result/${small}`, body)).status, 422)
  }
  t.equal((await send('GET', `/api/result/${small}/list?limit=1001`)).status, 422)
})

t.test('loop results: in the order of the items, in pages, each whole', async (t) => {
  const get = (query: string) => send('GET', `/api/aggregate/loop/results?execution_id=${query}`)
  t.match((await get(`${small}&step_name=each`)).body, {
    status: 'ok',
    execution_id: small,
    step_name: 'each',
    total: 3,
    count: 3,
    done: true,
    results: [1, 2, 3].map((item) => ({ item, text: 'small' })),
    items: [0, 1, 2].map((index) => ({ index, ok: true, error: null })),
  })
  t.match((await get(`${small}&step=each&limit=1&offset=2`)).body, { count: 1, results: [{ item: 3 }] })
  const whole = (await get(`${large}&step_name=each`)).body.results as { text: string }[]
  t.same(
    whole.map(({ text }) => text.length),
    [70_000, 70_000, 70_000],
  )
  t.match((await get(`${small}&step_name=start`)).body, { loop_id: null, total: 0, count: 0, results: [] })
  t.equal((await get(small)).status, 422)
  t.equal((await get('77&step_name=each')).status, 404)
  t.equal((await get(`${small}&step_name=each&limit=5000`)).status, 422)
})

t.test('render: with the workload, ctx, results and names of the request', async (t) => {
  const render = async (template: unknown, more: object = {}, id = small) =>
    (await send('POST', '/api/context/render', { execution_id: id, template, ...more })).body
  t.match(await render('{{ workload.text }} {{ ctx.n + 1 }} {{ start.n }} {{ steps.start.text }}'), {
    status: 'ok',
    execution_id: small,
    rendered: 'small 8 7 small',
  })
  t.same((await render({ a: '{{ list }}', b: ['{{ each.results | length }}'] })).rendered, {
    a: [1, 2, 3],
    b: [3],
  })
  t.equal((await render('{{ execution_id }}')).rendered, small)
  t.equal((await render('{{ who }}', { extra_context: { who: 'me' } })).rendered, 'me')
  t.equal((await render('{{ start.text | length }}', {}, large)).rendered, 70_000, 'stored aside')
  t.equal((await render('{{ nothing.at.all }}')).rendered, null)
  t.same((await render('{{ steps }}')).rendered, {
    start: { text: 'small', n: 7 },
    each: (await render('{{ each }}')).rendered,
  })
})

t.test('render: what does not parse, does not end or reaches out is refused', async (t) => {
  const render = (template: unknown, execution_id: unknown = small) =>
    send('POST', '/api/context/render', { execution_id, template })
  t.match(await render('{{ a +'), { status: 422, body: { code: 'NOETL_ERR_TEMPLATE_PARSE' } })
  t.match(await render('{{ 1 / 0 }}'), { status: 422, body: { code: 'NOETL_ERR_TEMPLATE_RENDER' } })
  t.match(await render('{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}'), {
    status: 422,
  })
  t.same((await render('{{ constructor.constructor }}')).body.rendered, null)
  t.same((await render("{{ ''.__class__ }}")).body.rendered, null)
  t.equal((await render('x', '77')).status, 404)
  t.equal((await send('POST', '/api/context/render', { template: 'x' })).status, 422)
  t.equal((await send('POST', '/api/context/render', { execution_id: small })).status, 422)
})

t.test('replay: the events give the state that is stored, and the one at any event', async (t) => {
  const replay = async (query: string) => (await send('GET', `/api/replay/state?execution_id=${query}`)).body
  for (const id of [small, large]) {
    t.match(await replay(id), {
      status: 'ok',
      execution_status: 'COMPLETED',
      complete: true,
      matches: true,
      state: { runs: {}, held: [] },
    })
  }
  t.match(await replay(small), { state: { ctx: { n: { v: 7 } } } })
  const first = await replay(`${small}&event_id=${small}`)
  t.match(first, {
    events_folded: 1,
    last_event_id: small,
    matches: null,
    complete: true,
    state: { ctx: {} },
  })
  t.equal((first.state as { held: unknown[] }).held.length, 1, 'a token waits at the first step')
  t.equal((await send('GET', '/api/replay/state?execution_id=77')).status, 404)
  t.equal((await send('GET', '/api/replay/state')).status, 422)
})

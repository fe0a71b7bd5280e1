import pg from 'pg'
import t from 'tap'
import { send as sendTo } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { worker: false })
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())
await gateway.register(`metadata: {path: vars/one}
workflow:
- {step: start, tool: {kind: noop, result: 1}, set: {ctx.count: "{{ start }}", ctx.big: "{{ start }}"}, next: {arcs: [{step: wait}]}}
- {step: wait, tool: {kind: noop}}`)

interface Variable {
  value: unknown
  type: string
  source_step: string | null
  created_at: string
  accessed_at: string | null
  access_count: number
}
const send = <T = Record<string, unknown>>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
  sendTo<T>(gateway.server.url, method, path, body)
const all = async (id: string) =>
  (await send<{ variables: Record<string, Variable>; count: number }>('GET', `/api/vars/${id}`)).body

/** An execution whose first step has set `count`, and whose second waits. */
async function begun(result: unknown = 5): Promise<string> {
  const id = await gateway.execute('vars/one')
  const { body } = await send<{ events: { event_id: string }[] }>(
    'GET',
    `/api/executions/${id}/events?event_type=command.issued`,
  )
  const payload = { command_id: body.events[0]!.event_id, result }
  const event = { execution_id: id, step: 'start', worker_id: 'w', payload }
  await send('POST', '/api/events', { ...event, name: 'command.claimed' })
  const { status } = await send('POST', '/api/events', { ...event, name: 'call.done' })
  if (status !== 200) throw new Error(`the report was answered ${status}`)
  return id
}

t.test('vars: what steps set appears with its step, and reading one is counted', async (t) => {
  const id = await begun()
  const { variables, count } = await all(id)
  t.equal(count, 2)
  t.match(variables.count, {
    value: 5,
    type: 'step_result',
    source_step: 'start',
    access_count: 0,
    accessed_at: null,
  })
  t.ok(Date.now() - Date.parse(variables.count!.created_at) < 60_000)
  for (const n of [1, 2]) {
    t.match((await send('GET', `/api/v2/vars/${id}/count`)).body, {
      execution_id: id,
      name: 'count',
      value: 5,
      type: 'step_result',
      access_count: n,
      accessed_at: /^\d{4}-/,
    })
  }
  t.equal((await all(id)).variables.count!.access_count, 2, 'looking at all counts nothing')
})

t.test('vars: set over the API by name, and by list, with type and step', async (t) => {
  const id = await begun()
  t.same(
    (
      await send('POST', `/api/vars/${id}`, {
        variables: { region: 'eu', list: [1, { a: null }], nothing: null, constructor: 1 },
        source_step: 'ask',
      })
    ).body,
    { execution_id: id, variables_set: 4, var_names: ['region', 'list', 'nothing', 'constructor'] },
  )
  t.match(
    (
      await send('POST', `/api/vars/${id}`, {
        variables: [
          { var_name: 'a', var_value: 1, var_type: 'computed', source_step: 'sum' },
          { var_name: 'b', var_value: { x: 'y' } },
        ],
      })
    ).body,
    { variables_set: 2, var_names: ['a', 'b'] },
  )
  const { variables, count } = await all(id)
  t.equal(count, 8)
  t.match(variables.region, { value: 'eu', type: 'user_defined', source_step: 'ask' })
  t.same(variables.list!.value, [1, { a: null }])
  t.equal(variables.nothing!.value, null)
  t.match(new Map(Object.entries(variables)).get('constructor'), { value: 1 })
  t.match(variables.a, { value: 1, type: 'computed', source_step: 'sum' })
  t.match(variables.b, { value: { x: 'y' }, type: 'user_defined', source_step: null })
  await send('POST', `/api/vars/${id}`, { variables: { count: 6 } })
  t.match((await all(id)).variables.count, { value: 6, type: 'user_defined' }, 'the last who set it counts')
  t.match(
    (
      await send('POST', '/api/context/render', {
        execution_id: id,
        template: '{{ ctx.region }}-{{ count }}',
      })
    ).body,
    {
      rendered: 'eu-6',
    },
  )
})

t.test('vars: large values are whole', async (t) => {
  const id = await begun('x'.repeat(100_000))
  t.equal((await all(id)).variables.count!.value, 'x'.repeat(100_000))
  await send('POST', `/api/vars/${id}`, { variables: { large: { text: 'y'.repeat(50_000) } } })
  t.same((await send('GET', `/api/vars/${id}/large`)).body.value, { text: 'y'.repeat(50_000) })
})

t.test('vars: one that is deleted is gone for templates too; null is not gone', async (t) => {
  const id = await begun()
  const defined = async () =>
    (
      await send('POST', '/api/context/render', {
        execution_id: id,
        template: ['{{ ctx.count is defined }}', '{{ ctx.big is defined }}'],
      })
    ).body.rendered
  await send('GET', `/api/vars/${id}/count`)
  await send('POST', `/api/vars/${id}`, { variables: { big: null } })
  t.same(await defined(), [true, true])
  t.match(await send('DELETE', `/api/vars/${id}/count`), {
    status: 200,
    body: { status: 'success', execution_id: id, name: 'count', deleted: true },
  })
  t.same(await defined(), [false, true])
  t.same(Object.keys((await all(id)).variables), ['big'])
  t.match(await send('GET', `/api/vars/${id}/count`), {
    status: 404,
    body: { code: 'NOETL_ERR_VARIABLE_NOT_FOUND' },
  })
  t.match(await send('DELETE', `/api/vars/${id}/count`), { status: 404 })
  await send('POST', `/api/vars/${id}`, { variables: { count: 1 } })
  t.match((await send('GET', `/api/vars/${id}/count`)).body, { value: 1, access_count: 1 }, 'counted anew')
  t.match((await send('GET', `/api/replay/state?execution_id=${id}`)).body, { matches: true, complete: true })
})

t.test('vars: what cannot be is refused, and changes nothing', async (t) => {
  const id = await begun()
  const before = await all(id)
  for (const body of [
    {},
    { variables: 7 },
    { variables: { '': 1 } },
    { variables: { ['n'.repeat(201)]: 1 } },
    '{"variables": {"__proto__": {"polluted": 1}}}',
    { variables: [{ var_value: 1 }] },
    { variables: [{ var_name: '__proto__', var_value: 1 }] },
    { variables: { a: 1 }, var_type: 'secret' },
    { variables: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`v${i}`, i])) },
  ]) {
    t.match(await send('POST', `/api/vars/${id}`, body), {
      status: 422,
      body: { code: 'NOETL_ERR_REQUEST_INVALID' },
    })
  }
  t.notOk('polluted' in {})
  t.same(await all(id), before)
  t.match(await send('GET', `/api/vars/${id}/__proto__`), { status: 404 })
  t.match(await send('GET', `/api/vars/${id}/toString`), { status: 404 })
  t.match(await send('GET', "/api/vars/1'--"), { status: 422 })
  for (const [method, path, body] of [
    ['GET', '/api/vars/77', undefined],
    ['GET', '/api/vars/77/x', undefined],
    ['POST', '/api/vars/77', { variables: { a: 1 } }],
    ['POST', '/api/vars/77', { variables: {} }],
    ['DELETE', '/api/vars/77/x', undefined],
  ] as const) {
    t.match(await send(method, path, body), { status: 404, body: { code: 'NOETL_ERR_EXECUTION_NOT_FOUND' } })
  }
  await send('POST', `/api/executions/${id}/cancel`)
  t.match(await send('POST', `/api/vars/${id}`, { variables: { a: 1 } }), {
    status: 409,
    body: { code: 'NOETL_ERR_EXECUTION_FINISHED' },
  })
  t.match(await send('GET', `/api/vars/${id}/count`), { body: { value: 5 } }, 'it can still be read')
})

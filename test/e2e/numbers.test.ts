import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Decimal, writeJson } from '@noetl/core'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'

// Numbers go through templates, python, Postgres and HTTP, from step to step, without losing a digit.
const gateway = await testGateway(t, {
  plugins: ['@noetl/tool-python', '@noetl/tool-http', '@noetl/tool-postgres'],
})

const bodies: string[] = []
const web = createServer((request, response) => {
  let text = ''
  request.setEncoding('utf8')
  request.on('data', (part) => {
    text += part
  })
  request.on('end', () => {
    bodies.push(text)
    response.writeHead(200, { 'content-type': 'application/json' }).end(text)
  })
})
await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  web.closeAllConnections()
  web.close()
})
const api = `http://127.0.0.1:${(web.address() as AddressInfo).port}`

const { hostname, port, username, password, pathname } = new URL(gateway.databaseUrl)
await gateway.client.request('POST', '/api/credentials', {
  name: 'pg_numbers',
  type: 'postgres',
  data: {
    db_host: hostname,
    db_port: port,
    db_user: decodeURIComponent(username),
    db_password: decodeURIComponent(password),
    db_name: pathname.slice(1),
  },
})

const NUMBERS = {
  float: 1e18,
  power: 2 ** 60,
  int: 2n ** 60n + 1n,
  numeric: new Decimal('12345678901234567890.123456789'),
  doc: { n: new Decimal('12345678901234567890.5'), list: [2n ** 70n, 1e300] },
  decimal: new Decimal('0.1234567890123456789'),
}

t.test('numbers: python, Postgres and HTTP hand each other every digit', async (t) => {
  const run = await gateway.run(`
metadata: {path: numbers/all}
workload: {api: "${api}", big: 12345678901234567890}
workflow:
- step: start
  tool:
    kind: python
    code: |
      from decimal import Decimal
      result = {"float": 1e18, "power": float(2**60), "int": 2**60 + 1, "numeric": Decimal("12345678901234567890.123456789"),
          "doc": {"n": Decimal("12345678901234567890.5"), "list": [2**70, 1e300]}, "decimal": Decimal("0.1234567890123456789")}
  next: {arcs: [{step: computed}]}
- step: computed
  tool:
    kind: python
    input: {n: "{{ start }}", big: "{{ big }}"}
    code: |
      assert n["int"] + 1 == 2**60 + 2 and type(n["int"]) is int, n["int"]
      assert type(n["float"]) is float and n["float"] == 1e18, n["float"]
      assert type(n["power"]) is float and n["power"] == 2**60, n["power"]
      assert type(n["doc"]["list"][0]) is int and type(n["doc"]["list"][1]) is float, n["doc"]
      assert isinstance(n["decimal"], float) and str(n["decimal"]) == "0.1234567890123456789", n["decimal"]
      assert big + 1 == 12345678901234567891, big
      result = n
  next: {arcs: [{step: stored, when: "{{ computed.int == 1152921504606846977 and computed.int + 1 > computed.int }}"}]}
- step: stored
  tool:
    kind: postgres
    auth: pg_numbers
    command: SELECT $1::float8 AS float, $2::float8 AS power, $3::int8 AS int, $4::numeric AS numeric, $5::jsonb AS doc, $6::numeric AS decimal
    params: ["{{ computed.float }}", "{{ computed.power }}", "{{ computed.int }}", "{{ computed.numeric }}", "{{ computed.doc }}", "{{ computed.decimal }}"]
  next: {arcs: [{step: written}]}
- step: written
  tool:
    kind: postgres
    auth: pg_numbers
    command: |
      CREATE TEMP TABLE doc AS SELECT '{{ stored.rows[0] | tojson }}'::jsonb AS d, {{ stored.rows[0].numeric }} AS n;
      SELECT d::text AS text, n::text AS n FROM doc
  next: {arcs: [{step: sent}]}
- step: sent
  tool: {kind: http, method: POST, url: "{{ api }}", json: {numbers: "{{ stored.rows[0] }}"}}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: {back: "{{ sent.data.numbers }}", text: "{{ written.rows[0].text | fromjson }}", n: "{{ written.rows[0].n }}", sum: "{{ sent.data.numbers.numeric + 1 }}"}}
`)
  t.equal(run.status, 'COMPLETED', String(run.error))
  t.strictSame(run.result, {
    back: NUMBERS,
    text: NUMBERS,
    n: '12345678901234567890.123456789',
    sum: new Decimal('12345678901234567891.123456789'),
  })
  t.equal(bodies.at(-1), writeJson({ numbers: NUMBERS }))
})

t.test('numbers: a payload, a variable, a result stored aside and an event show every digit', async (t) => {
  await gateway.register(`
metadata: {path: numbers/aside}
workflow:
- step: start
  tool: {kind: python, input: {n: "{{ workload.n }}"}, code: "result = {'rows': [n] * 4000, 'first': n['int']}"}
  set: {ctx.n: "{{ workload.n }}"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: ["{{ start.rows[3999] }}", "{{ start.first }}", "{{ start.rows | length }}"]}
`)
  const id = await gateway.execute('numbers/aside', { n: NUMBERS })
  const run = await gateway.ended(id)
  t.equal(run.status, 'COMPLETED', String(run.error))
  t.strictSame(run.result, [NUMBERS, NUMBERS.int, 4000])
  t.strictSame(run.variables, { n: NUMBERS })
  const call = run.events.find(
    ({ event_type, node_name }) => event_type === 'call.done' && node_name === 'start',
  )
  const { _ref, first } = (call?.result ?? {}) as { _ref: string; first: unknown }
  t.equal(first, NUMBERS.int)
  const whole = await gateway.client.request<{ rows: unknown[] }>(
    'GET',
    `/api/result/resolve?ref=${encodeURIComponent(_ref)}`,
  )
  t.strictSame(whole.rows[3999], NUMBERS)
})

t.test('numbers: an id sent as a number is taken as the id that it is', async (t) => {
  const { catalog_id } = await gateway.client.request<{ catalog_id: string }>(
    'POST',
    '/api/catalog/register',
    {
      content:
        'metadata: {path: numbers/by-id}\nworkflow: [{step: start, tool: {kind: noop, result: "{{ workload.n }}"}}]',
    },
  )
  t.ok(Number(catalog_id) > Number.MAX_SAFE_INTEGER)
  const body = { catalog_id: BigInt(catalog_id), payload: { n: BigInt(catalog_id) } }
  const { execution_id } = await gateway.client.request<{ execution_id: string }>(
    'POST',
    '/api/v2/execute',
    body,
  )
  t.strictSame((await gateway.ended(execution_id)).result, BigInt(catalog_id))
  await t.rejects(gateway.client.request('POST', '/api/v2/execute', { catalog_id: 10n ** 30n }), {
    code: 'NOETL_ERR_REQUEST_INVALID',
  })
})

t.test('numbers: hostile ones are bounded, wherever they come in', async (t) => {
  const huge = '9'.repeat(1_000_000)
  const run = await gateway.run(
    `
metadata: {path: numbers/huge}
workflow: [{step: start, tool: {kind: python, input: {n: "{{ workload.n }}"}, code: "result = [type(n).__name__, len(n)]"}}]`,
    { n: huge },
  )
  t.same(run.result, ['str', 1_000_000])
  const answer = await fetch(`${gateway.server.url}/api/v2/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `{"path": "numbers/huge", "payload": {"n": ${huge}}}`,
  })
  t.equal(answer.status, 200)
  const { execution_id } = (await answer.json()) as { execution_id: string }
  t.same((await gateway.ended(execution_id)).result, ['str', 1_000_000])
})

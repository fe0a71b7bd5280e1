import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { request } from 'undici'
import { isObject, type JsonObject } from '../../core/schemas/json.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-http'], worker: false })
const { url } = gateway.server

async function send(method: 'GET' | 'POST', path: string, body?: unknown) {
  const answer = await request(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return {
    status: answer.statusCode,
    type: answer.headers['content-type'],
    body: (await answer.body.json()) as JsonObject,
  }
}

const BAD = `metadata: {path: bad}
workflow:
- step: start
  tool: {kind: http, urll: a, timeout: [5]}
  next: {arcs: [{step: edn, when: "{{ nmae }}"}]}
- {step: end}
`

t.test('tools: the server publishes what its plugins say of themselves', async (t) => {
  const { status, body } = await send('GET', '/api/v2/tools')
  t.equal(status, 200)
  t.same(
    (body.tools as JsonObject[]).map(({ kind }) => kind),
    ['artifact', 'http', 'noop', 'playbook', 'workbook'],
  )
  t.match((body.tools as JsonObject[])[1], {
    kind: 'http',
    plugin: '@noetl/tool-http',
    version: '0.1.0',
    textFields: [],
    input: { properties: { url: {}, timeout: {} } },
    output: { properties: { status_code: {} } },
  })
  t.same(body.undescribed, [])
})

t.test('tools: a kind that only a worker elsewhere has is named, and its fields are free', async (t) => {
  const registration = {
    name: 'far',
    kind: 'worker_pool',
    runtime: 'node',
    status: 'ready',
    capacity: 1,
    kinds: ['teleport'],
    hostname: 'x',
    pid: 1,
  }
  t.equal((await send('POST', '/api/worker/pool/register', registration)).status, 200)
  t.match((await send('GET', '/api/v2/tools')).body, { undescribed: ['teleport'] })
  const content = 'metadata: {path: far}\nworkflow: [{step: start, tool: {kind: teleport, to: mars}}]'
  t.match(await send('POST', '/api/catalog/validate', { content }), { status: 200, body: { warnings: [] } })
})

t.test('schema: the server serves the language with its tools', async (t) => {
  const { status, type, body } = await send('GET', '/api/v2/playbook-schema')
  t.equal(status, 200)
  t.match(type, /^application\/schema\+json/)
  const validate = new Ajv2020({ strict: false }).compile(body)
  const step = (tool: object) => ({ metadata: { path: 'p' }, workflow: [{ step: 'start', tool }] })
  t.ok(validate(step({ kind: 'http', url: 'a' })))
  t.ok(validate(step({ kind: 'teleport', to: 'mars' })))
  t.notOk(validate(step({ kind: 'http', url: 5 })))
  t.notOk(validate(step({ kind: 'python', code: 'x' })))
})

t.test('register and validate: all faults and warnings come at once, with their places', async (t) => {
  const misfit = {
    line: 4,
    path: 'workflow[0].tool.timeout',
    message: /is a list; a number above 0 was expected/,
  }
  const lost = { line: 5, path: 'workflow[0].next.arcs[0].step', suggestion: 'end' }
  const told = [
    { line: 4, suggestion: 'url' },
    { line: 5, column: 39, message: /"nmae" is set nowhere/ },
  ]
  const expected = {
    // What would only fail its step if that ever ran does not keep a playbook out.
    register: { faults: [lost], warnings: [misfit, ...told] },
    validate: { faults: [misfit, lost], warnings: told },
  }
  for (const [verb, { faults, warnings }] of Object.entries(expected)) {
    const { status, body } = await send('POST', `/api/v2/catalog/${verb}`, { content: BAD })
    t.equal(status, 422)
    t.ok(isObject(body.details))
    const { details } = body as { details: { faults: object[]; warnings: object[] } }
    t.equal(body.code, 'NOETL_ERR_PLAYBOOK_INVALID')
    t.equal(details.faults.length, faults.length)
    for (const one of faults)
      t.ok(
        details.faults.some((fault) => holds(fault, one)),
        `${verb}: ${one.path}`,
      )
    t.equal(details.warnings.length, warnings.length)
    for (const one of warnings)
      t.ok(
        details.warnings.some((warning) => holds(warning, one)),
        verb,
      )
  }
})

/** Whether a finding has all that is expected of it. */
function holds(found: object, expected: object): boolean {
  return Object.entries(expected).every(([key, value]) => {
    const own = (found as Record<string, unknown>)[key]
    return value instanceof RegExp ? value.test(String(own)) : own === value
  })
}

t.test('register: what was registered runs on, though tools have become stricter since', async (t) => {
  const path = await gateway.register(
    'metadata: {path: old}\nworkflow: [{step: start, tool: {kind: noop, result: 1}}]',
  )
  // As if it had been stored by a server whose tools took this.
  const { default: pg } = await import('pg')
  const db = new pg.Client(gateway.databaseUrl)
  await db.connect()
  await db.query(
    `UPDATE noetl.catalog SET content = replace(content, 'kind: noop', 'kind: noop, odd: "{{ a b }}"') WHERE path = $1`,
    [path],
  )
  await db.end()
  const started = await send('POST', '/api/v2/execute', { path })
  t.equal(started.status, 200)
})

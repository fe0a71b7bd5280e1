import pg from 'pg'
import t from 'tap'
import { request } from 'undici'
import type { ERRORS } from '../../core/errors.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { worker: false, env: { NOETL_MAX_BODY_BYTES: '20000' } })
const { url } = gateway.server
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())

const PLAYBOOK = 'metadata: {path: samples/hello}\nworkflow:\n- {step: start, tool: {kind: noop}}'
await gateway.register(PLAYBOOK)

async function send(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) {
  const answer = await request(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> }
}

/** How much there is of everything that a refused request must leave alone. */
async function counts(): Promise<unknown> {
  const { rows } = await pool.query(
    `SELECT (SELECT count(*) FROM noetl.catalog) AS catalog, (SELECT count(*) FROM noetl.execution) AS executions,
            (SELECT count(*) FROM noetl.event) AS events, (SELECT count(*) FROM noetl.queue) AS commands`,
  )
  return rows[0]
}

type Case = [
  name: string,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body: unknown,
  status: number,
  code: keyof typeof ERRORS,
  message: RegExp,
]
const CASES: Case[] = [
  [
    'a body that is no JSON',
    'POST',
    '/api/v2/execute',
    '{"path": ',
    400,
    'NOETL_ERR_REQUEST_JSON',
    /not JSON/,
  ],
  [
    'a body that is too large',
    'POST',
    '/api/v2/execute',
    { path: 'x'.repeat(30_000) },
    413,
    'NOETL_ERR_REQUEST_TOO_LARGE',
    /over the limit/,
  ],
  [
    'a body nested without end',
    'POST',
    '/api/v2/execute',
    `{"path":"p","payload":{"a":${'['.repeat(500)}${']'.repeat(500)}}}`,
    400,
    'NOETL_ERR_REQUEST_JSON',
    /nested deeper/,
  ],
  [
    'a list for a body',
    'POST',
    '/api/v2/execute',
    [],
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /body must be object/,
  ],
  [
    'neither path nor catalog_id',
    'POST',
    '/api/v2/execute',
    {},
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /path or catalog_id/,
  ],
  [
    'a path that is a number',
    'POST',
    '/api/v2/execute',
    { path: 7 },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /body\/path must be string; seen: 7/,
  ],
  [
    'a payload that is a list',
    'POST',
    '/api/v2/execute',
    { path: 'samples/hello', payload: [1] },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /body\/payload/,
  ],
  [
    'a version that is a word',
    'POST',
    '/api/v2/execute',
    { path: 'samples/hello', version: 'newest' },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /version must be a whole number or "latest"/,
  ],
  [
    'a version that is not there',
    'POST',
    '/api/v2/execute',
    { path: 'samples/hello', version: 9 },
    404,
    'NOETL_ERR_PLAYBOOK_NOT_FOUND',
    /version 9 is not/,
  ],
  [
    'a playbook that is not there, with near names',
    'POST',
    '/api/v2/execute',
    { path: 'samples/helo' },
    404,
    'NOETL_ERR_PLAYBOOK_NOT_FOUND',
    /samples\/helo.* Near: samples\/hello/,
  ],
  [
    'a catalog id that is not there',
    'POST',
    '/api/v2/execute',
    { catalog_id: '123' },
    404,
    'NOETL_ERR_PLAYBOOK_NOT_FOUND',
    /catalog id 123/,
  ],
  [
    'YAML with a fault',
    'POST',
    '/api/catalog/register',
    { content: 'a: [1\nb' },
    400,
    'NOETL_ERR_PLAYBOOK_YAML',
    /line \d+, column \d+/,
  ],
  [
    'base64 of YAML with a fault',
    'POST',
    '/api/catalog/register',
    { content: Buffer.from('a: [1\nb: 2').toString('base64') },
    400,
    'NOETL_ERR_PLAYBOOK_YAML',
    /line/,
  ],
  [
    'an unknown step in an arc',
    'POST',
    '/api/catalog/register',
    { content: `${PLAYBOOK}\n- {step: a, next: {arcs: [{step: b}]}}` },
    422,
    'NOETL_ERR_PLAYBOOK_INVALID',
    /leads to "b"/,
  ],
  [
    'an unknown tool',
    'POST',
    '/api/catalog/register',
    { content: PLAYBOOK.replace('noop', 'nop') },
    422,
    'NOETL_ERR_PLAYBOOK_INVALID',
    /step "start" uses the tool kind "nop".*there are:.*noop/,
  ],
  [
    'an event of an unknown execution',
    'POST',
    '/api/v2/events',
    {
      execution_id: '77',
      step: 's',
      name: 'call.done',
      worker_id: 'w',
      payload: { command_id: '1', result: 1 },
    },
    404,
    'NOETL_ERR_EXECUTION_NOT_FOUND',
    /no execution 77/,
  ],
  [
    'an event of no execution',
    'POST',
    '/api/v2/events',
    { step: 's', name: 'call.done', payload: {} },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /execution_id/,
  ],
  [
    'an event without a name',
    'POST',
    '/api/v2/events',
    { execution_id: '77' },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /name/,
  ],
  [
    'an event of an unknown name',
    'POST',
    '/api/v2/events',
    { execution_id: '77', name: 'playbook.completed' },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /"playbook.completed"; one of call.done/,
  ],
  [
    'an event whose payload is a text',
    'POST',
    '/api/v2/events',
    { execution_id: '77', name: 'call.done', payload: 'x' },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /body\/payload/,
  ],
  [
    'an event without its command',
    'POST',
    '/api/v2/events',
    { execution_id: '77', name: 'call.done', worker_id: 'w', payload: {} },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /command_id/,
  ],
  [
    'an event with a token that is none',
    'POST',
    '/api/v2/events',
    { execution_id: '77', name: 'call.done', payload: { command_id: '1' }, meta: { token: 'x' } },
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /token/,
  ],
  [
    'an execution id that is a word',
    'GET',
    '/api/v2/executions/abc',
    undefined,
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /id/,
  ],
  [
    'an execution that is not there',
    'GET',
    '/api/v2/executions/77',
    undefined,
    404,
    'NOETL_ERR_EXECUTION_NOT_FOUND',
    /no execution 77/,
  ],
  [
    'a page that is no number',
    'GET',
    '/api/v2/executions/77?page=x',
    undefined,
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /page/,
  ],
  [
    'a status that is none',
    'GET',
    '/api/executions?status=DONE',
    undefined,
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /"DONE"; one of RUNNING/,
  ],
  [
    'a cancel of what is not there',
    'POST',
    '/api/executions/77/cancel',
    {},
    404,
    'NOETL_ERR_EXECUTION_NOT_FOUND',
    /77/,
  ],
  [
    'a claim of an unknown command',
    'POST',
    '/api/commands/77/claim',
    { worker_id: 'w' },
    404,
    'NOETL_ERR_COMMAND_NOT_FOUND',
    /77/,
  ],
  ['a claim by nobody', 'POST', '/api/commands/77/claim', {}, 422, 'NOETL_ERR_REQUEST_INVALID', /worker_id/],
  [
    'a heartbeat of an unknown worker',
    'POST',
    '/api/worker/pool/heartbeat',
    { name: 'x' },
    404,
    'NOETL_ERR_WORKER_NOT_FOUND',
    /x/,
  ],
  [
    'a credential that is not there',
    'GET',
    '/api/credentials/x',
    undefined,
    404,
    'NOETL_ERR_CREDENTIAL_NOT_FOUND',
    /x/,
  ],
  [
    'a route that is not there',
    'GET',
    '/api/v9/x',
    undefined,
    404,
    'NOETL_ERR_ROUTE_NOT_FOUND',
    /GET \/api\/v9\/x/,
  ],
]
for (const [name, method, path, body, status, code, message] of CASES) {
  t.test(`bad input: ${name}`, async (t) => {
    const before = await counts()
    const answer = await send(method, path, body)
    t.equal(answer.status, status)
    t.match(answer.body, { code, status, error: message, detail: message })
    t.same(await counts(), before, 'nothing is half written')
  })
}

t.test('bad input: an event of a finished execution is refused, its afterwords are not', async (t) => {
  const id = await gateway.execute('samples/hello')
  await send('POST', `/api/executions/${id}/cancel`, { reason: 'test' })
  const before = await counts()
  const event = (name: string) => ({
    execution_id: id,
    step: 'start',
    name,
    worker_id: 'w',
    payload: { command_id: '1' },
  })
  t.match(await send('POST', '/api/v2/events', event('command.started')), {
    status: 409,
    body: { code: 'NOETL_ERR_EXECUTION_FINISHED', error: /is CANCELLED/ },
  })
  t.match(await send('POST', '/api/v2/events', event('step.exit')), { status: 200 })
  t.same(await counts(), before)
  t.match(await send('POST', '/api/v2/events', event('call.done')), {
    status: 409,
    body: { code: 'NOETL_ERR_EXECUTION_FINISHED' },
  })
  t.equal((await gateway.ended(id)).status, 'CANCELLED')
})

t.test('a server that others can reach wants a token', async (t) => {
  const { readConfig } = await import('../../core/config.ts')
  t.throws(() => readConfig({}, { NOETL_HOST: '0.0.0.0' }), {
    code: 'NOETL_ERR_CONFIG_INVALID',
    message: /NOETL_API_TOKEN/,
  })
  t.throws(() => readConfig({}, { NOETL_PORT: 'x', DATABASE_URL: 'y', NOETL_WORKER_SLOTS: '0' }), {
    message: /NOETL_PORT is "x".*\n.*\n.*/,
  })
})

import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { gzipSync } from 'node:zlib'
import { CallAborted, type JsonObject } from '@noetl/core'
import t from 'tap'
import { until } from '../../support/wait.ts'
import { json, webServer } from '../tool-http/web-server.ts'
import { open, SECRET } from './read.ts'

t.test('secrets http: the name goes into the URL, part by part', async (t) => {
  const server = await webServer(t, ({ path }, response) => response.end(path))
  const { run } = open(t)
  const fields = { provider: 'http', url: `${server.url}/v/{name}/now?of={name}` }
  t.same(await run({ ...fields, secret: 'db/a b?&%' }), { value: '/v/db/a%20b%3F%26%25/now' })
  t.equal(server.received[0]?.query.get('of'), 'db/a b?&%')
})

t.test('secrets http: a name that leads elsewhere is not asked for', async (t) => {
  const server = await webServer(t)
  const { fail } = open(t)
  for (const secret of ['../admin', 'a/../../b', 'a//b', '/a', '.', 'a/.', '\ud800']) {
    t.match(
      await fail({ provider: 'http', url: `${server.url}/v/{name}`, secret }),
      { kind: 'schema' },
      secret,
    )
  }
  t.equal(server.received.length, 0)
})

const credentials: [type: string, data: JsonObject, header: string, value: string][] = [
  ['secrets_http', { token: SECRET }, 'authorization', `Bearer ${SECRET}`],
  ['secrets_http', { token: SECRET, header: 'X-Key' }, 'x-key', SECRET],
  ['bearer', { token: SECRET }, 'authorization', `Bearer ${SECRET}`],
  ['oauth2', { access_token: SECRET }, 'authorization', `Bearer ${SECRET}`],
  ['api_key', { value: SECRET }, 'x-api-key', SECRET],
  ['api_key', { key: SECRET, header: 'X-Other' }, 'x-other', SECRET],
]
for (const [type, data, header, value] of credentials) {
  t.test(`secrets http: a ${type} credential with ${Object.keys(data)} is sent as ${header}`, async (t) => {
    const server = await webServer(t, (_received, response) => response.end('v'))
    const { run } = open(t, {}, { store: { type, data: { url: `${server.url}/{name}`, ...data } } })
    t.same(await run({ provider: 'http', auth: 'store', secret: 'a' }), { value: 'v' })
    t.same(await run({ provider: 'http', auth: { credential: 'store' }, secret: 'a' }), { value: 'v' })
    t.same(
      server.received.map(({ headers }) => headers[header]),
      [value, value],
    )
  })
}

t.test('secrets http: an answer that is JSON gives it whole, or its field', async (t) => {
  const server = await webServer(t, ({ path }, response) => json(response, { data: { value: SECRET, path } }))
  const { run } = open(t)
  const fields = { provider: 'http', url: `${server.url}/{name}` }
  t.same(await run({ ...fields, secret: 'a' }), { value: { data: { value: SECRET, path: '/a' } } })
  t.same(await run({ ...fields, secret: 'a', field: 'data.value' }), { value: SECRET })
  t.same(await run({ ...fields, secret: 'a', path: 'data.value' }), { value: SECRET })
  t.match(await run({ ...fields, map: { x: 'a', y: 'b#data.path' }, field: 'data.value' }), {
    x: SECRET,
    y: '/b',
  })
})

t.test('secrets http: fields of one answer are asked for once', async (t) => {
  const server = await webServer(t, (_received, response) => json(response, { user: 'me', password: SECRET }))
  const { run, fail } = open(t)
  const fields = { provider: 'http', url: `${server.url}/all` }
  t.match(await run({ ...fields, map: { user: '#user', password: '#password' } }), {
    user: 'me',
    password: SECRET,
  })
  t.equal(server.received.length, 1)
  t.match(await fail({ ...fields, secret: 'user' }), { kind: 'schema', message: /write "#user"/ })
  t.match(await fail({ provider: 'http', url: `${server.url}/{name}` }), {
    kind: 'schema',
    message: /names no secret/,
  })
})

const statuses: [status: number, kind: string, retryable: boolean][] = [
  [204, 'client_error', false],
  [302, 'client_error', false],
  [400, 'client_error', false],
  [401, 'auth', false],
  [403, 'auth', false],
  [404, 'not_found', false],
  [410, 'not_found', false],
  [429, 'rate_limit', true],
  [503, 'server_error', true],
]
for (const [status, kind, retryable] of statuses) {
  t.test(
    `secrets http: ${status} is ${kind}, and nothing of the answer or the credential is told`,
    async (t) => {
      const elsewhere = await webServer(t)
      const server = await webServer(t, (_received, response) => {
        response.writeHead(status, { 'retry-after': '7', location: elsewhere.url })
        response.end(status === 204 ? undefined : SECRET)
      })
      const { fail } = open(t, {}, { store: { type: 'bearer', data: { token: SECRET } } })
      const error = await fail({
        provider: 'http',
        auth: 'store',
        url: `${server.url}/{name}?key=${SECRET}`,
        secret: 'db',
      })
      t.match(error, { kind, retryable, status, retryAfterSeconds: 7, result: null })
      t.match(error.message, `The secret "db"`)
      t.match(error.message, `${server.url} answered ${status}`)
      t.equal(elsewhere.received.length, 0, 'redirects are not followed')
    },
  )
}

t.test('secrets http: a server that cannot be reached is a connection failure', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const error = await open(t).fail({ provider: 'http', url: `http://127.0.0.1:${port}/${SECRET}` })
  t.match(error, { kind: 'connection', retryable: true, code: 'ECONNREFUSED' })
})

t.test('secrets http: an answer that breaks off or is none is a connection failure', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (data) => {
      const broken = String(data).startsWith('GET /broken')
      socket.end(broken ? `HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n${SECRET}` : `${SECRET}\r\n\r\n`)
    })
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { fail } = open(t)
  for (const path of ['/broken', '/none']) {
    t.match(await fail({ provider: 'http', url: url + path }), { kind: 'connection', retryable: true }, path)
  }
})

t.test('secrets http: an answer over the limit, a packed one and one that is no JSON', async (t) => {
  const server = await webServer(t, ({ path }, response) => {
    if (path === '/packed') return response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{}'))
    if (path === '/json') return response.writeHead(200, { 'content-type': 'application/json' }).end(SECRET)
    return response.end(SECRET.repeat(200))
  })
  const { fail, run } = open(t, { maxSecretBytes: 1000 })
  const fields = { provider: 'http', url: `${server.url}/{name}` }
  t.match(await fail({ ...fields, secret: 'large' }), { kind: 'tool_error', message: /more than 1000 bytes/ })
  t.match(await fail({ ...fields, secret: 'packed' }), { kind: 'parse', message: /packed form/ })
  t.match(await fail({ ...fields, secret: 'json' }), { kind: 'parse', message: /to be JSON and is not/ })
  t.same(await run({ ...fields, secret: 'json', encoding: 'base64' }), {
    value: Buffer.from(SECRET).toString('base64'),
  })
})

t.test('secrets http: the time of the step and that of the call end it', async (t) => {
  const server = await webServer(t, () => {})
  const { fail } = open(t)
  const fields = { provider: 'http', url: server.url }
  const late = await fail({ ...fields, timeout: '0.1' })
  t.match(late, { kind: 'timeout', retryable: true, message: /within 0.1 s/ })
  const controller = new AbortController()
  const running = fail(fields, controller.signal)
  await until('the request', () => server.received.length === 2)
  controller.abort(new CallAborted('deadline', 'time is up'))
  t.match(await running, { kind: 'timeout', message: /the time of the call was up/ })
})

t.test('secrets http: when one of several fails, the others are not waited for', async (t) => {
  let open_ = 0
  const server = await webServer(t, ({ path }, response) => {
    if (path === '/bad') {
      void until('the other request', () => open_ === 1).then(() => json(response, {}, 404))
      return
    }
    open_++
    response.once('close', () => open_--)
  })
  const { fail } = open(t)
  const error = await fail({
    provider: 'http',
    url: `${server.url}/{name}`,
    names: ['slow', 'bad'],
    timeout: 60,
  })
  t.match(error, { kind: 'not_found', message: /"bad"/ })
  await until('the other request to be given up', () => open_ === 0)
})

const faults: [name: string, fields: JsonObject, kind: string, message: RegExp][] = [
  ['no url', {}, 'schema', /needs the "url"/],
  ['no http', { url: `ftp://me:${SECRET}@x/` }, 'schema', /no http or https URL/],
  ['a user in the url', { url: `http://me:${SECRET}@127.0.0.1/` }, 'schema', /holds a user or password/],
  [
    'a url beside that of the credential',
    { url: 'http://other.test/', auth: 'store' },
    'schema',
    /Both the step and/,
  ],
  ['a credential of another type', { url: 'http://x.test/', auth: 'db' }, 'auth', /type is "postgres"/],
  [
    'a credential without its token',
    { url: 'http://x.test/', auth: 'empty' },
    'auth',
    /misses "token" in credential empty/,
  ],
  [
    'a header without a token',
    { url: 'http://x.test/', auth: 'half' },
    'auth',
    /misses "token" in credential half/,
  ],
  ['a credential that is not there', { url: 'http://x.test/', auth: 'none' }, 'auth', /none/],
  [
    'a token that no header carries',
    { url: 'http://127.0.0.1:1/', auth: 'lines' },
    'schema',
    /a character that none can/,
  ],
]
for (const [name, fields, kind, message] of faults) {
  t.test(`secrets http: ${name} is refused without a word of what is secret`, async (t) => {
    const { fail } = open(
      t,
      {},
      {
        store: { type: 'secrets_http', data: { url: 'http://store.test/', token: SECRET } },
        db: { type: 'postgres', data: { db_password: SECRET } },
        empty: { type: 'bearer', data: {} },
        half: { type: 'secrets_http', data: { header: 'X-A' } },
        lines: { type: 'bearer', data: { token: `${SECRET}\r\nX: 1` } },
      },
    )
    t.match(await fail({ provider: 'http', ...fields }), { kind, retryable: false, message })
  })
}

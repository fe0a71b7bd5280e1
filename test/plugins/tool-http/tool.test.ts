import { readFile } from 'node:fs/promises'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createSocketServer } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { CallAborted, type JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { retryAfter } from '../../../plugins/tool-http/failures.ts'
import { type HttpToolOptions, httpTool } from '../../../plugins/tool-http/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { json, webServer } from './web-server.ts'

function open(t: Test, options: HttpToolOptions = {}) {
  const tool = httpTool(options)
  t.teardown(() => tool.close?.())
  return tool
}

t.test('result: the six fields and no more, JSON under data and body', async (t) => {
  const server = await webServer(t, (_received, response) => json(response, { items: [1, 2] }))
  const tool = open(t)
  const result = (await tool.run(
    { url: `${server.url}/x`, params: { cursor: '' } },
    toolCall(),
  )) as JsonObject
  t.same(Object.keys(result).sort(), ['body', 'data', 'elapsed', 'headers', 'status_code', 'url'])
  t.equal(result.status_code, 200)
  t.same(result.data, { items: [1, 2] })
  t.same(result.body, { items: [1, 2] })
  t.equal(result.url, `${server.url}/x?cursor=`)
  t.equal((result.headers as JsonObject)['content-length'], '15')
  t.ok(typeof result.elapsed === 'number' && result.elapsed > 0 && result.elapsed < 30)
  t.same(tool.facets?.(result), { http: { status: 200, headers: result.headers } })
  t.equal(server.received[0]?.search, '?cursor=')
})

t.test('result: integers too long for a number come with all their digits', async (t) => {
  const server = await webServer(t, (_received, response) => {
    response.setHeader('content-type', 'application/vnd.api+json')
    response.end('{"id": 1234567890123456789, "n": 12, "x": 1.5}')
  })
  const result = (await open(t).run({ url: server.url }, toolCall())) as JsonObject
  t.same(result.data, { id: 1234567890123456789n, n: 12, x: 1.5 })
})

const bodies: [name: string, type: string | null, bytes: Buffer, expected: unknown][] = [
  ['text of a declared charset is text', 'text/plain; charset=iso-8859-1', Buffer.from([0xe4]), 'ä'],
  ['text that holds JSON stays text', 'text/plain', Buffer.from('{"a":1}'), '{"a":1}'],
  ['broken JSON is text', 'application/json', Buffer.from('{"a":'), '{"a":'],
  ['JSON without a content type is parsed', null, Buffer.from(' {"a":1}'), { a: 1 }],
  ['a number without a content type is text', null, Buffer.from('17'), '17'],
  ['bytes are base64', 'image/png', Buffer.from([0x89, 0x50, 0, 0xff]), 'iVAA/w=='],
  ['XML is text', 'application/xml', Buffer.from('<a/>'), '<a/>'],
  ['nothing is empty text', 'application/json', Buffer.alloc(0), ''],
]
for (const [name, type, bytes, expected] of bodies) {
  t.test(`body: ${name}`, async (t) => {
    const server = await webServer(t, (_received, response) => {
      if (type !== null) response.setHeader('content-type', type)
      response.end(bytes)
    })
    const result = (await open(t).run({ url: server.url }, toolCall())) as JsonObject
    t.same(result.data, expected)
    t.same(result.body, expected)
  })
}

t.test('body: packed answers are unpacked', async (t) => {
  const server = await webServer(t, ({ path }, response) => {
    response.setHeader('content-type', 'application/json')
    const pack = path === '/gzip' ? gzipSync : brotliCompressSync
    response.setHeader('content-encoding', path === '/gzip' ? 'gzip' : 'br')
    response.end(pack('{"a":"packed"}'))
  })
  const tool = open(t)
  for (const path of ['/gzip', '/br']) {
    const result = (await tool.run({ url: server.url + path }, toolCall())) as JsonObject
    t.same(result.data, { a: 'packed' }, path)
  }
})

t.test('body: a packed answer that is not what it says is a parse failure', async (t) => {
  const server = await webServer(t, (_received, response) => {
    response.setHeader('content-encoding', 'gzip')
    response.end('this is no gzip')
  })
  t.match(await toolFailure(open(t).run({ url: server.url }, toolCall())), {
    kind: 'parse',
    retryable: false,
  })
})

t.test('limit: an answer over it fails, counted after unpacking', async (t) => {
  const server = await webServer(t, ({ path }, response) => {
    if (path === '/packed') response.setHeader('content-encoding', 'gzip')
    const body = Buffer.alloc(2000, 'a')
    response.end(path === '/packed' ? gzipSync(body) : body)
  })
  const tool = open(t, { maxResponseBytes: 1000 })
  for (const path of ['/plain', '/packed']) {
    const failure = await toolFailure(tool.run({ url: server.url + path }, toolCall()))
    t.match(failure, { kind: 'tool_error', message: /more than 1000 bytes/ }, path)
  }
  const fits = open(t, { maxResponseBytes: 2000 })
  t.equal(((await fits.run({ url: server.url }, toolCall())) as JsonObject).status_code, 200)
})

t.test('keep-alive: calls in a row share connections', async (t) => {
  const server = await webServer(t, (_received, response) => json(response, {}))
  const tool = open(t)
  for (let i = 0; i < 10; i++) await tool.run({ url: server.url }, toolCall())
  t.equal(server.received.length, 10)
  // A second one may be opened while the first is not quite free yet.
  t.ok(server.sockets() <= 2, `${server.sockets()} connections`)
})

const statuses: [status: number, kind: string, retryable: boolean][] = [
  [400, 'client_error', false],
  [401, 'auth', false],
  [403, 'auth', false],
  [404, 'not_found', false],
  [422, 'client_error', false],
  [429, 'rate_limit', true],
  [500, 'server_error', true],
  [503, 'server_error', true],
]
for (const [status, kind, retryable] of statuses) {
  t.test(`status: ${status} is a ${kind} with the whole result beside it`, async (t) => {
    const server = await webServer(t, (_received, response) => {
      response.setHeader('retry-after', '7')
      json(response, { why: 'because' }, status)
    })
    const failure = await toolFailure(open(t).run({ url: `${server.url}/p?key=s3cret` }, toolCall()))
    t.match(failure, { kind, retryable, status, retryAfterSeconds: 7 })
    t.match(failure.result, { status_code: status, data: { why: 'because' }, body: { why: 'because' } })
    t.match(failure.facets, { http: { status, headers: { 'content-type': 'application/json' } } })
    t.match(failure.message, new RegExp(`^GET ${server.url}/p answered ${status} `))
    t.notMatch(failure.message, /s3cret/)
  })
}

t.test('Retry-After: seconds, a date, a date gone by, and nonsense', async (t) => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  t.equal(retryAfter('120', now), 120)
  t.equal(retryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now), 30)
  t.equal(retryAfter('Wed, 31 Dec 2025 00:00:30 GMT', now), 0)
  t.equal(retryAfter('soon', now), null)
  t.equal(retryAfter(undefined, now), null)
})

t.test('redirects: followed by default, with POST becoming GET at 302 and staying POST at 307', async (t) => {
  const server = await webServer(t, ({ path, method, body }, response) => {
    if (path === '/end') return json(response, { method, body })
    response.writeHead(Number(path.slice(1)), { location: '/end' }).end('elsewhere')
  })
  const tool = open(t)
  const via = (status: number) =>
    tool.run({ url: `${server.url}/${status}`, method: 'POST', body: 'x' }, toolCall())
  t.match(await via(302), { url: `${server.url}/end`, data: { method: 'GET', body: '' } })
  t.match(await via(303), { data: { method: 'GET', body: '' } })
  t.match(await via(307), { data: { method: 'POST', body: 'x' } })
  t.match(await via(308), { data: { method: 'POST', body: 'x' } })
})

t.test('redirects: follow_redirects false gives the redirect itself', async (t) => {
  const server = await webServer(t, (_received, response) => {
    response.writeHead(302, { location: '/end' }).end()
  })
  const result = await open(t).run({ url: server.url, follow_redirects: false }, toolCall())
  t.match(result, { status_code: 302, headers: { location: '/end' } })
  t.equal(server.received.length, 1)
})

t.test('redirects: ten are followed, the eleventh is an error', async (t) => {
  const server = await webServer(t, ({ path }, response) => {
    const left = Number(path.slice(1))
    if (left === 0) return json(response, 'done')
    response.writeHead(302, { location: `/${left - 1}` }).end()
  })
  const tool = open(t)
  t.match(await tool.run({ url: `${server.url}/10` }, toolCall()), { data: 'done' })
  const failure = await toolFailure(tool.run({ url: `${server.url}/11` }, toolCall()))
  t.match(failure, { kind: 'client_error', message: /more than 10 times/ })
})

t.test('redirects: another origin sees no credential, the same origin does', async (t) => {
  const elsewhere = await webServer(t, (_received, response) => json(response, {}))
  const server = await webServer(t, ({ path }, response) => {
    if (path === '/end') return json(response, {})
    response.writeHead(302, { location: path === '/away' ? `${elsewhere.url}/` : '/end' }).end()
  })
  const tool = open(t)
  const call = toolCall({
    stored: { k: { type: 'api_key', data: { header: 'X-Own-Key', value: 's3cret' } } },
  })
  const headers = { Authorization: 'Bearer s3cret', Cookie: 's=s3cret', 'X-Plain': 'kept' }
  await tool.run({ url: `${server.url}/away`, auth: 'k', headers }, call)
  t.notMatch(JSON.stringify(elsewhere.received[0]?.headers), /s3cret/)
  t.equal(elsewhere.received[0]?.headers['x-plain'], 'kept')
  t.equal(elsewhere.received[0]?.headers.host, `127.0.0.1:${elsewhere.port}`)
  await tool.run({ url: `${server.url}/here`, auth: 'k', headers }, call)
  const last = server.received.at(-1)
  t.equal(last?.path, '/end')
  t.equal(last?.headers.authorization, 'Bearer s3cret')
  t.equal(last?.headers['x-own-key'], 's3cret')
})

const stored = {
  b: { type: 'bearer', data: { token: 'tok' } },
  u: { type: 'basic', data: { username: 'me', password: 'pw' } },
  k: { type: 'api_key', data: { value: 'kv' } },
  own: { type: 'api_key', data: { header: 'X-Own', value: 'kv' } },
  pg: { type: 'postgres', data: { db_password: 's3cret' } },
  empty: { type: 'bearer', data: {} },
}
const basic = `Basic ${Buffer.from('me:pw').toString('base64')}`
const auths: [name: string, auth: string | JsonObject | null, header: string, value: string | undefined][] = [
  ['an alias of type bearer', 'b', 'authorization', 'Bearer tok'],
  ['an alias of type basic', 'u', 'authorization', basic],
  ['an alias of type api_key', 'k', 'x-api-key', 'kv'],
  ['an api_key with its own header', 'own', 'x-own', 'kv'],
  ['a dict that names a credential', { type: 'bearer', credential: 'b' }, 'authorization', 'Bearer tok'],
  ['a dict with name', { kind: 'basic', name: 'u' }, 'authorization', basic],
  ['a dict that overrides the header', { alias: 'k', header: 'X-Other' }, 'x-other', 'kv'],
  ['an inline token', { type: 'bearer', token: 'inline' }, 'authorization', 'Bearer inline'],
  ['an inline user', { type: 'basic', username: 'me', password: 'pw' }, 'authorization', basic],
  ['none', null, 'authorization', undefined],
  ['an alias that rendered to nothing', '', 'authorization', undefined],
]
for (const [name, auth, header, value] of auths) {
  t.test(`auth: ${name}`, async (t) => {
    const server = await webServer(t, (_received, response) => json(response, {}))
    await open(t).run({ url: server.url, auth }, toolCall({ stored }))
    t.equal(server.received[0]?.headers[header], value)
  })
}

t.test('auth: a missing, a foreign and an empty credential are failures of kind auth', async (t) => {
  const tool = open(t)
  const fail = (auth: string) =>
    toolFailure(tool.run({ url: 'http://127.0.0.1:1/', auth }, toolCall({ stored })))
  t.match(await fail('absent'), { kind: 'auth' })
  t.match(await fail('pg'), {
    kind: 'auth',
    message: /its type is "postgres", not one of bearer, basic, api_key/,
  })
  t.match(await fail('empty'), { kind: 'auth', message: /misses "token"/ })
})

t.test('connection: a closed port is named with its cause and without user and password', async (t) => {
  const server = createSocketServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const failure = await toolFailure(
    open(t).run({ url: `http://me:s3cret@127.0.0.1:${port}/x?k=s3cret` }, toolCall()),
  )
  t.match(failure, { kind: 'connection', code: 'ECONNREFUSED', retryable: true, status: null })
  t.match(failure.message, new RegExp(`no answer from 127.0.0.1:${port}: .*ECONNREFUSED`))
  t.notMatch(failure.message, /s3cret/)
})

t.test('connection: a server that hangs up in mid-answer is a connection failure', async (t) => {
  const server = await webServer(t, (_received, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('half', () => response.socket?.destroy())
  })
  t.match(await toolFailure(open(t).run({ url: server.url }, toolCall())), {
    kind: 'connection',
    retryable: true,
  })
})

t.test('timeout: silence and a body that never ends are timeouts', async (t) => {
  const server = await webServer(t, ({ path }, response) => {
    if (path === '/body') response.writeHead(200).write('a')
  })
  const tool = open(t)
  for (const path of ['/silent', '/body']) {
    const failure = await toolFailure(tool.run({ url: server.url + path, timeout: '0.1' }, toolCall()))
    t.match(failure, { kind: 'timeout', retryable: true, message: /no whole answer within 0.1 s/ }, path)
  }
})

t.test(
  'signal: a deadline is a timeout, any other reason is passed on, and the server sees the hang-up',
  async (t) => {
    for (const why of ['deadline', 'cancelled'] as const) {
      const stop = new AbortController()
      const reason = new CallAborted(why, 'the test says so')
      let hungUp: Promise<void> | undefined
      const server = await webServer(t, (_received, response) => {
        hungUp = new Promise((resolve) => response.once('close', () => resolve()))
        stop.abort(reason)
      })
      const running = open(t).run({ url: server.url }, toolCall({ signal: stop.signal }))
      if (why === 'deadline') t.match(await toolFailure(running), { kind: 'timeout' })
      else t.equal(await running.catch((error: unknown) => error), reason)
      await hungUp
    }
  },
)

t.test('signal: a call that is aborted already sends nothing', async (t) => {
  const server = await webServer(t)
  const reason = new CallAborted('stopping', 'stop')
  const running = open(t).run({ url: server.url }, toolCall({ signal: AbortSignal.abort(reason) }))
  t.equal(await running.catch((error: unknown) => error), reason)
  t.equal(server.received.length, 0)
})

t.test('verify_ssl: an unknown certificate is refused with the way out, and taken with false', async (t) => {
  const file = (name: string) => readFile(new URL(`../../fixtures/tls/${name}`, import.meta.url))
  const server = createTlsServer({ key: await file('localhost.key'), cert: await file('localhost.crt') })
  server.on('request', (_request, response) => json(response, { secure: true }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const tool = open(t)
  const failure = await toolFailure(tool.run({ url }, toolCall()))
  t.match(failure, { kind: 'connection', retryable: false, message: /set verify_ssl: false/ })
  t.match(await tool.run({ url, verify_ssl: false }, toolCall()), { data: { secure: true } })
})

t.test('HEAD and 204: no body is empty text, even when it is said to be packed', async (t) => {
  const server = await webServer(t, ({ method }, response) => {
    response.writeHead(method === 'HEAD' ? 200 : 204, { 'content-encoding': 'gzip' }).end()
  })
  const tool = open(t)
  t.match(await tool.run({ url: server.url, method: 'HEAD' }, toolCall()), { status_code: 200, data: '' })
  t.match(await tool.run({ url: server.url }, toolCall()), { status_code: 204, data: '' })
})

t.test('close: safe twice', async (t) => {
  const tool = httpTool()
  await tool.close?.()
  await t.resolves(tool.close?.() ?? Promise.resolve())
})

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { CallAborted, type JsonObject } from '@noetl/core'
import { credsAuthenticator } from 'nats'
import t, { type Test } from 'tap'
import { freePort } from '../../../cli/local/child.ts'
import { settingsOf } from '../../../plugins/tool-nats/settings.ts'
import { type NatsToolOptions, natsTool } from '../../../plugins/tool-nats/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { natsServer, PASSWORD } from './nats-server.ts'
import { operatorMode } from './operator.ts'

const server = await natsServer(t)
await (await server.admin()).jetstream().views.kv('state')
const stored = {
  nats: server.credential(),
  pg: { type: 'postgres', data: { url: server.url } },
  empty: { type: 'nats', data: { nats_user: 'ada' } },
  odd: { type: 'nats', data: { nats_url: `http://ada:${PASSWORD}@localhost` } },
}
const GET = { operation: 'kv_get', bucket: 'state', key: 'a' }

function open(t: Test, options: NatsToolOptions = {}) {
  const tool = natsTool(options)
  t.teardown(() => tool.close?.())
  return tool
}
const run = (t: Test, auth: string | JsonObject | null) => open(t).run({ ...GET, auth }, toolCall({ stored }))

const inline = { nats_url: server.url, nats_user: 'ada', nats_password: PASSWORD }
const AUTHS: [name: string, auth: string | JsonObject][] = [
  ['an alias', 'nats'],
  ['a dict that names a credential', { credential: 'nats', type: 'nats' }],
  ['fields given inline', inline],
  ['the short names', { url: server.url, user: 'ada', password: PASSWORD }],
  ['user and password in the URL', { url: server.url.replace('//', `//ada:${PASSWORD}@`) }],
  ['a host and port without nats://', { ...inline, nats_url: server.url.slice('nats://'.length) }],
  ['several servers, of which one answers', { ...inline, nats_url: `nats://127.0.0.1:1,${server.url}` }],
]
for (const [name, auth] of AUTHS) {
  t.test(`auth: ${name}`, async (t) => {
    t.match(await run(t, auth), { status: 'not_found', bucket: 'state' })
  })
}

t.test('auth: a token, given as a field or in the URL', async (t) => {
  const guarded = await natsServer(t, {
    guard: { config: 'authorization {token: "t0ken"}', as: { token: 't0ken' } },
  })
  await (await guarded.admin()).jetstream().views.kv('state')
  t.match(await run(t, { url: guarded.url, token: 't0ken' }), { status: 'not_found' })
  t.match(await run(t, { url: guarded.url.replace('//', '//t0ken@') }), { status: 'not_found' })
  const failure = await toolFailure(run(t, { url: guarded.url, token: 'wr0ng' }))
  t.match(failure, { kind: 'auth' })
  t.notMatch(failure.message, /wr0ng/)
})

t.test('auth: a credentials file, given as its content', async (t) => {
  const { config, creds } = operatorMode()
  const as = { authenticator: credsAuthenticator(new TextEncoder().encode(creds)) }
  const guarded = await natsServer(t, { guard: { config, as } })
  await (await guarded.admin()).jetstream().views.kv('state')
  t.match(await run(t, { url: guarded.url, creds }), { status: 'not_found' })
  const failure = await toolFailure(run(t, { url: guarded.url, creds: operatorMode().creds }))
  t.match(failure, { kind: 'auth', message: /check its user and password, token or creds/ })
})

t.test('tls: an unknown certificate is refused with the way out, and taken with its authority', async (t) => {
  const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/tls/${name}`, import.meta.url))
  const ca = await readFile(fixture('localhost.crt'), 'utf8')
  const guarded = await natsServer(t, {
    guard: {
      config: `tls {cert_file: "${fixture('localhost.crt')}", key_file: "${fixture('localhost.key')}"}`,
      as: { tls: { ca } },
    },
  })
  await (await guarded.admin()).jetstream().views.kv('state')
  const url = guarded.url.replace('nats://127.0.0.1', 'tls://localhost')
  t.match(await toolFailure(run(t, { url })), {
    kind: 'connection',
    retryable: false,
    message: /certificate of NATS at localhost:\d+ is not accepted.*"ca" of the credential/,
  })
  t.match(await run(t, { url, ca }), { status: 'not_found' })
})

t.test('auth: a wrong password is a failure of kind auth that does not show it', async (t) => {
  const failure = await toolFailure(run(t, { ...inline, nats_password: 'wr0ng-one' }))
  t.match(failure, { kind: 'auth', retryable: false, code: 'AUTHORIZATION_VIOLATION' })
  t.match(failure.message, /NATS at 127.0.0.1:\d+ did not let the nats tool in as ada/)
  t.notMatch(JSON.stringify(failure.toCallError()), /wr0ng-one/)
})

t.test('auth: one that is missing, empty, foreign or no URL is told as such', async (t) => {
  const fail = (auth: string | JsonObject | null) => toolFailure(run(t, auth))
  t.match(await fail(null), { kind: 'auth', message: /needs "auth"/ })
  t.match(await fail(''), { kind: 'auth', message: /needs "auth"/ })
  t.match(await fail('absent'), { kind: 'auth' })
  t.match(await fail('pg'), { kind: 'auth', message: /its type is "postgres", not nats/ })
  t.match(await fail('empty'), { kind: 'auth', message: /misses "nats_url".*credential empty/ })
  const odd = await fail('odd')
  t.match(odd, { kind: 'auth', message: /credential odd is no URL that begins with nats/ })
  t.notMatch(odd.message, new RegExp(PASSWORD))
  t.match(await fail({ ...inline, creds: 'no credentials file' }), { kind: 'auth', message: /creds/ })
})

t.test('settings: tls:// asks for TLS, and an authority of its own too', async (t) => {
  t.match(settingsOf({ url: 'tls://a.example' }, 'auth'), { servers: ['a.example:4222'], tls: true })
  t.match(settingsOf({ url: 'nats://a:1, b:2' }, 'auth'), { servers: ['a:1', 'b:2'], tls: false, user: null })
  t.match(settingsOf({ url: 'a', ca: 'PEM' }, 'auth'), { ca: 'PEM' })
  t.match(settingsOf({ url: 'nats://a%40b:c%2Fd@h' }, 'auth'), { user: 'a@b', password: 'c/d', token: null })
})

t.test('connection: a closed port is named, and may be tried again', async (t) => {
  const port = await freePort()
  const failure = await toolFailure(run(t, { ...inline, nats_url: `nats://127.0.0.1:${port}` }))
  t.match(failure, { kind: 'connection', retryable: true, code: 'CONNECTION_REFUSED' })
  t.match(failure.message, new RegExp(`No connection to NATS at 127.0.0.1:${port}`))
})

t.test('connection: a server that takes the connection and says nothing is given up in time', async (t) => {
  const frozen = await natsServer(t)
  await frozen.freeze()
  const tool = open(t, { connectMs: 200 })
  const failure = await toolFailure(tool.run({ ...GET, auth: frozen.credential().data }, toolCall()))
  t.match(failure, { kind: 'connection', retryable: true, message: /it does not answer/ })
})

t.test('connection: calls of one credential share one, which ends with the tool', async (t) => {
  const own = await natsServer(t)
  await (await own.admin()).jetstream().views.kv('state')
  const tool = open(t)
  const call = () => tool.run({ ...GET, auth: own.credential().data }, toolCall())
  await Promise.all(Array.from({ length: 20 }, call))
  await call()
  t.equal(await own.connections(), 1)
  await tool.close?.()
  await until('the connection to end', async () => (await own.connections()) === 0)
  t.match(await toolFailure(call()), { kind: 'cancelled', message: /closed/ })
})

t.test('connection: one that is unused for a while is closed, and opened again when needed', async (t) => {
  const own = await natsServer(t)
  await (await own.admin()).jetstream().views.kv('state')
  const tool = open(t, { idleMs: 50 })
  const call = () => tool.run({ ...GET, auth: own.credential().data }, toolCall())
  for (const _ of [1, 2]) {
    t.match(await call(), { status: 'not_found' })
    await until('the connection to end', async () => (await own.connections()) === 0)
  }
})

t.test('connection: beyond the limit the one unused for longest goes', async (t) => {
  const own = await natsServer(t)
  await (await own.admin()).jetstream().views.kv('state')
  const tool = open(t, { maxConnections: 1 })
  await tool.run({ ...GET, auth: own.credential('ada').data }, toolCall())
  await tool.run({ ...GET, auth: own.credential('reader').data }, toolCall())
  await until('the first connection to end', async () => (await own.connections()) === 1)
  t.match(await tool.run({ ...GET, auth: own.credential('ada').data }, toolCall()), { status: 'not_found' })
})

t.test('a server killed in the midst of calls fails them at once; the next ones find it again', async (t) => {
  const own = await natsServer(t)
  const js = (await own.admin()).jetstream()
  await js.views.kv('state')
  await js.views.os('files')
  const auth = own.credential().data
  const tool = open(t)
  await tool.run({ ...GET, operation: 'kv_put', value: 'kept', auth }, toolCall())
  // Frozen first: the calls are on their way for certain, and unanswered, when it dies.
  await own.freeze()
  const put = { operation: 'object_put', bucket: 'files', key: 'o', value: 'x'.repeat(5_000_000) }
  const running = [
    { ...GET },
    { ...GET, operation: 'kv_put', value: 'lost' },
    { ...GET, operation: 'kv_keys' },
    put,
  ].map((fields) => toolFailure(tool.run({ ...fields, auth }, toolCall())))
  const early = await Promise.race([...running, new Promise((resolve) => setImmediate(resolve, 'waiting'))])
  t.equal(early, 'waiting')
  await own.kill()
  const killedAt = performance.now()
  for (const failure of await Promise.all(running)) {
    t.match(failure, { kind: 'connection', retryable: true, message: /broke before the answer/ })
  }
  t.ok(performance.now() - killedAt < 2000, 'the calls do not wait for it to come back')
  await own.start()
  t.match(await tool.run({ ...GET, auth }, toolCall()), { value: 'kept', revision: 1 })
  t.match(await tool.run({ operation: 'object_get', bucket: 'files', key: 'o', auth }, toolCall()), {
    status: 'not_found',
  })
})

t.test('a server killed in the midst of an object fails the call that reads it', async (t) => {
  const own = await natsServer(t)
  const admin = await own.admin()
  await admin.jetstream().views.os('files')
  const tool = open(t)
  const object = { bucket: 'files', key: 'o', auth: own.credential().data }
  await tool.run({ ...object, operation: 'object_put', value: 'x'.repeat(40_000_000) }, toolCall())
  const asked = new Promise((resolve) => {
    admin.subscribe('$JS.API.CONSUMER.MSG.NEXT.>', { callback: resolve, max: 1 })
  })
  await admin.flush()
  const running = toolFailure(tool.run({ ...object, operation: 'object_get' }, toolCall()))
  await asked
  await own.kill()
  const killedAt = performance.now()
  t.match(await running, { kind: 'connection', retryable: true, message: /broke before the answer/ })
  t.ok(performance.now() - killedAt < 2000, 'the call does not wait for it to come back')
})

t.test('timeout: a server that stops answering is a timeout; when it wakes the tool works on', async (t) => {
  const own = await natsServer(t)
  await (await own.admin()).jetstream().views.kv('state')
  const auth = own.credential().data
  const tool = open(t)
  await tool.run({ ...GET, auth }, toolCall())
  await own.freeze()
  const failure = await toolFailure(tool.run({ ...GET, auth, timeout: '0.2' }, toolCall()))
  t.match(failure, { kind: 'timeout', retryable: true, message: /kv_get of state took longer than 0.2 s/ })
  own.thaw()
  t.match(await tool.run({ ...GET, auth }, toolCall()), { status: 'not_found' })
})

t.test('signal: a deadline is a timeout, any other reason is passed on', async (t) => {
  const own = await natsServer(t)
  await (await own.admin()).jetstream().views.kv('state')
  const auth = own.credential().data
  const tool = open(t)
  await tool.run({ ...GET, auth }, toolCall())
  await own.freeze()
  for (const why of ['deadline', 'cancelled'] as const) {
    const stop = new AbortController()
    const reason = new CallAborted(why, 'the test says so')
    const running = tool.run({ ...GET, auth }, toolCall({ signal: stop.signal }))
    stop.abort(reason)
    if (why === 'deadline') t.match(await toolFailure(running), { kind: 'timeout' })
    else t.equal(await running.catch((error: unknown) => error), reason)
  }
})

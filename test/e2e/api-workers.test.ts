import {
  createDecipheriv,
  createPublicKey,
  createVerify,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { send as sendTo } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'

// What workers of other makes ask for beside commands and events.
const gateway = await testGateway(t, { worker: false, env: { NOETL_LEASE_SECONDS: '1' } })
const send = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
  sendTo(gateway.server.url, method, path, body)
await gateway.register('metadata: {path: one}\nworkflow: [{step: start, tool: {kind: noop}}]')
interface Item {
  queue_id: string
  node_id: string
  status: string
  attempts: number
  worker_id: string | null
}
const queueOf = async (id: string) =>
  (await send('GET', `/api/queue?execution_id=${id}`)).body.items as Item[]
const begin = async (): Promise<{ id: string; queue_id: string; node_id: string }> => {
  const id = await gateway.execute('one')
  const [{ queue_id, node_id }] = (await queueOf(id)) as [Item]
  return { id, queue_id, node_id }
}

t.test('sealed: only the worker that registered the key can read it, and only under its name', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
  await send('POST', '/api/credentials', { name: 'pg', type: 'postgres', data: { db_password: 's3cret' } })
  await send('POST', '/api/worker/pool/register', { name: 'w1', public_key: raw.toString('base64') })
  const { status, body } = await send('GET', '/api/credentials/pg/sealed?worker_id=w1')
  t.equal(status, 200)
  t.match(body, {
    name: 'pg',
    type: 'postgres',
    worker_id: 'w1',
    algorithm: 'x25519-hkdf-sha256-aes-256-gcm',
  })
  t.notMatch(JSON.stringify(body), /s3cret|db_password/)

  const part = (name: string) => Buffer.from(body[name] as string, 'base64')
  const theirs = part('ephemeral_public_key')
  const ephemeral = createPublicKey({
    key: Buffer.concat([publicKey.export({ type: 'spki', format: 'der' }).subarray(0, -32), theirs]),
    type: 'spki',
    format: 'der',
  })
  const secret = diffieHellman({ privateKey, publicKey: ephemeral })
  const key = Buffer.from(hkdfSync('sha256', secret, Buffer.concat([theirs, raw]), 'noetl credential', 32))
  const open = (place: string) => {
    const sealed = part('ciphertext')
    const decipher = createDecipheriv('aes-256-gcm', key, part('nonce'))
      .setAAD(Buffer.from(place))
      .setAuthTag(sealed.subarray(-16))
    return JSON.parse(`${decipher.update(sealed.subarray(0, -16))}${decipher.final()}`) as object
  }
  t.same(open('pg\0w1'), { db_password: 's3cret' })
  t.throws(() => open('other\0w1'))
  const again = (await send('GET', '/api/credentials/pg/sealed?worker_id=w1')).body
  t.not(again.ephemeral_public_key, body.ephemeral_public_key, 'a key of its own for each answer')
})

t.test('sealed: without a name, a worker, a key or a credential there is none', async (t) => {
  await send('POST', '/api/worker/pool/register', { name: 'keyless' })
  const sealed = async (path: string) => {
    const { status, body } = await send('GET', path)
    return [status, body.code, body.error]
  }
  t.match(await sealed('/api/credentials/pg/sealed'), [422, 'NOETL_ERR_REQUEST_INVALID', /worker_id/])
  t.match(await sealed('/api/credentials/pg/sealed?worker_id=nobody'), [404, 'NOETL_ERR_WORKER_NOT_FOUND'])
  t.match(await sealed('/api/credentials/pg/sealed?worker_id=keyless'), [
    422,
    'NOETL_ERR_REQUEST_INVALID',
    /keyless .*public_key/,
  ])
  t.match(await sealed('/api/credentials/none/sealed?worker_id=w1'), [404, 'NOETL_ERR_CREDENTIAL_NOT_FOUND'])
  for (const public_key of [
    'short',
    7,
    Buffer.alloc(31).toString('base64'),
    Buffer.alloc(32).toString('base64'),
  ]) {
    const { status, body } = await send('POST', '/api/worker/pool/register', { name: 'w9', public_key })
    t.match([status, body.error], [422, /public_key/], String(public_key))
  }
})

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const asked: { path: string; form: URLSearchParams }[] = []
const google = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (text: string) => (body += text))
  request.on('end', () => {
    const { url: path = '' } = request
    asked.push({ path, form: new URLSearchParams(body) })
    const answers: Record<string, string> = {
      '/token': '{"access_token": "ya29.t0ken", "expires_in": 3599, "token_type": "Bearer"}',
      '/empty': '{"id_token": "x"}',
      '/long': `{"access_token": "${'x'.repeat(200_000)}"}`,
      '/html': '<html>s3cret page</html>',
    }
    response.writeHead(path in answers ? 200 : 403).end(answers[path] ?? '{"error": "s3cret reason"}')
  })
})
await new Promise<void>((resolve) => google.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  google.closeAllConnections()
  google.close()
})
const tokens = `http://127.0.0.1:${(google.address() as AddressInfo).port}`
const account = (path: string) => ({
  client_email: 'me@example.com',
  private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  token_uri: tokens + path,
})
const store = (name: string, data: object) =>
  send('POST', '/api/credentials', { name, type: 'google_service_account', data })

t.test('gcp token: of a service account, by a signed assertion with the scopes', async (t) => {
  await store('account', account('/token'))
  const scopes = ['https://www.googleapis.com/auth/devstorage.read_only', 'email']
  const { status, body } = await send('POST', '/api/gcp/token', { credential: 'account', scopes })
  t.equal(status, 200)
  t.match(body, { status: 'ok', access_token: 'ya29.t0ken', token_type: 'Bearer', expires_in: 3599, scopes })
  t.ok(Date.parse(String(body.token_expiry)) > Date.now() + 3_000_000)
  const { form } = asked.at(-1)!
  t.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer')
  const [head = '', claims = '', signature = ''] = form.get('assertion')?.split('.') ?? []
  t.ok(createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(publicKey, signature, 'base64url'))
  t.match(JSON.parse(Buffer.from(claims, 'base64url').toString()), {
    iss: 'me@example.com',
    aud: `${tokens}/token`,
    scope: scopes.join(' '),
  })
  const usual = (await send('POST', '/api/gcp/token', { credential_name: 'account' })).body
  t.same(usual.scopes, ['https://www.googleapis.com/auth/cloud-platform'])
})

t.test('gcp token: of a person, by a refresh token', async (t) => {
  const data = { client_id: 'c', client_secret: 's', refresh_token: 'r', token_uri: `${tokens}/token` }
  await store('person', data)
  t.match((await send('POST', '/api/gcp/token', { credential: 'person' })).body, {
    access_token: 'ya29.t0ken',
  })
  t.same(Object.fromEntries(asked.at(-1)!.form), {
    grant_type: 'refresh_token',
    client_id: 'c',
    client_secret: 's',
    refresh_token: 'r',
  })
})

t.test('gcp token: what gives none says why, and nothing that is secret', async (t) => {
  for (const path of ['/empty', '/long', '/html', '/refused']) await store(path.slice(1), account(path))
  await store('bare', { token_uri: `${tokens}/token` })
  await store('unsigned', { ...account('/token'), private_key: 'no key' })
  await store('elsewhere', { ...account('/token'), token_uri: 'file:///etc/passwd' })
  await store('closed', { ...account('/token'), token_uri: 'http://127.0.0.1:1/' })
  const failed: [string, number, RegExp][] = [
    ['none', 404, /No credential is stored as none/],
    ['bare', 422, /client_email and private_key/],
    ['unsigned', 422, /private_key/],
    ['elsewhere', 422, /token_uri/],
    ['refused', 502, /answered 403/],
    ['empty', 502, /no access_token/],
    ['html', 502, /no JSON/],
    ['long', 502, /more than/],
    ['closed', 502, /ECONNREFUSED/],
  ]
  for (const [credential, status, words] of failed) {
    const answer = await send('POST', '/api/gcp/token', { credential })
    t.match([answer.status, answer.body.error], [status, words], credential)
    t.notMatch(JSON.stringify(answer.body), /s3cret|no key"|BEGIN/, credential)
  }
  t.equal((await send('POST', '/api/gcp/token', {})).status, 422)
})

t.test('shard info: every server takes every execution', async (t) => {
  t.match(await send('GET', '/api/runtime/shard-info'), {
    status: 200,
    body: { status: 'ok', sharded: false, shard_index: 0, shard_count: 1 },
  })
})

t.test('queue: reserve leases, ack settles, nack hands back with no attempt burnt', async (t) => {
  const { id, queue_id } = await begin()
  const reserved = await send('POST', '/api/queue/reserve', { worker_id: 'w1' })
  t.match(reserved.body, { status: 'ok', job: { queue_id, execution_id: id, action: 'noop' } })
  t.match(await send('POST', '/api/queue/nack', { queue_id, worker_id: 'w2' }), {
    status: 409,
    body: { code: 'NOETL_ERR_COMMAND_LATE' },
  })
  t.match(await send('POST', '/api/queue/nack', { queue_id, worker_id: 'w1' }), {
    status: 200,
    body: { status: 'ok', queue_id, outcome: 'released' },
  })
  t.match(await queueOf(id), [{ status: 'queued', attempts: 0, worker_id: null }])
  await send('POST', '/api/queue/reserve', { worker_id: 'w2' })
  t.match(
    await send('POST', '/api/queue/ack', `{"queue_id": ${queue_id}, "worker_id": "w2", "result": {"x": 1}}`),
    {
      status: 200,
      body: { status: 'ok', queue_id, outcome: 'recorded' },
    },
  )
  t.match(await gateway.ended(id), { status: 'COMPLETED', result: { x: 1 } })
  t.match((await send('POST', '/api/queue/ack', { queue_id, worker_id: 'w2' })).body, {
    outcome: 'duplicate',
  })
  t.match(await send('POST', '/api/queue/nack', { queue_id: '1', worker_id: 'w1' }), { status: 404 })
  t.match(await send('POST', '/api/queue/ack', { queue_id: '1', worker_id: 'w1' }), { status: 404 })
})

t.test('queue: enqueue announces a command that is there, and makes none', async (t) => {
  const { id, queue_id, node_id } = await begin()
  const answer = { status: 200, body: { status: 'ok', queue_id, outcome: 'duplicate' } }
  t.match(await send('POST', '/api/queue/enqueue', { queue_id }), answer)
  t.match(await send('POST', '/api/queue/enqueue', { execution_id: id, node_id, action: 'noop' }), answer)
  t.equal((await queueOf(id)).length, 1)
  t.match(
    await send('POST', '/api/queue/enqueue', { execution_id: id, node_id: 'other', action: 'python' }),
    {
      status: 422,
      body: { error: /commands come from the engine alone.*\/api\/execute/ },
    },
  )
  t.equal((await send('POST', '/api/queue/enqueue', {})).status, 422)
  await send('POST', `/api/executions/${id}/cancel`)
})

t.test('queue: reap-expired takes back what a silent worker held', { timeout: 60_000 }, async (t) => {
  const { id, queue_id } = await begin()
  await send('POST', '/api/queue/lease', { worker_id: 'silent' })
  t.match(await queueOf(id), [{ queue_id, worker_id: 'silent' }])
  // The server's own upkeep may come first: then there is nothing left to reap.
  for (;;) {
    const { status, body } = await send('POST', '/api/queue/reap-expired')
    t.equal(status, 200)
    if (Number(body.reclaimed) === 1 || (await queueOf(id))[0]?.status === 'queued') break
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.match(await queueOf(id), [{ status: 'queued', attempts: 1 }])
  await send('POST', `/api/executions/${id}/cancel`)
})

import type { JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { json, webServer } from '../tool-http/web-server.ts'
import { open, SECRET } from './read.ts'

const TOKEN = `hvs.${SECRET}`

/** Key-value version 2 as Vault documents it: `GET /v1/{mount}/data/{path}`. */
async function vault(t: Test, data: JsonObject = {}) {
  const held: Record<string, JsonObject> = {
    '/v1/secret/data/app/db': { username: 'me', password: SECRET },
    '/v1/team/kv/data/app/db': { username: 'other' },
  }
  const server = await webServer(t, ({ path, query, headers }, response) => {
    if (headers['x-vault-token'] !== TOKEN)
      return json(response, { errors: [`permission denied ${SECRET}`] }, 403)
    if (path === '/v1/kv1/data/a') return json(response, { data: { value: SECRET } })
    if (path === '/v1/secret/data/text') return response.end(SECRET)
    if (path === '/v1/secret/data/sealed') return json(response, { errors: ['Vault is sealed'] }, 503)
    const secret = held[path]
    // As for a version that was deleted.
    if (secret === undefined || query.get('version') === '1')
      return json(response, { data: { data: null } }, 404)
    return json(response, { request_id: 'r', data: { data: secret, metadata: { version: 3 } } })
  })
  const stored = { vault: { type: 'vault', data: { url: server.url, token: TOKEN, ...data } } }
  return { server, stored, ...open(t, {}, stored) }
}

const fields = { provider: 'vault', auth: 'vault' }

t.test('secrets vault: a secret is the object at its path, or a field of it', async (t) => {
  const { run, server } = await vault(t)
  t.same(await run({ ...fields, secret: 'app/db' }), { value: { username: 'me', password: SECRET } })
  t.same(await run({ ...fields, secret: 'app/db', field: 'username' }), { value: 'me' })
  t.match(await run({ ...fields, map: { user: 'app/db#username', password: 'app/db#password' } }), {
    user: 'me',
    password: SECRET,
  })
  t.equal(server.received.length, 3)
  t.match(server.received[0], { method: 'GET', path: '/v1/secret/data/app/db', search: '' })
  t.match(server.received[0]?.headers, { 'x-vault-token': TOKEN, 'x-vault-request': 'true' })
})

t.test('secrets vault: mount, namespace and version, of the step before the credential', async (t) => {
  const { run, server } = await vault(t, { mount: 'none', namespace: 'theirs' })
  t.same(
    await run({ ...fields, mount: 'team/kv', namespace: 'mine', version: 2, secret: 'app/db#username' }),
    { value: 'other' },
  )
  t.equal(server.received[0]?.search, '?version=2')
  t.equal(server.received[0]?.headers['x-vault-namespace'], 'mine')
  const other = await vault(t, { mount: 'team/kv', namespace: 'theirs' })
  t.same(await other.run({ ...fields, secret: 'app/db#username' }), { value: 'other' })
  t.equal(other.server.received[0]?.headers['x-vault-namespace'], 'theirs')
})

t.test('secrets vault: the url may be the step’s or an option, with a path before /v1', async (t) => {
  const server = await webServer(t, (_received, response) => json(response, { data: { data: { a: 1 } } }))
  const stored = { vault: { type: 'vault', data: { token: TOKEN } } }
  t.same(await open(t, {}, stored).run({ ...fields, url: `${server.url}/below/`, secret: 'x#a' }), {
    value: 1,
  })
  t.same(await open(t, { vaultUrl: server.url }, stored).run({ ...fields, secret: 'x#a' }), { value: 1 })
  t.same(
    server.received.map(({ path }) => path),
    ['/below/v1/secret/data/x', '/v1/secret/data/x'],
  )
  t.match(await open(t, {}, stored).fail({ ...fields, secret: 'x' }), {
    kind: 'schema',
    message: /needs the "url"/,
  })
})

const failures: [name: string, fields: JsonObject, kind: string, message: RegExp][] = [
  ['a path that is not there', { secret: 'none' }, 'not_found', /"none" is not there/],
  ['a version that was deleted', { secret: 'app/db', version: 1 }, 'not_found', /"app\/db" is not there/],
  ['a field that is not there', { secret: 'app/db#none' }, 'not_found', /no field "none"/],
  ['a wrong token', { secret: 'app/db', auth: { credential: 'vault', token: 'wrong' } }, 'auth', /denied/],
  ['no credential', { secret: 'app/db', auth: null }, 'auth', /needs "auth"/],
  ['a sealed vault', { secret: 'sealed' }, 'server_error', /answered 503/],
  ['an engine of version 1', { mount: 'kv1', secret: 'a' }, 'parse', /key-value version 2/],
  ['an answer that is no JSON', { secret: 'text' }, 'parse', /to be JSON and is not/],
  ['a path that leads elsewhere', { secret: '../../sys/health' }, 'schema', /cannot be part of a URL/],
  ['a mount that leads elsewhere', { mount: '..', secret: 'a' }, 'schema', /mount of vault cannot be part/],
  ['bytes of an object', { secret: 'app/db', encoding: 'base64' }, 'schema', /encoding base64/],
]
for (const [name, more, kind, message] of failures) {
  t.test(`secrets vault: ${name} is ${kind}`, async (t) => {
    const { fail } = await vault(t)
    t.match(await fail({ ...fields, ...more }), { kind, retryable: kind === 'server_error', message })
  })
}

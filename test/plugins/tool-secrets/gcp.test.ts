import { generateKeyPairSync, verify } from 'node:crypto'
import type { JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { json, webServer } from '../tool-http/web-server.ts'
import { open, SECRET } from './read.ts'

const TOKEN = `ya29.${SECRET}`
const KEYS = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
})

/** Secret Manager's `:access` and Google's token endpoint, as they are documented. */
async function google(t: Test, credential: (url: string) => JsonObject) {
  const held: Record<string, Buffer> = {
    '/v1/projects/proj-1/secrets/db/versions/latest:access': Buffer.from(SECRET),
    '/v1/projects/proj-1/secrets/db/versions/3:access': Buffer.from('three'),
    '/v1/projects/other/secrets/db/versions/5:access': Buffer.from('five'),
    '/v1/projects/other/secrets/db/versions/latest:access': Buffer.from('{"user": "me"}'),
    '/v1/projects/42/locations/europe-west1/secrets/db/versions/latest:access': Buffer.from('regional'),
    '/v1/projects/proj-1/secrets/bytes/versions/latest:access': Buffer.from([0xff, 0x0a]),
  }
  const server = await webServer(t, ({ path, body, headers }, response) => {
    if (path === '/token') {
      const asked = new URLSearchParams(body)
      const given =
        asked.get('refresh_token') === SECRET || signedBy(asked.get('assertion'), `${server.url}/token`)
      return given
        ? json(response, { access_token: TOKEN })
        : json(response, { error: `invalid_grant ${SECRET}` }, 400)
    }
    if (headers.authorization !== `Bearer ${TOKEN}`)
      return json(response, { error: { status: 'UNAUTHENTICATED' } }, 401)
    if (path.includes('/denied/')) return json(response, { error: { status: 'PERMISSION_DENIED' } }, 403)
    if (path.includes('/odd/')) return json(response, { name: SECRET })
    const data = held[path]
    if (data === undefined) return json(response, { error: { status: 'NOT_FOUND' } }, 404)
    return json(response, { name: path, payload: { data: data.toString('base64'), dataCrc32c: '1' } })
  })
  const stored = { google: { type: 'google_oauth', data: { url: server.url, ...credential(server.url) } } }
  return { server, ...open(t, {}, stored) }
}

/** True for a token of the service account, signed with its key, for this audience and now. */
function signedBy(assertion: string | null, audience: string): boolean {
  const [header = '', claims = '', signature = ''] = (assertion ?? '').split('.')
  const { iss, aud, scope, iat, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString() || '{}')
  return (
    verify(
      'RSA-SHA256',
      Buffer.from(`${header}.${claims}`),
      KEYS.publicKey,
      Buffer.from(signature, 'base64url'),
    ) &&
    Buffer.from(header, 'base64url').toString() === '{"alg":"RS256","typ":"JWT","kid":"key-1"}' &&
    iss === 'robot@proj-1.test' &&
    aud === audience &&
    scope === 'https://www.googleapis.com/auth/cloud-platform' &&
    Math.abs(Date.now() / 1000 - iat) < 60 &&
    exp === iat + 3600
  )
}

const ready = () => ({ token: TOKEN, project_id: 'proj-1' })
const fields = { provider: 'gcp', auth: 'google' }

const names: [name: string, fields: JsonObject, value: unknown][] = [
  ['a name in the project of the credential', { secret: 'db' }, SECRET],
  ['a version by number', { secret: 'db', version: 3 }, 'three'],
  ['a version in the name', { secret: 'db/versions/3' }, 'three'],
  ['another project', { secret: 'db#user', project: 'other' }, 'me'],
  ['a project as a path', { secret: 'db', project: 'projects/other', version: '5' }, 'five'],
  ['a whole path', { secret: 'projects/other/secrets/db/versions/5' }, 'five'],
  ['a whole path without a version', { secret: 'projects/other/secrets/db', field: 'user' }, 'me'],
  ['a regional secret', { secret: 'projects/42/locations/europe-west1/secrets/db' }, 'regional'],
  ['bytes', { secret: 'bytes', encoding: 'base64' }, '/wo='],
]
for (const [name, more, value] of names) {
  t.test(`secrets gcp: ${name}`, async (t) => {
    const { run, server } = await google(t, ready)
    t.same(await run({ ...fields, ...more }), { value })
    t.match(server.received, [{ method: 'GET', headers: { authorization: `Bearer ${TOKEN}` } }])
  })
}

t.test('secrets gcp: a map as keychains have it', async (t) => {
  const { run } = await google(t, ready)
  const map = { password: 'projects/proj-1/secrets/db/versions/latest', other: 'db/versions/3' }
  t.match(await run({ ...fields, map }), { password: SECRET, other: 'three' })
})

t.test('secrets gcp: a service account signs for its token, one for all secrets of the call', async (t) => {
  const account = (url: string) => ({
    project_id: 'proj-1',
    client_email: 'robot@proj-1.test',
    private_key: KEYS.privateKey,
    private_key_id: 'key-1',
    token_uri: `${url}/token`,
  })
  const { run, server } = await google(t, account)
  t.match(await run({ ...fields, names: ['db', 'db/versions/3'] }), { db: SECRET, 'db/versions/3': 'three' })
  t.same(server.received.map(({ method, path }) => `${method} ${path.replace(/.*versions/, '')}`).sort(), [
    'GET /3:access',
    'GET /latest:access',
    'POST /token',
  ])
})

t.test('secrets gcp: a refresh token gets an access token, also where an old one is stored', async (t) => {
  const user = (url: string) => ({
    access_token: 'old',
    client_id: 'id',
    client_secret: `client-${SECRET}`,
    refresh_token: SECRET,
    token_uri: `${url}/token`,
  })
  const { run, server } = await google(t, user)
  t.same(await run({ ...fields, project: 'proj-1', secret: 'db' }), { value: SECRET })
  t.same(Object.fromEntries(new URLSearchParams(server.received[0]?.body)), {
    grant_type: 'refresh_token',
    refresh_token: SECRET,
    client_id: 'id',
    client_secret: `client-${SECRET}`,
  })
})

const failures: [
  name: string,
  data: (url: string) => JsonObject,
  fields: JsonObject,
  kind: string,
  message: RegExp,
][] = [
  ['a secret that is not there', ready, { secret: 'none' }, 'not_found', /"none" is not there/],
  ['a secret that may not be read', ready, { secret: 'denied' }, 'auth', /"denied" is denied/],
  ['a wrong token', () => ({ token: 'x', project: 'proj-1' }), { secret: 'db' }, 'auth', /denied/],
  ['an answer without data', ready, { secret: 'odd' }, 'parse', /no {payload/],
  ['bytes that are no text', ready, { secret: 'bytes' }, 'parse', /encoding: base64/],
  ['no project', () => ({ token: TOKEN }), { secret: 'db' }, 'schema', /needs a project/],
  [
    'a project that leads elsewhere',
    ready,
    { secret: 'projects/../secrets/db' },
    'schema',
    /no name of Secret Manager/,
  ],
  ['another that leads elsewhere', ready, { secret: 'db', project: '..' }, 'schema', /needs a project/],
  ['a name that leads elsewhere', ready, { secret: '../db' }, 'schema', /no name of Secret Manager/],
  [
    'a version that leads elsewhere',
    ready,
    { secret: 'db', version: '../1' },
    'schema',
    /"version" is no version/,
  ],
  ['no credential', ready, { secret: 'db', auth: null }, 'auth', /needs "auth"/],
  [
    'a credential with nothing to use',
    () => ({ password: SECRET }),
    { secret: 'db' },
    'auth',
    /none of token, private_key/,
  ],
  [
    'a key that is none',
    (url) => ({ client_email: 'a', private_key: SECRET, token_uri: `${url}/token` }),
    { secret: 'db' },
    'auth',
    /no key in PEM form/,
  ],
  [
    'a refresh token that is not taken',
    (url) => ({ client_id: 'a', client_secret: SECRET, refresh_token: 'old', token_uri: `${url}/token` }),
    { secret: 'db' },
    'auth',
    /A token for credential google could not be read: .* answered 400/,
  ],
]
for (const [name, data, more, kind, message] of failures) {
  t.test(`secrets gcp: ${name} is ${kind}`, async (t) => {
    const { fail } = await google(t, data)
    t.match(await fail({ ...fields, ...more }), { kind, retryable: false, message })
  })
}

import { createVerify, generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const asked: { path: string; body: string; authorization: string | undefined }[] = []
const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (text: string) => (body += text))
  request.on('end', () => {
    const { url: path = '', headers } = request
    asked.push({ path, body, authorization: headers.authorization })
    const answers: Record<string, object> = {
      '/oauth': { access_token: 'acc3ss', token_type: 'Bearer', expires_in: 3600 },
      '/google': { id_token: 'id-t0ken' },
      '/guarded': { seen: headers.authorization ?? null },
    }
    const answer = answers[path]
    response.writeHead(answer === undefined ? 500 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(answer ?? {}))
  })
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const gateway = await testGateway(t, { plugins: ['@noetl/tool-http', '@noetl/tool-python'] })

async function store(name: string, type: string, data: object): Promise<void> {
  await gateway.client.request('POST', '/api/credentials', { name, type, data })
}

t.test('keychain: a credential, a bearer token and fixed values are visible by name and field', async (t) => {
  await store('stored', 'api_key', { header: 'x-key', value: 'v4lue' })
  await store('tok', 'bearer', { token: 'b3arer' })
  const run = await gateway.run(`
metadata: {path: keys/plain}
workload: {which: stored}
keychain:
- {name: api, kind: credential, credential: "{{ which }}"}
- {name: fixed, kind: static, data: {region: eu, note: "{{ keychain.api.header }}"}}
- {name: bear, kind: bearer, auth: tok}
workflow:
- step: start
  tool:
    kind: python
    input: {a: "{{ keychain.api.value }}", r: "{{ keychain.fixed.region }}", n: "{{ keychain.fixed.note }}", b: "{{ keychain.bear.token }}"}
    code: "result = [len(a), r, n, len(b)]"`)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.same(run.result, [5, 'eu', 'x-key', 6])
  t.notMatch(JSON.stringify(run.events), /v4lue|b3arer/, 'no event holds a secret')
})

t.test('keychain: an OAuth 2 token is fetched once and used in a header', async (t) => {
  const run = await gateway.run(`
metadata: {path: keys/oauth}
workload: {secret: s3cret}
keychain:
- {name: o, kind: oauth2, endpoint: "${url}/oauth", data: {grant_type: client_credentials, client_secret: "{{ secret }}"}}
workflow:
- step: start
  loop: {in: [1, 2, 3], iterator: i, spec: {mode: sequential}}
  tool: {kind: http, url: "${url}/guarded", headers: {Authorization: "Bearer {{ keychain.o.access_token }}"}}`)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.match(run.result, { results: [1, 2, 3].map(() => ({ data: { seen: 'Bearer acc3ss' } })) })
  const fetched = asked.filter(({ path }) => path === '/oauth')
  t.equal(fetched.length, 1)
  t.equal(fetched[0]?.body, 'grant_type=client_credentials&client_secret=s3cret')
})

t.test('keychain: a Google identity token is asked for with a signed assertion', async (t) => {
  await store('account', 'google_service_account', {
    client_email: 'me@example.com',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    token_uri: `${url}/google`,
  })
  const run = await gateway.run(`
metadata: {path: keys/google}
keychain:
- {name: g, kind: google_id_token, service_account_credential: account, target_audience: "https://run.example.com"}
workflow:
- step: start
  tool: {kind: python, input: {k: "{{ keychain.g }}"}, code: "result = [len(k['id_token']), k['token_type'], k['audience']]"}`)
  t.same(run.result, [8, 'Bearer', 'https://run.example.com'])
  const form = new URLSearchParams(asked.find(({ path }) => path === '/google')?.body)
  t.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer')
  const [head = '', claims = '', signature = ''] = form.get('assertion')?.split('.') ?? []
  t.ok(createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(publicKey, signature, 'base64url'))
  t.match(JSON.parse(Buffer.from(claims, 'base64url').toString()), {
    iss: 'me@example.com',
    aud: `${url}/google`,
    target_audience: 'https://run.example.com',
  })
})

t.test('keychain: what cannot be resolved is undefined, and only who needs it fails', async (t) => {
  const run = await gateway.run(`
metadata: {path: keys/missing}
keychain:
- {name: gone, kind: credential, credential: nowhere}
- {name: broken, kind: oauth2, endpoint: "${url}/broken"}
- {name: odd, kind: unheard_of}
workflow:
- step: start
  tool: {kind: python, input: {g: "{{ keychain.gone.value }}", b: "{{ keychain.broken is defined }}", o: "{{ keychain.odd is defined }}"}, code: "result = [g, b, o]"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: http, url: "${url}/guarded", headers: {Authorization: "Bearer {{ keychain.gone.value }}"}}`)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  const start = run.events.find((event) => event.event_type === 'call.done' && event.node_name === 'start')
  t.same(start?.result, [null, false, false])
  t.match(run.result, { data: { seen: 'Bearer' } })
})

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'nats'
import t, { type Test } from 'tap'
import { testGateway } from '../support/gateway.ts'
import { type Example, readExamples } from '../support/language-docs.ts'
import { credentialOf } from '../support/postgres.ts'

/** The server that the pages call so. */
const API = 'https://api.example.com'

const calls = new Map<string, number>()
const web = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', API)
  const times = (calls.get(pathname) ?? 0) + 1
  calls.set(pathname, times)
  const answers: Record<string, [status: number, body: object]> = {
    '/items': [200, { page: Number(searchParams.get('page') ?? 1), items: ITEMS }],
    // Every third call is answered.
    '/flaky': [times % 3 === 0 ? 200 : 503, {}],
    '/token': [200, { access_token: 't0ken', expires_in: 60 }],
    '/guarded': [200, { welcome: request.headers.authorization === 'Bearer t0ken' }],
  }
  const [status, body] = answers[pathname] ?? [404, {}]
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
})
const ITEMS = ['one', 'two', 'three'].map((name, at) => ({ id: at + 1, name }))
await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  web.closeAllConnections()
  web.close()
})
const api = `http://127.0.0.1:${(web.address() as AddressInfo).port}`

process.env.NOETL_SECRET_LANGUAGE_DEMO = '12345'
const kinds = ['python', 'http', 'postgres', 'duckdb', 'shell', 'transfer', 'nats', 'secrets']
const gateway = await testGateway(t, { plugins: kinds.map((kind) => `@noetl/tool-${kind}`) })
const store = (name: string, credential: object) =>
  gateway.client.request('POST', '/api/credentials', { name, ...credential })
await store('pg_local', { type: 'postgres', data: credentialOf(gateway.databaseUrl) })
await store('nats_local', { type: 'nats', data: { nats_url: gateway.nats.url } })
const nats = await connect({ servers: gateway.nats.url })
await nats.jetstream().views.kv('language')
await nats.close()

const examples = readExamples().filter(({ real }) => real)
t.test('language: there is something to run', async (t) => t.ok(examples.length > 12, `${examples.length}`))
for (const example of examples) t.test(`language: ${example.name}`, (t) => check(t, example))

async function check(t: Test, { playbook, children, expected }: Example): Promise<void> {
  for (const [name, credential] of Object.entries(expected.credentials ?? {})) await store(name, credential)
  for (const child of Object.values(children)) await gateway.register(child.replaceAll(API, api))
  const run = await gateway.run(playbook.replaceAll(API, api), expected.payload)
  t.equal(run.status, expected.status, run.error ?? '')
  if (expected.error !== undefined) t.ok(run.error?.includes(expected.error), `${run.error}`)
  if ('result' in expected) t.same(run.result, expected.result)
  if ('ctx' in expected) t.same(run.variables, expected.ctx)
  if ('entered' in expected)
    t.same(
      run.completed_steps,
      expected.entered?.filter((step) => ranWell(run, step)),
    )
}

/** The API lists steps that ended well. */
function ranWell(run: { events: { event_type: string; node_name: string | null }[] }, step: string): boolean {
  return !run.events.some(({ event_type, node_name }) => event_type === 'call.error' && node_name === step)
}

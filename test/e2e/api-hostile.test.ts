import { pino } from 'pino'
import t from 'tap'
import { request } from 'undici'
import { readConfig } from '../../core/config.ts'
import { startServer } from '../../core/server.ts'
import { testGateway } from '../support/gateway.ts'

// Every route that there is, asked by someone who means no good.
const gateway = await testGateway(t, { worker: false, env: { NOETL_SQL_API: 'on' } })
await gateway.register('metadata: {path: prey}\nworkflow: [{step: start, tool: {kind: noop}}]')
const execution = await gateway.execute('prey')
const openapi = await gateway.client.request<{ paths: Record<string, Record<string, unknown>> }>(
  'GET',
  '/openapi.json',
)
const routes = Object.entries(openapi.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => ({ path, method: method.toUpperCase() as 'GET' | 'POST' })),
)
const OPEN = ['/healthz', '/readyz', '/health', '/api/health']

async function ask(url: string, method: 'GET' | 'POST', path: string, body?: string) {
  const answer = await request(url + path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body }),
  })
  return { status: answer.statusCode, text: await answer.body.text() }
}

t.test('hostile: no route but the probes answers without the token', async (t) => {
  const env = {
    DATABASE_URL: gateway.databaseUrl,
    NATS_URL: gateway.nats.url,
    NOETL_PORT: '0',
    NOETL_API_TOKEN: 't0ken',
  }
  const server = await startServer(readConfig({}, env), { log: pino({ level: 'silent' }) })
  t.teardown(() => server.close())
  const let_in: string[] = []
  for (const { method, path } of routes) {
    const { status } = await ask(
      server.url,
      method,
      path.replace(/\{[^}]+\}/g, '1'),
      method === 'GET' ? undefined : '{}',
    )
    if (status !== 401) let_in.push(path)
  }
  t.same(let_in.toSorted(), OPEN.toSorted())
  const wrong = await request(`${server.url}/api/executions`, { headers: { authorization: 'Bearer t0ke' } })
  await wrong.body.dump()
  t.equal(wrong.statusCode, 401)
})

const NAMES = [
  "1'%20OR%20'1'='1",
  '%00',
  '9999999999999999999',
  '__proto__',
  '..%2f..%2fetc',
  '%ff',
  '%F0%9F%92%A9',
  'a'.repeat(600),
]
const QUERIES = [
  'execution_id=9999999999999999999&event_id=9999999999999999999',
  "execution_id=1'--&limit=1e9&offset=-1",
  'limit=1000000000&page=1e308&page_size=1000000',
  'ref=%00&status=%00&path=%00&type=%00&q=%00',
  'constructor=1&__proto__[x]=1&toString=1',
]
const BODIES = [
  'null',
  '[]',
  '"text"',
  '{}',
  '{"__proto__": {"x": 1}, "constructor": {"prototype": {"x": 1}}}',
  '{"path": "\\u0000", "name": "\\u0000", "worker_id": "\\u0000", "data": {}, "type": "\\u0000", "content": "\\u0000", "query": "\\u0000", "credential": "\\u0000", "variables": {"\\u0000": 1}}',
  '{"execution_id": 99999999999999999999999, "catalog_id": "9999999999999999999", "template": "{{ 1 }}", "events": [{}], "leases": [], "name": "\\ud800", "data": "\\ud800", "worker_id": "w", "version": -1}',
  '{"executions": [{"catalog_id": "9999999999999999999"}], "older_than_minutes": 1e308, "ids": ["9999999999999999999"], "all": false, "as": "done"}',
]

t.test('hostile: odd names, queries and bodies are the sender’s fault on every route', async (t) => {
  const faults: string[] = []
  const told = ({ status, text }: { status: number; text: string }, what: string) => {
    if (status >= 500) faults.push(`${status} ${what}: ${text.slice(0, 200)}`)
    if (/noetl\.|SELECT |node_modules|postgres:\/\//.test(text) && status >= 400)
      faults.push(`${what} tells of the inside: ${text.slice(0, 200)}`)
  }
  for (const { method, path } of routes) {
    const names = path.includes('{') ? NAMES : ['']
    const bodies = method === 'GET' ? [undefined] : BODIES
    for (const name of names) {
      const at = path.replace(/\{[^}]+\}/g, name)
      const body = bodies[names.indexOf(name) % bodies.length]
      told(await ask(gateway.server.url, method, at, body), `${method} ${at} ${body}`)
    }
    const plain = path.replace(/\{[^}]+\}/g, execution)
    for (const body of bodies)
      told(await ask(gateway.server.url, method, plain, body), `${method} ${plain} ${body}`)
    for (const query of QUERIES) {
      told(
        await ask(gateway.server.url, method, `${plain}?${query}`, bodies[3]),
        `${method} ${plain}?${query}`,
      )
    }
  }
  t.same(faults, [])
  t.notOk('x' in {})
  t.equal((await ask(gateway.server.url, 'GET', '/readyz')).status, 200, 'the server is as well as before')
})

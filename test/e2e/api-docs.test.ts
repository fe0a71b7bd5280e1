import { readFileSync } from 'node:fs'
import t from 'tap'
import { request } from 'undici'
import { testGateway } from '../support/gateway.ts'
import { credentialOf, testDatabase } from '../support/postgres.ts'

/** One example of docs/api.md: a request and what its answer holds at least. */
interface Example {
  line: number
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  path: string
  headers: Record<string, string>
  body: string
  status: number
  answer: string
}

const text = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8')
const EXAMPLE = /^(GET|POST|PUT|DELETE) (\S+)\n((?:[a-z-]+: .*\n)*)\n?((?:(?!→ ).*\n)*)→ (\d{3}) ([\s\S]*)$/
const examples = [...text.matchAll(/```http\n([\s\S]*?)\n```/g)].map((block): Example => {
  const line = text.slice(0, block.index).split('\n').length
  const match = EXAMPLE.exec(block[1]!)
  if (match === null) throw new Error(`docs/api.md, line ${line}: the example is not of the known form`)
  const [, method, path = '', headers = '', body = '', status, answer = ''] = match
  const pairs = headers.split('\n').filter(Boolean)
  return {
    line,
    method: method as Example['method'],
    path,
    headers: Object.fromEntries(pairs.map((pair) => pair.split(': ') as [string, string])),
    body: body.trim(),
    status: Number(status),
    answer: answer.trim(),
  }
})

const gateway = await testGateway(t, { worker: false, env: { NOETL_SQL_API: 'on' } })
const { url } = gateway.server
const { url: database } = await testDatabase(t, { migrated: false })
const bound = new Map<string, unknown>()

/** Puts values that earlier answers brought where a request names them. */
function filled(source: string, write: (value: unknown) => string): string {
  return source.replace(/<(\w+)>/g, (_all, name: string) => {
    if (!bound.has(name)) throw new Error(`no answer before has brought <${name}>`)
    return write(bound.get(name))
  })
}

/** Where an answer differs from what the docs say; binds the names that it brings. */
function differences(seen: unknown, told: unknown, at = 'answer'): string[] {
  if (told === '…') return seen === undefined ? [`${at} is missing`] : []
  const name = typeof told === 'string' ? /^<(\w+)>$/.exec(told)?.[1] : undefined
  if (name !== undefined) {
    if (seen === undefined || seen === null) return [`${at} is missing`]
    if (!bound.has(name)) bound.set(name, seen)
    return bound.get(name) === seen ? [] : [`${at} is ${seen}, not ${told}`]
  }
  if (Array.isArray(told)) {
    if (!Array.isArray(seen) || (told.length === 0 && seen.length > 0))
      return [`${at} is ${JSON.stringify(seen)}`]
    return told.flatMap((value, i) => differences(seen[i], value, `${at}[${i}]`))
  }
  if (typeof told === 'object' && told !== null) {
    if (typeof seen !== 'object' || seen === null) return [`${at} is ${JSON.stringify(seen)}`]
    return Object.entries(told).flatMap(([key, value]) =>
      differences((seen as Record<string, unknown>)[key], value, `${at}.${key}`),
    )
  }
  return seen === told ? [] : [`${at} is ${JSON.stringify(seen)}, not ${JSON.stringify(told)}`]
}

const openapi = await gateway.client.request<{ paths: Record<string, Record<string, unknown>> }>(
  'GET',
  '/openapi.json',
)
const routes = Object.entries(openapi.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => {
    const pattern = path
      .replaceAll(/[.+^$()|[\]\\]/g, '\\$&')
      .replaceAll(/\{(\*|\w+)\}/g, (_all, name) => (name === '*' ? '.+' : '[^/]+'))
    return {
      method: method.toUpperCase(),
      path,
      pattern: new RegExp(`^${pattern}$`),
      names: path.split('{').length,
    }
  }),
)
const routeOf = ({ method, path }: { method: string; path: string }) =>
  routes
    .filter((route) => route.method === method && route.pattern.test(path.split('?')[0]!))
    .sort((a, b) => a.names - b.names)[0]

t.test('API docs: every example answers as they say', async (t) => {
  for (const { line, method, path, headers, body, status, answer } of examples) {
    const where = `docs/api.md, line ${line}: ${method} ${path}`
    if (path === '/api/postgres/execute') {
      // The docs' credential is of a database that only their reader has.
      const data = credentialOf(database)
      await gateway.client.request('POST', '/api/credentials', { name: 'docs_pg', type: 'postgres', data })
    }
    const reply = await request(url + filled(path, (value) => encodeURIComponent(String(value))), {
      method,
      headers: { ...(body === '' ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === '' ? {} : { body: filled(body, String) }),
    })
    const seen = await reply.body.text()
    t.equal(reply.statusCode, status, `${where}\n${seen.slice(0, 500)}`)
    if (/^["[{]/.test(answer)) t.same(differences(JSON.parse(seen), JSON.parse(answer)), [], where)
    else t.ok(seen.startsWith(answer), where)
  }
})

t.test('API docs: every route has an example, under one of its prefixes', (t) => {
  const shown = new Set(
    examples.map((example) => {
      const route = routeOf(example)
      return route === undefined
        ? `${example.method} ${example.path}: no such route`
        : `${route.method} ${route.path}`
    }),
  )
  const there = new Set(routes.map(({ method, path }) => `${method} ${path}`))
  const twin = (route: string) => route.replace(' /api/v2/', ' /api/')
  t.same(
    [...there].filter((route) => !shown.has(route) && !(twin(route) !== route && shown.has(twin(route)))),
    [],
    'none is left out',
  )
  t.same(
    [...shown].filter((route) => !there.has(route)),
    [],
    'and all are there',
  )
  t.same(
    [...there].filter(
      (route) =>
        route.includes(' /api/') &&
        !route.includes(' /api/v2/') &&
        !there.has(route.replace(' /api/', ' /api/v2/')),
    ),
    ['GET /api/health'],
    'what is under /api/ is under /api/v2/ as well',
  )
  t.end()
})

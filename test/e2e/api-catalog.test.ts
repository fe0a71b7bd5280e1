import t from 'tap'
import { request } from 'undici'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-http'] })
const { url } = gateway.server

async function send(method: 'GET' | 'POST', path: string, body?: unknown) {
  const answer = await request(url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> }
}
const post = (path: string, body: unknown) => send('POST', path, body)
const get = (path: string) => send('GET', path)

const playbook = (path: string, more = '') =>
  `apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {path: ${path}}\n${more}\nworkflow: [{step: start}]`
const pathsOf = (body: Record<string, unknown>) =>
  (body.entries as { path: string; version: number; archived: boolean }[]).map(
    ({ path, version, archived }) => `${path}@${version}${archived ? ' archived' : ''}`,
  )

t.test(
  'catalog: what is deleted is not listed, found by path or started, until it is restored',
  async (t) => {
    const path = 'shelf/one'
    await gateway.register(playbook(path))
    const second = await post('/api/catalog/register', { content: playbook(path, 'workload: {n: 2}') })
    t.match(await post('/api/catalog/delete', { path, version: 2 }), {
      status: 200,
      body: { status: 'success', path, versions: [2], count: 1 },
    })
    t.match(await post('/api/catalog/resource', { path }), { body: { version: 1, archived: false } })
    t.match(await post('/api/catalog/resource', { path, version: 2 }), {
      body: { version: 2, archived: true },
    })
    t.match(await post('/api/v2/execute', { path, version: 2 }), {
      status: 404,
      body: { code: 'NOETL_ERR_PLAYBOOK_NOT_FOUND' },
    })
    const started = await post('/api/v2/execute', { path })
    t.match(await get(`/api/executions/${started.body.execution_id}`), { body: { version: 1 } })

    t.match(await post('/api/catalog/delete', { path }), { body: { versions: [1] } }, 'the rest')
    t.match(await post('/api/catalog/resource', { path }), { status: 404 })
    t.match(await post('/api/v2/execute', { path }), { status: 404 })
    t.notOk(pathsOf((await post('/api/catalog/list', {})).body).some((entry) => entry.startsWith(path)))
    t.same(
      pathsOf((await post('/api/catalog/list', { include_archived: true })).body).filter((entry) =>
        entry.startsWith(path),
      ),
      [`${path}@2 archived`, `${path}@1 archived`],
    )
    t.match(
      await post('/api/v2/execute', { catalog_id: second.body.catalog_id }),
      { status: 200, body: { status: 'started' } },
      'its id still means it',
    )
    t.match(
      await post('/api/catalog/delete', { path }),
      { status: 200, body: { count: 0 } },
      'again, nothing',
    )

    t.match(await post('/api/catalog/register', { content: playbook(path) }), { body: { version: 3 } })
    t.match(await post('/api/catalog/restore', { path, version: 2 }), { body: { versions: [2], count: 1 } })
    await post('/api/catalog/delete', { path, version: 3 })
    t.match(await post('/api/catalog/resource', { path, version: 'latest' }), {
      body: { version: 2, payload: { n: 2 } },
    })
    t.match(await post('/api/catalog/restore', { path: 'shelf/none' }), {
      status: 404,
      body: { code: 'NOETL_ERR_PLAYBOOK_NOT_FOUND' },
    })
  },
)

t.test('catalog: a playbook that was put away is not called by another', async (t) => {
  await gateway.register(playbook('shelf/child'))
  await gateway.register(
    `metadata: {path: shelf/parent}\nworkflow: [{step: start, tool: {kind: playbook, path: shelf/child}}]`,
  )
  t.equal((await gateway.ended(await gateway.execute('shelf/parent'))).status, 'COMPLETED')
  await post('/api/catalog/delete', { path: 'shelf/child' })
  const after = await gateway.ended(await gateway.execute('shelf/parent'))
  t.equal(after.status, 'FAILED')
  t.match(after.error, /No playbook is registered as shelf\/child/)
})

t.test('catalog: a path that is far too long is told of in short', async (t) => {
  const path = 'x'.repeat(100_000)
  for (const route of ['/api/execute', '/api/catalog/resource']) {
    const answer = await post(route, { path })
    t.equal(answer.status, 404)
    t.match(answer.body.error, /^No playbook is registered as x+…\. /)
    t.ok(JSON.stringify(answer.body).length < 2000, route)
  }
  await gateway.register(
    `metadata: {path: shelf/long}\nworkflow: [{step: start, tool: {kind: playbook, path: "{{ 'x' * 100000 }}"}}]`,
  )
  const run = await gateway.ended(await gateway.execute('shelf/long'))
  t.match(run.error, /^No playbook is registered as x+…\./)
  t.ok((run.error ?? '').length < 1000, 'also in a step')
})

t.test('catalog: the list in pages, also for who sends no body', async (t) => {
  for (const n of [1, 2, 3]) await gateway.register(playbook(`pages/${n}`))
  const all = pathsOf((await post('/api/catalog/list', undefined)).body)
  t.same(all.slice(0, 3), ['pages/3@1', 'pages/2@1', 'pages/1@1'])
  t.same(pathsOf((await post('/api/catalog/list', { limit: 2, offset: 1 })).body), all.slice(1, 3))
  t.equal((await post('/api/catalog/list', { limit: 1001 })).status, 422)
  t.equal((await post('/api/catalog/list', [])).status, 422)
})

t.test('catalog: an entry by its id, under both prefixes', async (t) => {
  const { body } = await post('/api/catalog/register', { content: playbook('by/id') })
  for (const prefix of ['/api', '/api/v2']) {
    t.match(await get(`${prefix}/catalog/${body.catalog_id}`), {
      status: 200,
      body: { catalog_id: body.catalog_id, path: 'by/id', version: 1, kind: 'Playbook', content: /metadata/ },
    })
  }
  t.match(await get('/api/catalog/1'), { status: 404, body: { code: 'NOETL_ERR_PLAYBOOK_NOT_FOUND' } })
  t.match(await get('/api/catalog/9999999999999999999'), { status: 422 }, 'beyond what an id can be')
  t.match(await get('/api/catalog/x'), { status: 422, body: { code: 'NOETL_ERR_REQUEST_INVALID' } })
})

t.test('catalog: the kind is the document’s, else the one it was sent as', async (t) => {
  const register = async (content: string, resource_type?: string | null) =>
    (await post('/api/catalog/register', { content, resource_type })).body.kind
  t.equal(await register(playbook('kinds/a'), 'playbook'), 'Playbook')
  t.equal(await register('metadata: {path: kinds/b}\nworkflow: [{step: start}]', 'playbook'), 'playbook')
  t.equal(await register('metadata: {path: kinds/c}\nworkflow: [{step: start}]', null), 'Playbook')
  t.equal(await register('metadata: {path: kinds/d}\ntext: hi', 'Dataset'), 'Dataset')
  t.equal(await register('kind: Report\nmetadata: {path: kinds/e}', 'Playbook'), 'Report')
  const list = async (resource_type: string) =>
    pathsOf((await post('/api/catalog/list', { resource_type })).body)
  t.same(await list('dataset'), ['kinds/d@1'])
  t.ok((await list('PLAYBOOK')).includes('kinds/b@1'))
  t.same(await list("x' OR '1'='1"), [])
})

t.test('ui_schema: fields of the workload with their types, titles and defaults', async (t) => {
  await gateway.register(
    playbook(
      'forms/deep/one',
      `workload:
  city_name: Berlin
  maxItems: 3
  ratio: 0.5
  active: true
  when: "{{ now }}"
  note: null
  tags: [a, b]
  mixed: [1, a]
  db: {port: 5432, auth: {user: me}}`,
    ).replace('metadata: {', 'metadata: {name: One, description: A form, '),
  )
  const { status, body } = await get('/api/catalog/forms/deep/one/ui_schema')
  t.equal(status, 200)
  t.match(body, {
    $schema: /json-schema/,
    type: 'object',
    title: 'One',
    path: 'forms/deep/one',
    version: 1,
    catalog_id: /^\d+$/,
  })
  const template = { description: /template/ }
  const properties = body.properties as Record<string, Record<string, unknown>>
  t.same(Object.keys(properties), [
    'city_name',
    'maxItems',
    'ratio',
    'active',
    'when',
    'note',
    'tags',
    'mixed',
    'db',
  ])
  t.same(properties.city_name, { title: 'City name', type: 'string', default: 'Berlin' })
  t.same(properties.maxItems, { title: 'Max items', type: 'integer', default: 3 })
  t.same(properties.ratio, { title: 'Ratio', type: 'number', default: 0.5 })
  t.same(properties.active, { title: 'Active', type: 'boolean', default: true })
  t.match(properties.when, { type: 'string', default: '{{ now }}', ...template })
  t.same(properties.note, { title: 'Note', default: null })
  t.same(properties.tags, { title: 'Tags', type: 'array', items: { type: 'string' }, default: ['a', 'b'] })
  t.same(properties.mixed, { title: 'Mixed', type: 'array', default: [1, 'a'] })
  t.match(properties.db, {
    type: 'object',
    properties: {
      port: { type: 'integer', default: 5432 },
      auth: { properties: { user: { default: 'me' } } },
    },
    default: { port: 5432, auth: { user: 'me' } },
  })
})

t.test('ui_schema: of a version, of a path with a leading slash, of none', async (t) => {
  await gateway.register(playbook('/lead/p', 'workload: {a: 1}'))
  await gateway.register(playbook('/lead/p', 'workload: {b: 1}'))
  t.match(await get('/api/v2/catalog//lead/p/ui_schema'), { body: { version: 2, properties: { b: {} } } })
  t.match(await get('/api/catalog/%2Flead%2Fp/ui_schema?version=1'), {
    body: { version: 1, properties: { a: { default: 1 } } },
  })
  t.match(await get('/api/catalog/lead/nothing/ui_schema'), { status: 404 })
  t.match(await get('/api/catalog/%2Flead%2Fp/ui_schema?version=9'), { status: 404 })
  t.match(await get('/api/catalog/%2Flead%2Fp/ui_schema?version=x'), { status: 422 })
  t.match(await get('/api/catalog/a/b/c'), { status: 404, body: { code: 'NOETL_ERR_ROUTE_NOT_FOUND' } })
})

t.test(
  'catalog: paths that are no paths are refused or found to be nothing, never a fault of the server',
  async (t) => {
    for (const path of [
      '..%2f..%2fetc%2fpasswd',
      '%00',
      "a'%3BDROP%20TABLE%20noetl.catalog%3B--",
      '%ff',
      '__proto__',
    ]) {
      const { status } = await get(`/api/catalog/${path}/ui_schema`)
      t.ok(status >= 400 && status < 500, `${path} → ${status}`)
    }
    for (const path of ['a'.repeat(501), 'a\\tb', 'a\\u0000b']) {
      const content = `metadata: {path: "${path}"}\nworkflow: [{step: start}]`
      const { status, body } = await post('/api/catalog/register', { content })
      t.ok(status === 422 || status === 400, `${path.slice(0, 20)} → ${status} ${body.code}`)
    }
    for (const body of [
      { path: 'a\0b' },
      { path: 'a', version: 2 ** 40 },
      { path: '' },
      {},
      { path: ['a'] },
    ]) {
      t.match(await post('/api/catalog/delete', body), {
        status: 422,
        body: { code: 'NOETL_ERR_REQUEST_INVALID' },
      })
    }
    t.match(await post('/api/catalog/resource', { path: 'a\0b' }), { status: 422 })
    const { body } = await post('/api/catalog/register', {
      content: playbook('protos', 'workload: {constructor: 1, toString: x}'),
    })
    t.equal(body.status, 'success')
    t.match(await get('/api/catalog/protos/ui_schema'), {
      status: 200,
      body: { properties: { constructor: { default: 1 }, toString: { default: 'x' } } },
    })
  },
)

t.test('catalog: a playbook that is too much is refused with what was seen and the limit', async (t) => {
  const big = JSON.stringify({ metadata: { path: 'big' }, workload: { list: new Array(2_000_000).fill(1) } })
  const many = `metadata: {path: many}\nworkload: {list: [${'1,'.repeat(150_000)}]}\nworkflow: [{step: start}]`
  for (const path of ['/api/catalog/register', '/api/v2/catalog/validate']) {
    t.match(await post(path, { content: big }), {
      status: 413,
      body: { code: 'NOETL_ERR_PLAYBOOK_TOO_LARGE', details: { seen: /\d+ bytes/, limit: 1_048_576 } },
    })
    t.match(await post(path, { content: Buffer.from(big).toString('base64') }), { status: 413 }, 'in base64')
    t.match(await post(path, { content: many }), {
      status: 413,
      body: { code: 'NOETL_ERR_PLAYBOOK_TOO_LARGE', details: { limit: 100_000 } },
    })
  }
  const fits = `${playbook('fits')}\n${'#'.repeat(1_000_000)}`
  t.match(await post('/api/catalog/register', { content: Buffer.from(fits).toString('base64') }), {
    status: 200,
  })
})

t.test('catalog: names and kinds of odd types are faults, not failures', async (t) => {
  for (const odd of [
    'kind: {toString: 1}',
    'apiVersion: {toString: 1}',
    'workflow: [{step: {toString: 1}}]',
  ]) {
    const { status } = await post('/api/catalog/register', { content: `metadata: {path: odd}\n${odd}` })
    t.equal(status, 422, odd)
  }
  const tool = 'metadata: {path: odd}\nworkflow: [{step: start, tool: {kind: {toString: 1}, url: 1}}]'
  t.match(await post('/api/catalog/register', { content: tool }), {
    status: 422,
    body: { code: 'NOETL_ERR_PLAYBOOK_INVALID' },
  })
})

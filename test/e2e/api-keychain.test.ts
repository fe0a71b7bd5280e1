import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { readConfig } from '../../core/config.ts'
import { startServer } from '../../core/server.ts'
import { send as sendTo } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { worker: false })
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())
const send = (method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown, base = gateway.server.url) =>
  sendTo(base, method, path, body)
const { body: registered } = await send('POST', '/api/catalog/register', {
  content: 'metadata: {path: keys/one}\nworkflow: [{step: start, tool: {kind: noop}}]',
})
const catalog = String(registered.catalog_id)
const at = (name: string, query = '') => `/api/keychain/${catalog}/${name}${query}`
const execute = async (parent?: string) =>
  String(
    (
      await send('POST', '/api/execute', {
        path: 'keys/one',
        ...(parent ? { parent_execution_id: parent } : {}),
      })
    ).body.execution_id,
  )

t.test('keychain: stored and given in either spelling, never in a list', async (t) => {
  const stored = await send('POST', at('api'), {
    token_data: { access_token: 's3cret-a' },
    credential_type: 'oauth2',
    cache_type: 'token',
    ttl_seconds: 600,
    auto_renew: true,
    renew_config: { endpoint: 'https://x', client_secret: 's3cret-b' },
  })
  t.match(stored, {
    status: 200,
    body: { status: 'success', name: 'api', catalog_id: catalog, scope_type: 'global', execution_id: null },
  })
  t.notMatch(JSON.stringify(stored.body), /s3cret/)
  t.match((await send('GET', at('api'))).body, {
    status: 'success',
    data: { access_token: 's3cret-a' },
    token_data: { access_token: 's3cret-a' },
    credential_type: 'oauth2',
    cache_type: 'token',
    auto_renew: true,
    renew_config: { client_secret: 's3cret-b' },
    is_expired: false,
    access_count: 1,
    expires_at: /^\d{4}-/,
  })
  const { ttl_seconds } = (await send('GET', at('api'))).body as { ttl_seconds: number }
  t.ok(ttl_seconds > 590 && ttl_seconds <= 600)
  await send('POST', at('other'), { credential_data: { password: 's3cret-c' }, cache_type: 'secret' })
  t.match((await send('GET', `/api/v2/keychain/${catalog}/other`)).body, {
    data: { password: 's3cret-c' },
    expires_at: null,
  })
  const list = await send('GET', `/api/keychain/catalog/${catalog}`)
  t.match(list.body, {
    status: 'success',
    catalog_id: catalog,
    count: 2,
    entries: [{ name: 'api' }, { name: 'other' }],
  })
  t.notMatch(JSON.stringify(list.body), /s3cret|sealed|data/)
  const { rows } = await pool.query(`SELECT k::text FROM noetl.keychain k`)
  t.notMatch(JSON.stringify(rows), /s3cret/, 'the table does not hold it either')
  await send('POST', at('api'), { data: { access_token: 'new' } })
  t.match((await send('GET', at('api'))).body, {
    data: { access_token: 'new' },
    access_count: 1,
    auto_renew: false,
  })
})

t.test('keychain: an execution’s own, its family’s, everyone’s', async (t) => {
  const [top, other] = [await execute(), await execute()]
  const below = await execute(await execute(top))
  const value = async (name: string, query: string) => {
    const { status, body } = await send('GET', at(name, query))
    return status === 404 ? undefined : (body.data as { v: string }).v
  }
  await send('POST', at('s'), { data: { v: 'everyone' }, scope_type: 'global' })
  await send('POST', at('s'), { data: { v: 'family' }, scope_type: 'shared', execution_id: below })
  await send('POST', at('s'), { data: { v: 'own' }, execution_id: below })
  t.equal(await value('s', `?execution_id=${below}`), 'own', 'the nearest')
  t.equal(await value('s', `?execution_id=${top}`), 'family')
  t.equal(await value('s', `?execution_id=${other}`), 'everyone')
  t.equal(await value('s', ''), 'everyone')
  t.equal(await value('s', `?execution_id=${below}&scope_type=shared`), 'family')
  t.equal(await value('s', `?execution_id=${below}&scope_type=global`), 'everyone')
  t.equal(await value('s', `?execution_id=${top}&scope_type=local`), undefined)
  const { body } = await send('GET', at('s', `?execution_id=${below}&scope_type=local`))
  t.match(body, { scope_type: 'local', execution_id: below })
  t.ok(Number(body.ttl_seconds) <= 86_400, 'what belongs to an execution ends by itself')

  t.match(await send('DELETE', at('s', `?execution_id=${below}`)), {
    status: 200,
    body: { scope_type: 'local' },
  })
  t.equal(await value('s', `?execution_id=${below}`), 'family')
  t.match(await send('DELETE', at('s', `?execution_id=${below}&scope_type=shared`)), { status: 200 })
  t.equal(await value('s', `?execution_id=${below}`), 'everyone')
  t.match(await send('DELETE', at('s')), { status: 200 })
  t.equal(await value('s', ''), undefined)
  t.match(await send('DELETE', at('s')), { status: 404, body: { code: 'NOETL_ERR_KEYCHAIN_NOT_FOUND' } })
})

t.test('keychain: what has expired is not given, and is forgotten in time', async (t) => {
  await send('POST', at('old'), { data: { v: 1 }, expires_at: '2020-01-01T00:00:00Z' })
  await send('POST', at('soon'), { data: { v: 1 }, expires_in: 3600 })
  t.match(await send('GET', at('old')), {
    status: 404,
    body: { code: 'NOETL_ERR_KEYCHAIN_NOT_FOUND', error: /expired/ },
  })
  t.match(await send('GET', at('soon')), { status: 200 })
  await pool.query(`UPDATE noetl.keychain SET expires_at = now() - interval '1 second' WHERE name = 'soon'`)
  t.match(await send('GET', at('soon')), { status: 404 })
  const list = async () =>
    (
      (await send('GET', `/api/keychain/catalog/${catalog}`)).body.entries as {
        name: string
        is_expired: boolean
      }[]
    ).map(({ name, is_expired }) => `${name} ${is_expired}`)
  await send('POST', at('fresh'), { data: { v: 1 } })
  const left = await list()
  t.ok(left.includes('soon true'), 'it can be seen that it has')
  t.notOk(left.includes('old true'), 'long ago')
})

t.test('keychain: another key does not open it, no key says so', async (t) => {
  await send('POST', at('locked'), { data: { v: 's3cret' } })
  const serve = async (key: string) => {
    const env = {
      DATABASE_URL: gateway.databaseUrl,
      NATS_URL: gateway.nats.url,
      NOETL_PORT: '0',
      NOETL_ENCRYPTION_KEY: key,
    }
    const server = await startServer(readConfig({}, env), { log: pino({ level: 'silent' }) })
    t.teardown(() => server.close())
    return server.url
  }
  t.match(await send('GET', at('locked'), undefined, await serve(Buffer.alloc(32, 8).toString('base64'))), {
    status: 500,
    body: { code: 'NOETL_ERR_CREDENTIAL_KEY_WRONG' },
  })
  const keyless = await serve('')
  t.match(await send('GET', at('locked'), undefined, keyless), {
    status: 503,
    body: { code: 'NOETL_ERR_CREDENTIAL_KEY_MISSING' },
  })
  t.match(await send('POST', at('x'), { data: {} }, keyless), { status: 503 })
  t.match(await send('GET', at('none'), undefined, keyless), { status: 404 })
})

t.test('keychain: one moved to another place in the table does not open there', async (t) => {
  await send('POST', at('mine'), { data: { v: 's3cret' } })
  await pool.query(`UPDATE noetl.keychain SET name = 'yours' WHERE name = 'mine'`)
  const { status, body } = await send('GET', at('yours'))
  t.equal(status, 500)
  t.notMatch(JSON.stringify(body), /s3cret/)
})

t.test('keychain: what cannot be is refused', async (t) => {
  for (const [body, message] of [
    [{}, /data/],
    [{ data: 'text' }, /body\/data/],
    [{ data: {}, scope_type: 'world' }, /scope_type/],
    [{ data: {}, scope_type: 'local' }, /needs execution_id/],
    [{ data: {}, expires_at: 'tomorrow' }, /expires_at/],
    [{ data: {}, ttl_seconds: -1 }, /ttl_seconds/],
    [{ data: {}, cache_type: 'x' }, /cache_type/],
  ] as const) {
    t.match(await send('POST', at('bad'), body), {
      status: 422,
      body: { code: 'NOETL_ERR_REQUEST_INVALID', error: message },
    })
  }
  t.match(await send('POST', '/api/keychain/77/x', { data: {} }), {
    status: 404,
    body: { code: 'NOETL_ERR_PLAYBOOK_NOT_FOUND' },
  })
  t.match(await send('POST', at('x'), { data: {}, execution_id: '77' }), {
    status: 404,
    body: { code: 'NOETL_ERR_EXECUTION_NOT_FOUND' },
  })
  t.match(await send('GET', at('x', '?scope_type=local')), { status: 422 })
  t.match(await send('GET', at('x', "?execution_id=1'")), { status: 422 })
  t.match(await send('GET', at("x'%20OR%20true--")), { status: 404 })
})

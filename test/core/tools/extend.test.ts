import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import t from 'tap'
import { publish } from '../../../core/channels.ts'
import { readConfig } from '../../../core/config.ts'
import { startServer } from '../../../core/server.ts'
import { discoverPlugins } from '../../../core/tools/host.ts'
import { startWorker } from '../../../core/worker.ts'
import { testGateway } from '../../support/gateway.ts'
import type { Teardown } from '../../support/teardown.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** A plugin of the test's own, in a folder from which packages of this repository can be imported. */
function plugin(t: Teardown, options: { name: string; roles: string[]; code: string }): string {
  mkdirSync(join(ROOT, '.noetl'), { recursive: true })
  const dir = mkdtempSync(join(ROOT, '.noetl', 'test-extension-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const { name, roles, code } = options
  const manifest = {
    name,
    version: '1.2.3',
    type: 'module',
    exports: { '.': './index.js', './package.json': './package.json' },
    noetl: { contract: 1, kinds: [], roles },
  }
  writeFileSync(join(dir, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(dir, 'index.js'), code)
  return dir
}

/** Tells over HTTP what it sees, and runs what it is asked to read. */
const TELLER = `
export default async function (app, options) {
  const { noetl } = app
  let heard = 0
  noetl.listen('noetl:upkeep', () => { heard += 1 })
  app.get('/told', async () => ({
    role: noetl.role, version: noetl.version, plugins: noetl.plugins, config: noetl.config, options, heard,
    bus: noetl.busConnected(), keys: Object.keys(noetl).sort(), busy: noetl.busy?.(),
    pools: noetl.pools?.(), consumers: await noetl.consumers?.(),
  }))
  app.get('/read', async (request) => {
    try { return await noetl.query({ text: request.query.sql }) } catch (error) { return { failed: error.message } }
  })
}`

async function get(url: string, token?: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const answer = await fetch(url, { headers })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

t.test('extensions: servers and workers show them what they may see, under the token', async (t) => {
  const dir = plugin(t, { name: 'noetl-teller', roles: ['server', 'worker'], code: TELLER })
  const gateway = await testGateway(t, {
    plugins: [dir],
    worker: false,
    env: { NOETL_PLUGIN_OPTIONS: '{"noetl-teller": {"colour": "red"}}' },
  })
  const server = await get(`${gateway.server.url}/told`)
  t.match(server.body, {
    role: 'server',
    plugins: [{ name: 'noetl-teller', version: '1.2.3', kinds: [] }],
    config: { leaseSeconds: 15, reannounceSeconds: 5, retentionDays: 0 },
    options: { colour: 'red' },
    bus: true,
    heard: 0,
    pools: [
      { name: 'durable', max: 12, waiting: 0 },
      { name: 'relaxed', max: 4, waiting: 0 },
    ],
    consumers: [{ name: 'noetl-worker-pool', pending: 0, unacknowledged: 0, redelivered: 0 }],
  })
  t.same(Object.keys(server.body.config as object).sort(), [
    'leaseSeconds',
    'reannounceSeconds',
    'retentionDays',
  ])
  publish('noetl:upkeep', { what: 'announced', count: 1 })
  t.match((await get(`${gateway.server.url}/told`)).body, { heard: 1 })

  const log = pino({ level: 'silent' })
  const config = readConfig(
    {},
    {
      NATS_URL: gateway.nats.url,
      SERVER_API_URL: gateway.server.url,
      NOETL_PLUGINS: dir,
      NOETL_WORKER_NAME: 'one',
      NOETL_WORKER_PORT: '0',
      NOETL_API_TOKEN: 'a-token',
    },
  )
  const worker = await startWorker(config, { log })
  t.teardown(() => worker.close())
  t.equal((await fetch(`${worker.url}/healthz`)).status, 200)
  t.equal((await fetch(`${worker.url}/told`)).status, 401, 'only probes answer without the token')
  const told = await get(`${worker.url}/told`, 'a-token')
  t.match(told.body, {
    role: 'worker',
    config: { name: 'one', slots: 16, lanes: ['normal'], pool: '' },
    busy: 0,
    bus: true,
    heard: 0,
  })
  t.notOk((told.body.keys as string[]).includes('query'), 'a worker has no way to the database')
})

t.test('extensions: what they read of Postgres they cannot change, nor read for long', async (t) => {
  const dir = plugin(t, { name: 'noetl-teller', roles: ['server'], code: TELLER })
  const { server } = await testGateway(t, { plugins: [dir], worker: false })
  const read = (sql: string) => get(`${server.url}/read?sql=${encodeURIComponent(sql)}`)
  t.same((await read('SELECT count(*)::int AS n FROM noetl.queue')).body, [{ n: 0 }])
  t.match((await read('DELETE FROM noetl.queue')).body, { failed: /read-only transaction/ })
  t.match((await read('SELECT pg_sleep(20)')).body, { failed: /statement timeout/ })
})

t.test('extensions: one that fails is named, and nothing is left open', async (t) => {
  const dir = plugin(t, {
    name: 'noetl-broken',
    roles: ['server', 'worker'],
    code: `export default async function () { throw new Error('it has no heart') }`,
  })
  const gateway = await testGateway(t, { worker: false, plugins: ['@noetl/tool-http'] })
  const log = pino({ level: 'silent' })
  const env = {
    DATABASE_URL: gateway.databaseUrl,
    NATS_URL: gateway.nats.url,
    SERVER_API_URL: gateway.server.url,
    NOETL_PORT: '0',
    NOETL_PLUGINS: dir,
  }
  const refused = { code: 'NOETL_ERR_PLUGIN_LOAD', message: /noetl-broken.*it has no heart/ }
  await t.rejects(startServer(readConfig({}, env), { log }), refused)
  await t.rejects(startWorker(readConfig({}, env), { log }), refused)
  const off = readConfig({}, { ...env, NOETL_PLUGIN_OPTIONS: '{"noetl-broken": false}' })
  const server = await startServer(off, { log })
  await server.close()
  t.pass('it is not loaded when its options are false')
})

t.test('extensions: one that throws at what it hears takes nothing down', async (t) => {
  const dir = plugin(t, {
    name: 'noetl-thrower',
    roles: ['server', 'worker'],
    code: `export default async function (app) {
      for (const name of ['noetl:events', 'noetl:claimed', 'noetl:command'])
        app.noetl.listen(name, () => { throw new Error('it cannot bear it') })
    }`,
  })
  const gateway = await testGateway(t, { plugins: [dir] })
  const run = await gateway.run('metadata: {path: one}\nworkflow: [{step: start, tool: {kind: noop}}]')
  t.equal(run.status, 'COMPLETED')
})

t.test('extensions: each is loaded for its roles alone, and is no tool', async (t) => {
  const dir = plugin(t, { name: 'noetl-teller', roles: ['server'], code: TELLER })
  t.same(
    (await discoverPlugins({ names: [dir] })).map(({ kinds, roles }) => ({ kinds, roles })),
    [{ kinds: [], roles: ['server'] }],
  )
  const gateway = await testGateway(t, { plugins: [dir], env: { NOETL_WORKER_PORT: '0' } })
  t.equal((await fetch(`${gateway.server.url}/told`)).status, 200)
  t.equal((await fetch(`${gateway.worker?.url}/told`)).status, 404)
  t.same(gateway.worker?.kinds, ['artifact', 'noop'])
})

t.test('configuration: options of plugins that are no JSON objects are refused', async (t) => {
  for (const text of ['[1]', '{"a": 1}', 'no', '{"a": true}'])
    t.throws(() => readConfig({}, { NOETL_PLUGIN_OPTIONS: text }), { code: 'NOETL_ERR_CONFIG_INVALID' }, text)
})

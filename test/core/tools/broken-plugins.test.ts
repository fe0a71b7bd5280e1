import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { isNoetlError, type NoetlError } from '../../../core/errors.ts'
import { discoverPlugins, loadTools } from '../../../core/tools/host.ts'
import { folderIn, LOCK_FILE } from '../../../core/tools/lock.ts'
import { testFolder } from '../../support/folder.ts'
import { testGateway } from '../../support/gateway.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/plugins/${name}`, import.meta.url))

/** What the start of a process says to a plugin. */
async function refusal(name: string): Promise<NoetlError | undefined> {
  try {
    const manifests = await discoverPlugins({ names: [fixture(name)] })
    const tools = await loadTools({ manifests, loadLimitMs: 1500 })
    await tools.close()
    return undefined
  } catch (error) {
    if (isNoetlError(error)) return error
    throw error
  }
}

for (const [name, code, words] of [
  ['contract', 'NOETL_ERR_PLUGIN_CONTRACT', /noetl-contract speaks contract 2, this gateway speaks 1/],
  ['tool-contract', 'NOETL_ERR_PLUGIN_CONTRACT', /noetl-tool-contract speaks contract 2/],
  ['manifest', 'NOETL_ERR_PLUGIN_MANIFEST', /no "noetl"/],
  ['core-range', 'NOETL_ERR_PLUGIN_CORE_RANGE', /\^9\.0\.0/],
  ['fastify-range', 'NOETL_ERR_PLUGIN_FASTIFY_RANGE', /expected '9\.x'/],
  ['missing-dependency', 'NOETL_ERR_PLUGIN_DEPENDENCY', /no-such-plugin/],
  ['missing-decorator', 'NOETL_ERR_PLUGIN_DEPENDENCY', /noSuchThing/],
  ['kind-taken', 'NOETL_ERR_PLUGIN_KIND_TAKEN', /@noetl\/core and noetl-kind-taken both bring .*"noop"/],
  ['kind-undeclared', 'NOETL_ERR_PLUGIN_KIND_UNDECLARED', /registered kinds other .* declares broken/],
  ['schema', 'NOETL_ERR_PLUGIN_SCHEMA', /"broken" that does not compile/],
  ['throws', 'NOETL_ERR_PLUGIN_LOAD', /it does not want to/],
  ['throws-when-imported', 'NOETL_ERR_PLUGIN_LOAD', /not even this/],
  ['no-function', 'NOETL_ERR_PLUGIN_LOAD', /no fastify-plugin function/],
  ['never-ready', 'NOETL_ERR_PLUGIN_TIMEOUT', /not loaded within 1\.5 s/],
  ['never-imported', 'NOETL_ERR_PLUGIN_TIMEOUT', /not loaded within 1\.5 s/],
] as const) {
  t.test(`plugins: one that is broken by ${name} is refused with ${code}`, async (t) => {
    const error = await refusal(name)
    t.equal(error?.code, code, String(error))
    t.match(error?.message, words)
  })
}

t.test(
  'plugins: one whose files are not those of the lock is refused with NOETL_ERR_PLUGIN_DIGEST',
  async (t) => {
    const dir = await testFolder(t, 'digest')
    await mkdir(join(dir, 'node_modules'))
    await cp(fixture('digest'), folderIn(dir, 'noetl-digest'), { recursive: true })
    const about = { version: '1.0.0', contract: 1, kinds: ['broken'], roles: ['worker'], source: 'x' }
    await writeFile(
      join(dir, LOCK_FILE),
      JSON.stringify({ plugins: { 'noetl-digest': { ...about, digest: 'sha256-0' } } }),
    )
    await t.rejects(discoverPlugins({ names: [], from: [], dir }), { code: 'NOETL_ERR_PLUGIN_DIGEST' })
  },
)

t.test('plugins: a broken one takes no other with it where that is asked for', async (t) => {
  const broken: string[] = []
  const onBroken = (plugin: string, { code }: NoetlError) => void broken.push(`${plugin} ${code}`)
  const names = ['throws', 'core-range', 'schema', 'digest'].map(fixture)
  const manifests = await discoverPlugins({ names, onBroken })
  const tools = await loadTools({ manifests, onBroken })
  t.teardown(() => tools.close())
  t.same(broken, [
    'core-range NOETL_ERR_PLUGIN_CORE_RANGE',
    'noetl-throws NOETL_ERR_PLUGIN_LOAD',
    'noetl-schema NOETL_ERR_PLUGIN_SCHEMA',
  ])
  t.same(tools.kinds(), ['broken', 'noop'])
})

t.test(
  'plugins: with NOETL_SKIP_BROKEN server and worker start without a broken one, and say so',
  async (t) => {
    const plugins = ['core-range', 'throws', 'digest'].map(fixture)
    await t.rejects(testGateway(t, { plugins }), { code: 'NOETL_ERR_PLUGIN_CORE_RANGE' })
    const gateway = await testGateway(t, {
      plugins,
      env: { NOETL_SKIP_BROKEN: 'on', NOETL_WORKER_PORT: '0' },
    })
    const ready = await gateway.client.request('GET', '/readyz')
    t.match(ready, {
      status: 'ok',
      broken_plugins: [{ name: 'core-range', code: 'NOETL_ERR_PLUGIN_CORE_RANGE' }],
    })
    const worker = await fetch(`${gateway.worker?.url}/readyz`)
    t.match(await worker.json(), {
      broken_plugins: [
        { name: 'core-range', code: 'NOETL_ERR_PLUGIN_CORE_RANGE' },
        { name: 'noetl-throws', code: 'NOETL_ERR_PLUGIN_LOAD' },
      ],
    })
    const run = await gateway.run('metadata: {path: b}\nworkflow: [{step: start, tool: {kind: broken}}]')
    t.equal(run.status, 'COMPLETED', 'those that can be used are')
  },
)

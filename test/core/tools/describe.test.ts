import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isObject } from '../../../core/schemas/json.ts'
import { describeOnce, describeTools } from '../../../core/tools/describe.ts'
import { discoverPlugins, type PluginManifest } from '../../../core/tools/host.ts'
import type { Teardown } from '../../support/teardown.ts'

const folder = new URL('../../../plugins/', import.meta.url)
const names = (await readdir(folder)).map((name) => `@noetl/${name}`)
const manifests = await discoverPlugins({ names })

/** A plugin that fails as it is loaded. */
async function failing(t: Teardown): Promise<PluginManifest> {
  const dir = await mkdtemp(join(tmpdir(), 'noetl-test-plugin-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const about = {
    name: 'noetl-tool-gone',
    version: '2.0.0',
    type: 'module',
    exports: { '.': './index.js', './package.json': './package.json' },
    noetl: { contract: 1, kinds: ['gone'], roles: ['worker'] },
  }
  await writeFile(join(dir, 'package.json'), JSON.stringify(about))
  await writeFile(join(dir, 'index.js'), 'throw new Error("no such library")')
  const [manifest] = await discoverPlugins({ names: [dir] })
  return manifest!
}

t.test('describe: every tool of every plugin here, and those that are built in', async (t) => {
  const { tools, failed } = await describeTools({ manifests })
  t.same(failed, [])
  const kinds = [
    ...new Set(['artifact', 'noop', 'playbook', 'workbook', ...manifests.flatMap(({ kinds }) => kinds)]),
  ]
  t.same(
    tools.map(({ kind }) => kind),
    kinds.sort(),
  )
  for (const { kind, input, plugin, version, textFields } of tools) {
    const properties = isObject(input.properties) ? input.properties : {}
    t.ok(Object.keys(properties).length > 0, `${kind} has fields`)
    t.same(
      textFields.filter((name) => !(name in properties)),
      [],
      `${kind}: fields that are text are fields`,
    )
    t.match(plugin, /^@noetl\//)
    t.match(version, /^\d/)
  }
  t.match(
    tools.find(({ kind }) => kind === 'python'),
    { plugin: '@noetl/tool-python', version: '0.1.0', effect: String, textFields: ['code'], output: {} },
  )
  t.same(JSON.parse(JSON.stringify(tools)), tools, 'all of it is plain JSON')
})

t.test('describe: loading the tools opens nothing: no process, no socket, no timer', async (t) => {
  await describeTools({ manifests })
  const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
  t.equal(children.trim(), '')
  const open = process
    .getActiveResourcesInfo()
    .filter((name) => /Process|Socket|TCP|UDP|Timeout|Worker|Server/.test(name))
  t.same(open, [])
})

t.test('describe: a plugin that does not load takes no other with it', async (t) => {
  const gone = await failing(t)
  const { tools, failed } = await describeTools({ manifests: [gone, ...manifests] })
  t.match(failed, [{ plugin: 'noetl-tool-gone', kinds: ['gone'], why: /no such library/ }])
  t.equal(failed.length, 1)
  t.ok(tools.some(({ kind }) => kind === 'http'))
  t.notOk(tools.some(({ kind }) => kind === 'gone'))
})

t.test(
  'describe: a kind that two bring is the first one’s, and a plugin with another role is passed over',
  async (t) => {
    const http = manifests.find(({ kinds }) => kinds.includes('http'))!
    const { tools, failed } = await describeTools({ manifests: [http, http, { ...http, roles: ['server'] }] })
    t.same(failed, [])
    t.equal(tools.filter(({ kind }) => kind === 'http').length, 1)
  },
)

t.test('describe: once means once, whoever asks', async (t) => {
  const gone = await failing(t)
  const failed: string[] = []
  const tools = describeOnce({ manifests: [gone], onFailed: ({ plugin }) => failed.push(plugin) })
  const [a, b] = await Promise.all([tools(), tools()])
  t.equal(a, b)
  t.same(failed, ['noetl-tool-gone'])
})

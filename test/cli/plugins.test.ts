import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { testFolder } from '../support/folder.ts'
import { runCli } from '../support/run-cli.ts'

const folder = await testFolder(t, 'plugins')
const env = { XDG_DATA_HOME: join(folder, 'data') }
const dir = join(folder, 'data', 'noetl', 'plugins')
const ctl = (...args: string[]) => runCli(['plugins', ...args], { env, cwd: folder })

/** Writes a plugin that needs nothing but the core; returns its folder. */
function write(
  name: string,
  about: { version?: string; kind?: string; contract?: number; core?: string } = {},
) {
  const { version = '1.0.0', kind = 'shout', contract = 1, core = '^0.1.0' } = about
  const place = join(folder, name)
  mkdirSync(place, { recursive: true })
  const manifest = {
    name,
    version,
    type: 'module',
    exports: './index.js',
    noetl: { contract, kinds: [kind], roles: ['worker'] },
    peerDependencies: { '@noetl/core': core },
  }
  writeFileSync(join(place, 'package.json'), JSON.stringify(manifest))
  writeFileSync(
    join(place, 'index.js'),
    `import { CONTRACT, defineTool } from '@noetl/core'
    const plugin = async (app) => app.registerTool(defineTool({ kind: '${kind}', contract: CONTRACT, effect: 'pure',
      input: { type: 'object', properties: { words: { type: 'string' } } }, output: {},
      run: async ({ words }) => words.toUpperCase() }))
    plugin[Symbol.for('skip-override')] = true
    export default plugin`,
  )
  return place
}

t.test('plugins: a folder is installed, locked, listed, looked at, updated and removed', async (t) => {
  const place = write('noetl-shout')
  const installed = await ctl('install', './noetl-shout', '--json')
  t.equal(installed.code, 0, installed.out + installed.err)
  const lock = () => JSON.parse(readFileSync(join(dir, 'plugins.lock.json'), 'utf8')).plugins
  t.match(lock()['noetl-shout'], {
    version: '1.0.0',
    contract: 1,
    kinds: ['shout'],
    digest: /^sha256-[0-9a-f]{64}$/,
    source: place,
  })
  t.match(await ctl('list'), { code: 0, out: /^noetl-shout +1\.0\.0 +shout +installed +\//m })
  t.match(await ctl('inspect', 'noetl-shout'), {
    code: 0,
    out: /digest +sha256-.*kind shout, pure\n {2}words/s,
  })
  write('noetl-shout', { version: '1.1.0' })
  t.match(await ctl('update'), { code: 0, out: /noetl-shout 1\.0\.0 → 1\.1\.0/ })
  t.equal(lock()['noetl-shout'].version, '1.1.0')

  writeFileSync(join(dir, 'node_modules/noetl-shout/index.js'), '// changed')
  t.match(await ctl('verify'), { code: 1, out: /noetl-shout 1\.1\.0: its files have the digest/ })
  const playbook = join(folder, 'p.yaml')
  writeFileSync(playbook, 'metadata: {path: p}\nworkflow: [{step: start, tool: {kind: shout, words: a}}]')
  const refused = await runCli(['playbook', 'validate', playbook], { env, cwd: folder })
  t.match(refused, { code: 3, err: /The files of plugin noetl-shout are not those that were installed/ })
  t.match(await ctl('update', 'noetl-shout'), { code: 0 })
  t.match(await ctl('verify'), { code: 0, out: /noetl-shout 1\.1\.0: as installed/ })
  t.match(await runCli(['playbook', 'validate', playbook], { env, cwd: folder }), { code: 0 })

  t.match(await ctl('uninstall', 'noetl-shout'), { code: 0, out: /noetl-shout 1\.1\.0 is removed/ })
  t.notMatch((await ctl('list')).out, /noetl-shout/)
  t.match(await ctl('uninstall', 'noetl-shout'), { code: 5, err: /NOETL_ERR_PLUGIN_NOT_FOUND/ })
})

t.test('plugins: what does not fit is refused before anything is changed', async (t) => {
  for (const [name, about, error] of [
    ['noetl-old', { contract: 7 }, /NOETL_ERR_PLUGIN_CONTRACT/],
    ['noetl-far', { core: '^9.0.0' }, /made for @noetl\/core \^9\.0\.0.*NOETL_ERR_PLUGIN_CORE_RANGE/s],
    [
      'noetl-twice',
      { kind: 'python' },
      /@noetl\/tool-python and noetl-twice both.*NOETL_ERR_PLUGIN_KIND_TAKEN/s,
    ],
  ] as const) {
    const result = await ctl('install', write(name, about))
    t.equal(result.code, 1, name)
    t.match(result.err, error)
  }
  mkdirSync(join(folder, 'plain'))
  writeFileSync(join(folder, 'plain/package.json'), '{"name": "plain", "version": "1.0.0"}')
  t.match(await ctl('install', './plain'), { code: 1, err: /plain is no plugin.*NOETL_ERR_PLUGIN_MANIFEST/s })
  t.match(await ctl('verify'), { out: /No plugin is installed/ })
})

t.test('plugins: a tarball and a repository are installed; a linked folder is used as it is', async (t) => {
  const place = write('noetl-shout', { version: '2.0.0' })
  const run = (command: string, ...args: string[]) => {
    const { status, stderr } = spawnSync(command, args, { cwd: place, encoding: 'utf8' })
    t.equal(status, 0, stderr)
  }
  run('git', 'init', '-q')
  run('git', 'add', '.')
  run('git', '-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-qm', 'one')
  const cloned = await ctl('install', `git+file://${place}`)
  t.match(cloned, { code: 0, out: /noetl-shout 2\.0\.0 is installed: shout/ }, cloned.err)
  run('npm', 'pack', '--pack-destination', folder)
  t.match(await ctl('install', './noetl-shout-2.0.0.tgz'), { code: 0, out: /noetl-shout 2\.0\.0/ })

  const linked = write('noetl-whisper', { kind: 'whisper' })
  t.match(await ctl('link', linked), { code: 0, out: /noetl-whisper 1\.0\.0 is linked to/ })
  t.match((await ctl('list')).out, /noetl-whisper +1\.0\.0 +whisper +linked/)
  writeFileSync(join(linked, 'notes.txt'), 'files of a linked folder may change')
  t.match(await ctl('verify'), { code: 0 })
  rmSync(join(folder, 'noetl-shout-2.0.0.tgz'))
  t.match(await ctl('uninstall', 'noetl-shout', 'noetl-whisper'), { code: 0 })
  t.ok(readFileSync(join(linked, 'index.js'), 'utf8').includes('whisper'), 'its folder stays')
})

t.test('plugins create: what it writes passes its lint, types and conformance, and runs', async (t) => {
  const created = await ctl('create', 'noetl-tool-parrot', '--json')
  t.match(created, { code: 0 }, created.err)
  const place = join(folder, 'noetl-tool-parrot')
  t.match(created.json(), { kind: 'parrot', folder: place })
  // In place of npm install: what this repository has, and its core from the sources.
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))
  symlinkSync(modules, join(place, 'node_modules'))
  const sources = ['--conditions=@noetl/source', `--import=${import.meta.resolve('tsx')}`]
  const strict = ['--exactOptionalPropertyTypes', '--allowImportingTsExtensions']
  for (const args of [
    [join(modules, '@biomejs/biome/bin/biome'), 'check', '--error-on-warnings', '.'],
    [join(modules, 'typescript/bin/tsc'), '--customConditions', '@noetl/source', ...strict],
    [...sources, '--test', '--test-reporter=tap'],
  ]) {
    // Without what the test runner would have every Node process load.
    const words = ['-u', 'NODE_OPTIONS', process.execPath, ...args]
    const { status, stdout, stderr } = spawnSync('env', words, { cwd: place, encoding: 'utf8' })
    t.equal(status, 0, `${args.join(' ')}\n${stdout}${stderr}`)
    if (args.includes('--test')) t.match(stdout, /ok \d+ - parrot: eight calls side by side/)
  }
  rmSync(join(place, 'node_modules'))
  t.match(await ctl('install', './noetl-tool-parrot'), { code: 0, out: /is installed: parrot/ })
  t.match(await ctl('inspect', 'noetl-tool-parrot'), { code: 0, out: /kind parrot, pure\n {2}text/ })
  t.match(await ctl('uninstall', 'noetl-tool-parrot'), { code: 0 })
  t.match(await ctl('create', 'noetl-tool-parrot'), { code: 2, err: /is not empty/ })
  t.match(await ctl('create', 'Big Name'), { code: 2, err: /no name of a package/ })
  t.match(await ctl('create', 'noetl-tool-1'), { code: 2, err: /no tool kind/ })
})

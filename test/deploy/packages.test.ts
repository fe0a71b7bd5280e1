import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { makeClient } from '../../core/client.ts'
import { testFolder } from '../support/folder.ts'
import { testNats } from '../support/nats.ts'
import { testDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PACKAGES = ['core', 'cli', ...readdirSync(join(ROOT, 'plugins')).map((name) => `plugins/${name}`)]

/** As from a shell: without what the test runner would have every Node process load. */
const PLAIN = ['-u', 'NODE_OPTIONS']

function run(command: string, args: string[], options: { cwd: string; env?: NodeJS.ProcessEnv }) {
  const { status, stdout, stderr } = spawnSync('env', [...PLAIN, command, ...args], {
    encoding: 'utf8',
    maxBuffer: 1e8,
    ...options,
  })
  return { status, stdout, stderr }
}

interface Packed {
  name: string
  filename: string
  files: { path: string }[]
}

t.setTimeout(600_000)

t.test(
  'packages: built, packed and installed in an empty folder they run playbooks, with plugins of ours and of an author',
  { timeout: 600_000 },
  async (t) => {
    const folder = await testFolder(t, 'packages')
    t.teardown(() => {
      for (const name of PACKAGES) rmSync(join(ROOT, name, 'dist'), { recursive: true, force: true })
    })
    const built = run(process.execPath, ['--import=tsx', 'deploy/build.ts'], { cwd: ROOT })
    t.equal(built.status, 0, built.stderr)
    const packed = run('npm', ['pack', '--workspaces', '--json', '--pack-destination', folder], { cwd: ROOT })
    const told = JSON.parse(packed.stdout) as Packed[] | Record<string, Packed>
    const tarballs = Object.values(told).map(({ name, filename, files }) => {
      const paths = files.map(({ path }) => path)
      t.ok(
        paths.includes('package.json') && paths.some((path) => path.startsWith('dist/')),
        `${name} has its code`,
      )
      t.notOk(
        paths.some((path) => /(^|\/)(?!.*\.d\.ts$)[^/]*\.ts$|node_modules/.test(path)),
        `${name} has no sources`,
      )
      return join(folder, filename)
    })
    t.equal(tarballs.length, PACKAGES.length)
    const tarball = (name: string) => tarballs.find((file) => file.includes(`/noetl-${name}-`))!
    const place = join(folder, 'app')
    mkdirSync(place)
    writeFileSync(join(place, 'package.json'), '{"name": "app", "private": true}')
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
    const installed = run('npm', ['install', ...quiet, tarball('core'), tarball('cli')], { cwd: place })
    t.equal(installed.status, 0, installed.stderr)

    // An author's package, as docs/writing-a-plugin.md says.
    const author = join(folder, 'author')
    mkdirSync(author)
    const text = readFileSync(join(ROOT, 'docs/writing-a-plugin.md'), 'utf8')
    const blocks = [...text.matchAll(/```(?:js|json)\n([\s\S]*?)```/g)].map(([, block]) => block ?? '')
    const [manifest, code, suite] = blocks
    writeFileSync(join(author, 'package.json'), manifest ?? '')
    writeFileSync(join(author, 'index.js'), code ?? '')
    writeFileSync(join(author, 'test.js'), suite ?? '')
    const got = run('npm', ['install', ...quiet, '--save-dev', tarball('core')], { cwd: author })
    t.equal(got.status, 0, got.stderr)
    const conforms = run(process.execPath, ['--test', '--test-reporter=tap'], { cwd: author })
    t.equal(conforms.status, 0, conforms.stdout)
    t.match(conforms.stdout, /ok \d+ - eight calls side by side/)

    const bin = join(place, 'node_modules/@noetl/cli/bin/run.js')
    const { url: databaseUrl } = await testDatabase(t, { migrated: false })
    const nats = await testNats(t)
    const port = await freePort()
    const env = {
      ...process.env,
      DATABASE_URL: databaseUrl,
      NATS_URL: nats.url,
      NOETL_PORT: String(port),
      XDG_DATA_HOME: join(folder, 'data'),
      npm_config_prefer_offline: 'true',
      SERVER_API_URL: `http://127.0.0.1:${port}`,
    }
    const cli = (...words: string[]) => run(process.execPath, [bin, ...words], { cwd: place, env })
    const { version } = JSON.parse(readFileSync(join(ROOT, 'cli/package.json'), 'utf8')) as {
      version: string
    }
    t.match(cli('--version').stdout, `@noetl/cli/${version}`)
    writeFileSync(
      join(place, 'hello.yaml'),
      'metadata: {path: my/hello}\nworkflow: [{step: start, tool: {kind: python, code: "result = 6 * 7"}}]',
    )
    writeFileSync(
      join(place, 'echo.yaml'),
      'metadata: {path: my/echo}\nworkflow: [{step: start, tool: {kind: echo, text: hi}}]',
    )
    const lacking = cli('playbook', 'validate', 'hello.yaml')
    t.equal(lacking.status, 3)
    t.match(
      lacking.stdout,
      /@noetl\/tool-python brings it: noetlctl plugins install @noetl\/tool-python/,
      'a fresh one has no tool and says what to type',
    )
    const plugins = cli('plugins', 'install', tarball('tool-python'), author)
    t.equal(plugins.status, 0, plugins.stdout + plugins.stderr)
    t.match(
      plugins.stdout,
      /@noetl\/tool-python \S+ is installed: python\nnoetl-tool-echo 1\.0\.0 is installed: echo/,
    )
    t.match(cli('plugins', 'verify').stdout, /noetl-tool-echo 1\.0\.0: as installed/)
    t.match(cli('plugins', 'list').stdout, /@noetl\/tool-python +\S+ +python +installed/)
    const valid = cli('playbook', 'validate', 'hello.yaml', 'echo.yaml')
    t.equal(valid.status, 0, valid.stdout + valid.stderr)
    const setUp = cli('setup')
    t.equal(setUp.status, 0, setUp.stderr)
    for (const role of ['server', 'worker']) {
      const child = spawn('env', [...PLAIN, process.execPath, bin, role, 'start'], {
        cwd: place,
        env,
        stdio: 'ignore',
      })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      t.teardown(async () => {
        child.kill('SIGTERM')
        await ended
      })
    }
    const client = makeClient({ url: env.SERVER_API_URL })
    t.teardown(() => client.close())
    await until('a worker', async () => {
      const { count } = await client.request<{ count: number }>('GET', '/api/worker/pools')
      return count > 0
    })
    t.equal(cli('playbook', 'register', 'hello.yaml').status, 0)
    const ran = cli('execute', 'my/hello', '--wait', '--json')
    t.equal(ran.status, 0, ran.stderr)
    t.match(JSON.parse(ran.stdout), { status: 'COMPLETED', result: 42 })
    t.equal(cli('playbook', 'register', 'echo.yaml').status, 0)
    t.match(JSON.parse(cli('execute', 'my/echo', '--wait', '--json').stdout), {
      status: 'COMPLETED',
      result: { text: 'hi' },
    })
  },
)

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

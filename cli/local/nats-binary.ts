import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { reasonOf, unpackPackages } from './debian-packages.ts'

const run = promisify(execFile)

/** The release that is fetched where no package manager has one. */
const RELEASE = '2.12.2'
const RELEASES = 'https://github.com/nats-io/nats-server/releases/download'

const ADVICE =
  'Install nats-server 2.9 or newer (Debian, Ubuntu: apt-get install nats-server; macOS: brew install nats-server), or name one with NOETL_NATS_SERVER=/path/to/nats-server.'

/** Where a nats-server was found or how it was got, for the user to read. */
export interface NatsBinary {
  path: string
  how: string
}

/**
 * Finds a nats-server or gets one, without changing the system: NOETL_NATS_SERVER, then PATH, then what an
 * earlier call put into `dir`, then the distribution's package unpacked into `dir`, then the official
 * release, whose digest is compared with the one published beside it. Throws with what to type.
 */
export async function findNatsServer(options: {
  dir: string
  say?: (line: string) => void
  env?: NodeJS.ProcessEnv
}): Promise<NatsBinary> {
  const { dir, say = () => {}, env = process.env } = options
  const named = env.NOETL_NATS_SERVER
  if (named !== undefined && named !== '') {
    if (!(await runs(named)))
      throw new Error(`NOETL_NATS_SERVER is ${named}, which is no nats-server that runs here. ${ADVICE}`)
    return { path: named, how: 'named by NOETL_NATS_SERVER' }
  }
  const onPath = search(env.PATH ?? '')
  if (onPath !== undefined && (await runs(onPath))) return { path: onPath, how: 'found on PATH' }
  const own = join(dir, 'bin', 'nats-server')
  if (await runs(own)) return { path: own, how: 'unpacked before' }
  await mkdir(join(dir, 'bin'), { recursive: true })
  const failures: string[] = []
  for (const [how, get] of [
    ["the distribution's package, unpacked", fromPackage],
    [`the official release ${RELEASE}`, fromRelease],
  ] as const) {
    const work = await mkdtemp(join(tmpdir(), 'noetl-nats-'))
    try {
      say(`getting nats-server: ${how}`)
      const got = await get(work)
      await copyFile(got, `${own}.new`)
      await chmod(`${own}.new`, 0o755)
      await rename(`${own}.new`, own)
      if (await runs(own)) return { path: own, how: `${how} into ${join(dir, 'bin')}` }
      failures.push(`${how}: it does not run here`)
    } catch (error) {
      failures.push(`${how}: ${reasonOf(error)}`)
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }
  throw new Error(`There is no nats-server, and none could be got.\n  ${failures.join('\n  ')}\n${ADVICE}`)
}

function search(path: string): string | undefined {
  for (const folder of path.split(delimiter)) {
    const file = join(folder, 'nats-server')
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {
      // The next one.
    }
  }
  return undefined
}

async function runs(binary: string): Promise<boolean> {
  return run(binary, ['--version'], { timeout: 10_000 }).then(
    ({ stdout, stderr }) => /nats-server/.test(stdout + stderr),
    () => false,
  )
}

async function fromPackage(work: string): Promise<string> {
  const unpacked = await unpackPackages(['nats-server'], work)
  for (const place of ['usr/sbin', 'usr/bin']) {
    const binary = join(unpacked, place, 'nats-server')
    if (await runs(binary)) return binary
  }
  throw new Error('the package has no nats-server that runs here')
}

async function fromRelease(work: string): Promise<string> {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64' | 'arm64']
  if (arch === undefined || !['linux', 'darwin'].includes(process.platform)) {
    throw new Error(`there is no release for ${process.platform} ${process.arch}`)
  }
  const name = `nats-server-v${RELEASE}-${process.platform}-${arch}`
  const archive = await fetchBytes(`${RELEASES}/v${RELEASE}/${name}.tar.gz`)
  const sums = (await fetchBytes(`${RELEASES}/v${RELEASE}/SHA256SUMS`)).toString('utf8')
  const digest = createHash('sha256').update(archive).digest('hex')
  if (!sums.split('\n').some((line) => line.startsWith(digest) && line.includes(`${name}.tar.gz`))) {
    throw new Error(`the digest of ${name}.tar.gz is not the published one`)
  }
  await writeFile(join(work, 'archive.tar.gz'), archive)
  await run('tar', ['-xzf', join(work, 'archive.tar.gz'), '-C', work])
  return join(work, name, 'nats-server')
}

async function fetchBytes(url: string): Promise<Buffer> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(120_000) })
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`)
  return Buffer.from(await answer.arrayBuffer())
}

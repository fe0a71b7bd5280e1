import { existsSync } from 'node:fs'
import { lstat, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import {
  checkCoreRange,
  digestOf,
  folderIn,
  LOCK_FILE,
  type LockedPlugin,
  makeError,
  type PluginLock,
  type PluginManifest,
  readLock,
  readManifest,
} from '@noetl/core'
import { npm } from './npm.ts'
import { fileInTarball } from './tarball.ts'

/**
 * The folder of plugins that were installed by name: an npm project of its own whose packages come from the
 * tarballs that are kept beside it, so that what was installed can be installed again as it was. The gateway's
 * core is linked into it, for plugins to import the one that runs them.
 */
export interface PluginHome {
  dir: string
  lock(): Promise<PluginLock>
  /** Installs a name with a range, a tarball, a folder or a git URL, in place of the version there. */
  install(source: string, options: { scripts: boolean; taken: readonly PluginManifest[] }): Promise<Installed>
  /** Uses a folder as it is, for who works on it. */
  link(folder: string, options: { taken: readonly PluginManifest[] }): Promise<Installed>
  uninstall(name: string): Promise<LockedPlugin>
  /** What differs from the lock, in words, by plugin. */
  verify(): Promise<{ name: string; version: string; fault: string | null }[]>
}

export interface Installed extends LockedPlugin {
  name: string
}

export function pluginHome(dir: string): PluginHome {
  const modules = join(dir, 'node_modules')
  const tarballs = join(dir, 'packages')

  async function prepare(): Promise<void> {
    await mkdir(tarballs, { recursive: true })
    const file = join(dir, 'package.json')
    if (!existsSync(file)) {
      const about = { name: 'noetl-plugins', private: true, description: 'kept by noetlctl plugins' }
      await writeFile(file, `${JSON.stringify(about, null, 2)}\n`)
    }
  }

  /** npm removes what it did not put there itself; so this follows each of its runs. */
  async function linkAll(lock: PluginLock): Promise<void> {
    await place(join(modules, '@noetl', 'core'), coreFolder())
    for (const [name, { digest, source }] of Object.entries(lock))
      if (digest === null) await place(folderIn(dir, name), source)
  }

  async function writeLock(lock: PluginLock): Promise<void> {
    const sorted = Object.fromEntries(Object.entries(lock).sort(([a], [b]) => (a < b ? -1 : 1)))
    const file = join(dir, LOCK_FILE)
    await writeFile(`${file}.new`, `${JSON.stringify({ plugins: sorted }, null, 2)}\n`)
    await rename(`${file}.new`, file)
  }

  async function keep(manifest: PluginManifest, about: { digest: string | null; source: string }) {
    const { name, version, contract, kinds, roles } = manifest
    const lock = { ...(await readLock(dir)), [name]: { version, contract, kinds, roles, ...about } }
    await writeLock(lock)
    await linkAll(lock)
    return { name, ...lock[name]! }
  }

  return {
    dir,
    lock: () => readLock(dir),

    async install(source, { scripts, taken }) {
      await prepare()
      const spec = sourceOf(source)
      const packed = JSON.parse(
        await npm(['pack', spec, '--json', '--pack-destination', tarballs], { cwd: dir, scripts }),
      ) as { filename: string }[] | Record<string, { filename: string }>
      const tarball = join(tarballs, Object.values(packed)[0]!.filename.replace('@', '').replace('/', '-'))
      try {
        const manifest = await manifestIn(tarball, dir)
        refuseTaken(manifest, taken)
        const before = await readLock(dir)
        if (before[manifest.name]?.digest === null) await rm(folderIn(dir, manifest.name), { force: true })
        await npm(['install', tarball, '--save-exact', '--force'], { cwd: dir, scripts })
        const folder = folderIn(dir, manifest.name)
        return await keep(manifest, { digest: await digestOf(folder), source: spec })
      } catch (error) {
        await linkAll(await readLock(dir))
        throw error
      }
    },

    async link(folder, { taken }) {
      await prepare()
      const manifest = await readManifest(resolve(folder))
      checkCoreRange(manifest)
      refuseTaken(manifest, taken)
      const there = (await readLock(dir))[manifest.name]
      if (there !== undefined && there.digest !== null) await npm(['uninstall', manifest.name], { cwd: dir })
      return keep(manifest, { digest: null, source: resolve(folder) })
    },

    async uninstall(name) {
      const { [name]: gone, ...rest } = await readLock(dir)
      if (gone === undefined) throw notThere(name, dir)
      if (gone.digest === null) await rm(folderIn(dir, name), { force: true })
      else {
        await npm(['uninstall', name], { cwd: dir })
        await rm(join(tarballs, `${name.replace('@', '').replace('/', '-')}-${gone.version}.tgz`), {
          force: true,
        })
      }
      await writeLock(rest)
      await linkAll(rest)
      return gone
    },

    async verify() {
      const lock = await readLock(dir)
      return Promise.all(
        Object.entries(lock).map(async ([name, locked]) => ({
          name,
          version: locked.version,
          fault: await faultOf(folderIn(dir, name), locked),
        })),
      )
    },
  }
}

/** The error for a name that is not installed. */
export function notThere(name: string, dir: string): Error {
  return makeError('NOETL_ERR_PLUGIN_NOT_FOUND', [name, dir])
}

async function faultOf(folder: string, locked: LockedPlugin): Promise<string | null> {
  try {
    const { version } = await readManifest(folder)
    if (locked.digest === null) return null
    if (version !== locked.version) return `it has version ${version}, locked is ${locked.version}`
    const digest = await digestOf(folder)
    return digest === locked.digest ? null : `its files have the digest ${digest}, locked is ${locked.digest}`
  } catch (error) {
    return (error as Error).message
  }
}

/** A path is made absolute, for npm runs elsewhere; anything else is npm's to read. */
function sourceOf(source: string): string {
  const isPath =
    /^(\.|\/|~|[A-Za-z]:\\)/.test(source) || /\.(tgz|tar\.gz)$/.test(source) || existsSync(source)
  return isPath && existsSync(source) ? resolve(source) : source
}

/** Reads what a packed plugin says of itself, so that one which does not fit is refused before it is unpacked. */
async function manifestIn(tarball: string, dir: string): Promise<PluginManifest> {
  const text = await fileInTarball(tarball, 'package/package.json')
  const look = join(dir, 'looked-at')
  await mkdir(look, { recursive: true })
  try {
    if (text !== undefined) await writeFile(join(look, 'package.json'), text)
    const manifest = await readManifest(look)
    checkCoreRange(manifest)
    return manifest
  } finally {
    await rm(look, { recursive: true, force: true })
  }
}

function refuseTaken(manifest: PluginManifest, taken: readonly PluginManifest[]): void {
  for (const other of taken) {
    if (other.name === manifest.name) continue
    const kind = manifest.kinds.find((one) => other.kinds.includes(one))
    if (kind !== undefined) throw makeError('NOETL_ERR_PLUGIN_KIND_TAKEN', [other.name, manifest.name, kind])
  }
}

function coreFolder(): string {
  for (let folder = dirname(createRequire(import.meta.url).resolve('@noetl/core/conformance')); ; ) {
    if (existsSync(join(folder, 'package.json'))) return folder
    if (folder === dirname(folder)) throw new Error('the package of @noetl/core was not found')
    folder = dirname(folder)
  }
}

async function place(at: string, target: string): Promise<void> {
  await mkdir(dirname(at), { recursive: true })
  const there = await lstat(at).catch(() => undefined)
  if (there !== undefined) await rm(at, { recursive: !there.isSymbolicLink(), force: true })
  await symlink(target, at, 'junction')
}

/** For who asks what is in `package.json` of a plugin. */
export async function describePackage(folder: string): Promise<string> {
  const { description } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    description?: string
  }
  return description ?? ''
}

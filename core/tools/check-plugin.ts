import { createRequire } from 'node:module'
import { makeError, type NoetlError } from '../errors.ts'
import { version } from '../version.ts'
import { digestOf } from './digest.ts'
import type { PluginManifest } from './host.ts'
import type { LockedPlugin } from './lock.ts'

/** The two functions of semver that are used here; the package brings no types. */
interface Semver {
  satisfies(version: string, range: string, options: { includePrerelease: boolean }): boolean
  validRange(range: string): string | null
}
const semver = createRequire(import.meta.url)('semver') as Semver

/** Is told of a plugin that cannot be used and is left out. */
export type OnBroken = (plugin: string, error: NoetlError) => void

/** Throws NOETL_ERR_PLUGIN_CORE_RANGE for a plugin that is made for other versions of the core. */
export function checkCoreRange({ name, coreRange }: PluginManifest): void {
  if (coreRange === undefined) return
  const fits =
    semver.validRange(coreRange) !== null && semver.satisfies(version, coreRange, { includePrerelease: true })
  if (!fits) throw makeError('NOETL_ERR_PLUGIN_CORE_RANGE', [name, coreRange, version, name])
}

/** Throws NOETL_ERR_PLUGIN_DIGEST for a plugin whose files are not those that were installed. */
export async function checkDigest({ name, folder }: PluginManifest, locked: LockedPlugin): Promise<void> {
  if (locked.digest === null) return
  const digest = await digestOf(folder)
  if (digest !== locked.digest)
    throw makeError('NOETL_ERR_PLUGIN_DIGEST', [name, `${digest}, not ${locked.digest}`])
}

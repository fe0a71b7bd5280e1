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

/** A plugin that a process started without, as `/readyz` names it. */
export interface BrokenPlugin {
  name: string
  code: string
}

/** Collects the plugins that a process starts without, and logs each; undefined where it is not to start so. */
export function broken(
  list: BrokenPlugin[],
  options: { skip: boolean; log: { error(facts: object, message: string): void } },
): OnBroken | undefined {
  if (!options.skip) return undefined
  return (name, { code, message }) => {
    list.push({ name, code })
    options.log.error({ plugin: name, code, why: message }, 'a plugin cannot be used; started without it')
  }
}

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeError } from '../errors.ts'
import { isObject } from '../schemas/json.ts'

/** What was installed, as it was then: the pin that `plugins verify` and the start of a process hold it against. */
export interface LockedPlugin {
  version: string
  contract: number
  kinds: string[]
  roles: string[]
  /** Of all its files; null for a linked folder, whose files are meant to change. */
  digest: string | null
  /** What it was installed from, in the words of who did. */
  source: string
}

export type PluginLock = Record<string, LockedPlugin>

export const LOCK_FILE = 'plugins.lock.json'

/** The lock of a plugin folder; empty when there is none. Throws NOETL_ERR_PLUGIN_LOCK when it cannot be read. */
export async function readLock(dir: string): Promise<PluginLock> {
  const file = join(dir, LOCK_FILE)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw makeError('NOETL_ERR_PLUGIN_LOCK', [file, (error as Error).message], { cause: error })
  }
  try {
    const { plugins } = JSON.parse(text) as { plugins?: unknown }
    if (!isObject(plugins) || !Object.values(plugins).every(isLocked)) throw new Error('it is no lock')
    return plugins as unknown as PluginLock
  } catch (cause) {
    throw makeError('NOETL_ERR_PLUGIN_LOCK', [file, (cause as Error).message], { cause })
  }
}

/** Folder of a plugin that is installed in `dir`. */
export function folderIn(dir: string, name: string): string {
  return join(dir, 'node_modules', name)
}

function isLocked(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.version === 'string' &&
    typeof value.source === 'string' &&
    (value.digest === null || typeof value.digest === 'string') &&
    Array.isArray(value.kinds)
  )
}

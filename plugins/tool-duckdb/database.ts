import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { ToolError } from '@noetl/core'
import type { DuckdbInput } from './input.ts'

/**
 * The one absolute path of the database that a step names, whatever links lead to it; null for one in
 * memory. A relative path starts from `dataDir`.
 */
export async function findDatabase(fields: DuckdbInput, dataDir: string): Promise<string | null> {
  const given = fields.database?.trim() ?? ''
  if (given === '' || given.startsWith(':memory:')) return null
  // At least two letters: one and a colon is a drive.
  if (/^[a-z][a-z0-9+.-]+:/i.test(given) || given.includes('\0')) {
    throw new ToolError(
      'schema',
      '"database" is the path of a file, or absent for one in memory. Anything else is attached in SQL: ATTACH ...',
    )
  }
  const path = resolve(dataDir, given)
  try {
    return await realpath(path)
  } catch {
    // Not there yet: its folder may be, by way of a link. If not, DuckDB says so.
    const folder = await realpath(dirname(path)).catch(() => dirname(path))
    return join(folder, basename(path))
  }
}

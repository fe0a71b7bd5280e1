import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { ToolError } from '@noetl/core'
import { duckdbFailure } from './duckdb-failures.ts'
import type { Side } from './pg-failures.ts'
import type { Stop } from './stop.ts'

export interface DuckdbLimits {
  /** Folder that a relative path starts from. */
  dataDir: string
  /** In DuckDB's words, per database. */
  memoryLimit: string
  spillLimit: string
  threads: number
}

/** One connection of one transfer, with a transaction begun. */
export interface DuckdbSession {
  connection: DuckDBConnection
  /** Past here a stop is not heeded any more. */
  commit(): Promise<void>
}

/**
 * Opens a database, in memory when `database` is empty, and a transaction for `using`. A stop interrupts what
 * runs. What was not committed is gone when the connection is closed.
 */
export async function onDuckdb<T>(
  database: string,
  about: { side: Side; stop: Stop; limits: DuckdbLimits },
  using: (session: DuckdbSession) => Promise<T>,
): Promise<T> {
  const { side, stop } = about
  let instance: DuckDBInstance | undefined
  let connection: DuckDBConnection | undefined
  let asking: NodeJS.Timeout | undefined
  const interrupt = () => {
    connection?.interrupt()
    // One that comes between two statements is lost: asked again until the call has ended.
    asking = setInterval(() => connection?.interrupt(), 50)
  }
  stop.signal.addEventListener('abort', interrupt)
  try {
    stop.throwIfStopped()
    instance = await open(database, about.limits)
    connection = await instance.connect()
    const held = connection
    await connection.run(side === 'source' ? 'BEGIN TRANSACTION READ ONLY' : 'BEGIN TRANSACTION')
    stop.throwIfStopped()
    return await using({
      connection,
      async commit() {
        stop.throwIfStopped()
        stop.signal.removeEventListener('abort', interrupt)
        await held.run('COMMIT')
      },
    })
  } catch (error) {
    throw duckdbFailure(error, side)
  } finally {
    clearInterval(asking)
    stop.signal.removeEventListener('abort', interrupt)
    connection?.closeSync()
    instance?.closeSync()
  }
}

/**
 * A file is opened by way of the process's cache: another tool of this worker may have it open, and two
 * instances on one file destroy it. The cache takes one set of options for a file, so they are set afterwards.
 */
async function open(database: string, limits: DuckdbLimits): Promise<DuckDBInstance> {
  const path = await pathOf(database, limits.dataDir)
  const settings = {
    memory_limit: limits.memoryLimit,
    max_temp_directory_size: limits.spillLimit,
    threads: String(limits.threads),
    autoinstall_known_extensions: 'false',
  }
  if (path === null) return DuckDBInstance.create(':memory:', settings)
  const instance = await DuckDBInstance.fromCache(path)
  try {
    const connection = await instance.connect()
    for (const [name, value] of Object.entries(settings)) {
      await connection.run(`SET GLOBAL ${name} = '${value.replaceAll("'", "''")}'`)
    }
    connection.closeSync()
    return instance
  } catch (error) {
    instance.closeSync()
    throw error
  }
}

/** The one absolute path of a database, whatever links lead to it; null for one in memory. */
async function pathOf(database: string, dataDir: string): Promise<string | null> {
  const given = database.trim()
  if (given === '' || given.startsWith(':memory:')) return null
  // At least two letters: one and a colon is a drive.
  if (/^[a-z][a-z0-9+.-]+:/i.test(given) || given.includes('\0'))
    throw new ToolError('schema', `"database" of duckdb is the path of a file; seen: "${given}".`)
  const path = resolve(dataDir, given)
  try {
    return await realpath(path)
  } catch {
    // Not there yet: its folder may be, by way of a link. If not, DuckDB says so.
    const folder = await realpath(dirname(path)).catch(() => dirname(path))
    return join(folder, basename(path))
  }
}

import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { isFatal, openFailure } from './failures.ts'

export interface InstanceLimits {
  /** In DuckDB's words, per database. */
  memoryLimit: string
  spillLimit: string
  threads: number
  /** Databases in files that are kept open. */
  maxDatabases: number
  /** Milliseconds an unused one is kept open; as long, no other process can open it. */
  idleMs: number
}

/** A connection, and what to do when the call is over. */
export interface Lent {
  connection: DuckDBConnection
  /** `error` is what the call ended with, if it failed. */
  giveBack(error?: unknown): void
}

/**
 * Open databases. One in memory is made for each call, the next one ahead of time; one in a file is opened
 * once, because DuckDB lets one process have it, and shared by calls through connections of their own.
 */
export interface Instances {
  connect(path: string | null): Promise<Lent>
  close(): Promise<void>
}

interface Open {
  instance: Promise<DuckDBInstance>
  users: number
  idle?: NodeJS.Timeout
}

export function openInstances(limits: InstanceLimits): Instances {
  const files = new Map<string, Open>()
  let spare: Promise<DuckDBInstance> | undefined

  const settings = {
    memory_limit: limits.memoryLimit,
    max_temp_directory_size: limits.spillLimit,
    threads: String(limits.threads),
    autoinstall_known_extensions: 'false',
  }

  /**
   * By way of the process's cache: another tool of this worker may have the file open, and two instances on
   * one file destroy it. The cache takes one set of options for a file, so they are set afterwards.
   */
  async function openFile(path: string): Promise<DuckDBInstance> {
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

  async function inMemory(): Promise<Lent> {
    const making = spare ?? DuckDBInstance.create(':memory:', settings)
    spare = DuckDBInstance.create(':memory:', settings)
    spare.catch(() => {
      spare = undefined
    })
    const instance = await making.catch((error: unknown) => {
      throw openFailure(error, null)
    })
    const connection = await instance.connect()
    return {
      connection,
      giveBack() {
        connection.closeSync()
        instance.closeSync()
      },
    }
  }

  async function inFile(path: string): Promise<Lent> {
    const open = files.get(path) ?? { instance: openFile(path), users: 0 }
    files.set(path, open)
    clearTimeout(open.idle)
    open.users += 1
    try {
      const connection = await (await open.instance).connect()
      return {
        connection,
        giveBack(error) {
          connection.closeSync()
          open.users -= 1
          // One that DuckDB has given up on would fail every later call.
          if (isFatal(error)) forget(path, open)
          else if (open.users === 0) rest(path, open)
        },
      }
    } catch (error) {
      open.users -= 1
      if (files.get(path) === open) files.delete(path)
      throw openFailure(error, path)
    }
  }

  function rest(path: string, open: Open): void {
    open.idle = setTimeout(() => forget(path, open), limits.idleMs)
    open.idle.unref()
    // The one that was opened first goes first.
    for (const [other, unused] of files) {
      if (files.size <= limits.maxDatabases) return
      if (unused.users === 0) forget(other, unused)
    }
  }

  function forget(path: string, open: Open): void {
    clearTimeout(open.idle)
    if (files.get(path) === open) files.delete(path)
    void open.instance.then(
      (instance) => instance.closeSync(),
      () => {},
    )
  }

  return {
    connect: (path) => (path === null ? inMemory() : inFile(path)),
    async close() {
      const open = [...files.values()].map(({ instance }) => instance)
      if (spare !== undefined) open.push(spare)
      spare = undefined
      for (const { idle } of files.values()) clearTimeout(idle)
      files.clear()
      for (const one of await Promise.allSettled(open)) if (one.status === 'fulfilled') one.value.closeSync()
    },
  }
}

import { CONTRACT, defineTool, type Tool, ToolError } from '@noetl/core'
import type { Engine } from './engine.ts'
import { input, output } from './input.ts'

export interface DuckdbToolOptions {
  /** Folder that a relative `database` starts from. Default: the working directory of the worker. */
  dataDir?: string
  /** Memory of one database, in DuckDB's words. Default `1GiB`. */
  memoryLimit?: string
  /** Disk that one database may spill to beyond its memory, in DuckDB's words. Default `4GiB`. */
  spillLimit?: string
  /** Threads of one database. Default 2. */
  threads?: number
  /**
   * Calls that run at a time; others wait. Default 2. Each keeps one of the process's four libuv threads,
   * which name look-ups and file reads need too.
   */
  maxRunning?: number
  /** File databases kept open at a time. Default 8. */
  maxDatabases?: number
  /** Milliseconds a file database is kept open unused; as long, no other process can open it. Default 10,000. */
  idleMs?: number
  /** Rows of one call, over all its statements. Default 100,000. */
  maxRows?: number
  /** Bytes of one call's values and their names, about as JSON, over all its statements. Default 32 MiB. */
  maxBytes?: number
}

/** The duckdb tool: runs its statements in order on one connection, in memory or on a file. */
export function duckdbTool(options: DuckdbToolOptions = {}): Tool<typeof input, typeof output> {
  return makeTool('duckdb', options)
}

/** The ducklake tool: the same, with the DuckLake catalog that the step names attached and in use. */
export function ducklakeTool(options: DuckdbToolOptions = {}): Tool<typeof input, typeof output> {
  return makeTool('ducklake', options)
}

function makeTool(
  kind: 'duckdb' | 'ducklake',
  options: DuckdbToolOptions,
): Tool<typeof input, typeof output> {
  let engine: Promise<Engine> | undefined
  let closed = false
  return defineTool({
    kind,
    contract: CONTRACT,
    input,
    output,
    textFields: ['command', 'query', 'commands'],
    effect: 'idempotent',
    async run(fields, call) {
      call.signal.throwIfAborted()
      if (closed) throw new ToolError('cancelled', `The ${kind} tool is closed: its worker stops.`)
      engine ??= loadEngine(options, kind === 'ducklake').catch((error: unknown) => {
        // What kept it from loading may pass; kept, it would fail every later call of this worker.
        engine = undefined
        throw error
      })
      return (await engine).run(fields, call)
    },
    async close() {
      closed = true
      // One that never loaded has nothing to close.
      const loaded = await engine?.catch(() => undefined)
      await loaded?.close()
    },
  })
}

/** The native library is big: a worker that runs no duckdb step never loads it. */
async function loadEngine(options: DuckdbToolOptions, lake: boolean): Promise<Engine> {
  try {
    const { openEngine } = await import('./engine.ts')
    return openEngine(options, lake)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new ToolError(
      'tool_error',
      `DuckDB's native library cannot be loaded on ${process.platform}-${process.arch}: ${why}. Reinstall @noetl/tool-duckdb on this machine.`,
      { cause },
    )
  }
}

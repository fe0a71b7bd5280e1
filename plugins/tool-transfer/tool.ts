import { CONTRACT, defineTool, type JsonObject, type Tool, type ToolCall } from '@noetl/core'
import type { DuckdbLimits } from './duckdb-session.ts'
import { withHttp } from './http-source.ts'
import { input, output } from './input.ts'
import { findSettings } from './pg-settings.ts'
import { withPostgres } from './pg-source.ts'
import { writePostgres } from './pg-target.ts'
import { namesOf, type Plan, readPlan } from './plan.ts'
import type { Delivery, Row, Source } from './rows.ts'
import { makeSlots } from './slots.ts'
import { type Stop, stopOf } from './stop.ts'

export interface TransferToolOptions {
  /** Bytes of a JSON answer, which is read whole. Default 32 MiB. */
  maxResponseBytes?: number
  /** Bytes of one line of an NDJSON answer, which is read by lines. Default 8 MiB. */
  maxLineBytes?: number
  /** About the bytes after which a batch is cut, whatever `batch_size` says. Default 4 MiB. */
  maxBatchBytes?: number
  /** Milliseconds a connection to Postgres may take. Default 10,000. */
  connectMs?: number
  /** Folder that a relative `database` starts from. Default: the working directory of the worker. */
  dataDir?: string
  /** Memory of one DuckDB database, in DuckDB's words. Default `1GiB`. */
  memoryLimit?: string
  /** Disk that one DuckDB database may spill to, in DuckDB's words. Default `4GiB`. */
  spillLimit?: string
  /** Threads of one DuckDB database. Default 2. */
  threads?: number
  /** Transfers from or to DuckDB at a time; others wait. Each may hold one of the process's four libuv threads. Default 1. */
  maxDuckdb?: number
}

/** The transfer tool: rows from one place to a table in another, in batches, all or nothing. */
export function transferTool(options: TransferToolOptions = {}): Tool<typeof input, typeof output> {
  const slots = makeSlots(options.maxDuckdb ?? 1)
  const closing = new AbortController()
  const running = new Set<Promise<unknown>>()

  async function transfer(call: ToolCall, about: About): Promise<JsonObject> {
    const startedAt = performance.now()
    const { plan, stop } = about
    const count = { rows: 0, batches: 0 }
    const usesDuckdb = plan.source.type === 'duckdb' || plan.target.type === 'duckdb'
    const leave = usesDuckdb ? await slots.take(stop) : () => {}
    try {
      return await withSource(call, about, async (source) => {
        const names = namesOf(plan, source)
        await write(call, about, { names, columns: source.columns, batches: counted(source, stop, count) })
        return {
          status: 'success',
          rows_transferred: count.rows,
          columns: names,
          batches: count.batches,
          source: source.about,
          target: { type: plan.target.type, table: plan.target.table.join('.'), mode: plan.target.mode },
          elapsed: Math.round(performance.now() - startedAt) / 1000,
        }
      })
    } finally {
      leave()
    }
  }

  return defineTool({
    kind: 'transfer',
    contract: CONTRACT,
    input,
    output,
    effect: 'unsafe',
    async run(fields, call) {
      const plan = readPlan(fields)
      const stop = stopOf(call, { seconds: plan.seconds, closing: closing.signal })
      const work = transfer(call, { plan, stop, options })
      const ended = work.then(
        () => {},
        () => {},
      )
      running.add(ended)
      void ended.then(() => running.delete(ended))
      try {
        return await Promise.race([work, stop.gaveUp])
      } catch (error) {
        stop.throwIfStopped()
        throw error
      } finally {
        stop.dispose()
      }
    },
    async close() {
      closing.abort()
      await Promise.all(running)
    },
  })
}

interface About {
  plan: Plan
  stop: Stop
  options: TransferToolOptions
}

async function withSource<T>(
  call: ToolCall,
  { plan, stop, options }: About,
  use: (source: Source) => Promise<T>,
): Promise<T> {
  const { source, seconds } = plan
  const wanted = plan.mapping?.map(({ field }) => field) ?? null
  const batch = { rows: plan.batchRows, bytes: options.maxBatchBytes ?? 4 * 1024 * 1024 }
  const common = { stop, wanted, batch }
  switch (source.type) {
    case 'http': {
      const { maxResponseBytes = 32 * 1024 * 1024, maxLineBytes = 8 * 1024 * 1024 } = options
      const limits = { maxBytes: maxResponseBytes, maxLineBytes }
      return withHttp(source.fields, { ...common, call, limits }, use)
    }
    case 'postgres': {
      const settings = await findSettings(source.auth, (alias) => call.credentials(alias))
      const { connectMs = 10_000 } = options
      return withPostgres(source, { ...common, settings, seconds, connectMs }, use)
    }
    case 'duckdb': {
      // The native library is big: a worker that transfers nothing from or to DuckDB never loads it.
      const { withDuckdb } = await import('./duckdb-source.ts')
      return withDuckdb(source, { ...common, limits: duckdbLimits(options) }, use)
    }
    default:
      return source satisfies never
  }
}

async function write(call: ToolCall, { plan, stop, options }: About, delivery: Delivery): Promise<void> {
  const { target, seconds } = plan
  if (target.type === 'duckdb') {
    const { writeDuckdb } = await import('./duckdb-target.ts')
    return writeDuckdb(target, { stop, limits: duckdbLimits(options) }, delivery)
  }
  const settings = await findSettings(target.auth, (alias) => call.credentials(alias))
  const { connectMs = 10_000 } = options
  return writePostgres(target, { settings, stop, seconds, connectMs }, delivery)
}

async function* counted(
  { batches }: Source,
  stop: Stop,
  count: { rows: number; batches: number },
): AsyncGenerator<Row[], void, undefined> {
  for await (const rows of batches) {
    stop.throwIfStopped()
    count.batches += 1
    count.rows += rows.length
    yield rows
  }
}

function duckdbLimits(options: TransferToolOptions): DuckdbLimits {
  return {
    dataDir: options.dataDir ?? process.cwd(),
    memoryLimit: options.memoryLimit ?? '1GiB',
    spillLimit: options.spillLimit ?? '4GiB',
    threads: options.threads ?? 2,
  }
}

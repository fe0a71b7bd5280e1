import type { DuckDBConnection } from '@duckdb/node-api'
import { type Json, type JsonObject, type ToolCall, ToolError } from '@noetl/core'
import { attachAll } from './attach.ts'
import { findDatabase } from './database.ts'
import { isEmptyText, parseFailure, statementFailure } from './failures.ts'
import type { DuckdbInput } from './input.ts'
import { openInstances } from './instances.ts'
import { attachLake } from './lake.ts'
import { type Intake, runStatement, type StatementResult } from './run-statement.ts'
import { makeSlots } from './slots.ts'
import { findSources, findValues, type Source } from './sources.ts'
import { type Stop, stopOf } from './stop.ts'
import type { DuckdbToolOptions } from './tool.ts'

/** The part of the tool that needs the native library. */
export interface Engine {
  run(fields: DuckdbInput, call: ToolCall): Promise<JsonObject>
  close(): Promise<void>
}

const DEFAULT_TIMEOUT_SECONDS = 300

/** With `lake`, statements are about the DuckLake catalog that the step names. */
export function openEngine(options: DuckdbToolOptions, lake = false): Engine {
  const lakeDir = lake ? (options.dataDir ?? process.cwd()) : undefined
  const { maxRows = 100_000, maxBytes = 32 * 1024 * 1024, maxRunning = 2 } = options
  const instances = openInstances({
    memoryLimit: options.memoryLimit ?? '1GiB',
    spillLimit: options.spillLimit ?? '4GiB',
    threads: options.threads ?? 2,
    maxDatabases: options.maxDatabases ?? 8,
    idleMs: options.idleMs ?? 10_000,
  })
  const slots = makeSlots(maxRunning)
  const closing = new AbortController()
  const running = new Set<Promise<unknown>>()

  async function lend(
    fields: DuckdbInput,
    stop: Stop,
    use: (connection: DuckDBConnection) => Promise<JsonObject>,
  ) {
    const { connection, giveBack } = await instances.connect(
      await findDatabase(fields, options.dataDir ?? process.cwd()),
    )
    let asking: NodeJS.Timeout | undefined
    const interrupt = () => {
      connection.interrupt()
      // One that comes between two statements is lost: asked again until the call has ended.
      asking = setInterval(() => connection.interrupt(), 50)
    }
    stop.signal.addEventListener('abort', interrupt)
    let failure: unknown
    try {
      stop.throwIfStopped()
      return await use(connection)
    } catch (error) {
      failure = error
      throw error
    } finally {
      clearInterval(asking)
      stop.signal.removeEventListener('abort', interrupt)
      giveBack(failure)
    }
  }

  return {
    async run(fields, call) {
      const sources = await findSources(fields, call)
      const seconds = Number(fields.timeout ?? fields.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS)
      const stop = stopOf(call, { seconds, closing: closing.signal })
      try {
        const leave = await slots.take(stop)
        const intake: Intake = { rows: 0, bytes: 0, maxRows, maxBytes }
        const work = lend(fields, stop, (connection) =>
          runAll(connection, sources, { fields, call, stop, intake, lakeDir }),
        )
        // A statement that does not heed its interrupt keeps its slot and its thread until it ends.
        const ended = work.then(leave, leave)
        running.add(ended)
        void ended.then(() => running.delete(ended))
        return await Promise.race([work, stop.gaveUp])
      } finally {
        stop.dispose()
      }
    },
    async close() {
      closing.abort()
      await Promise.all(running)
      await instances.close()
    },
  }
}

/** Runs every statement of every text in order, on one connection; stops at the first that fails. */
async function runAll(
  connection: DuckDBConnection,
  sources: Source[],
  {
    fields,
    call,
    stop,
    intake,
    lakeDir,
  }: { fields: DuckdbInput; call: ToolCall; stop: Stop; intake: Intake; lakeDir: string | undefined },
): Promise<JsonObject> {
  const values = findValues(fields)
  const { throwIfStopped } = stop
  const auth = (fields.auth ?? fields.credential) as JsonObject | string | null | undefined
  const { credentials } = call
  // A credential alone is that of the catalog.
  const attached = lakeDir !== undefined && typeof auth === 'string' ? null : auth
  const secrets = await attachAll(connection, attached, credentials)
  if (lakeDir !== undefined) {
    secrets.push(...(await attachLake(connection, fields, { dataDir: lakeDir, credentials })))
  }
  const params = Array.isArray(values)
    ? { list: values }
    : { named: { ...(fields.input as JsonObject), ...values } }
  const done: JsonObject = {}
  let last: StatementResult | undefined
  let ordinal = 0
  for (const source of sources) {
    const statements = await connection.extractStatements(source.text).catch((error: unknown) => {
      if (isEmptyText(error)) return { count: 0, prepare: () => Promise.reject(error) }
      if (ordinal === 0) throw parseFailure(error, source)
      throw statementFailure(error, { place: `${source.name}: `, result: done, secrets })
    })
    for (let index = 0; index < statements.count; index++, ordinal++) {
      throwIfStopped()
      try {
        last = await runStatement(statements, index, { params, intake, throwIfStopped })
      } catch (error) {
        throwIfStopped()
        if (error instanceof ToolError) throw error
        const result: Json = ordinal === 0 ? null : done
        throw statementFailure(error, { place: `command_${ordinal}: `, result, secrets })
      }
      const { rows, columns, row_count } = last
      done[`command_${ordinal}`] = { status: 'success', rows, columns, row_count }
    }
  }
  if (last === undefined) throw new ToolError('schema', 'The SQL holds no statement, only comments.')
  return { ...done, ...last }
}

import { CONTRACT, defineTool, type JsonObject, type Tool, ToolError } from '@noetl/core'
import pg from 'pg'
import { openOnce, refuseUnfit } from './exactly-once.ts'
import { statementFailure } from './failures.ts'
import { input, output } from './input.ts'
import { openPools } from './pools.ts'
import { type Intake, runStatement, type StatementResult } from './run-statement.ts'
import { openSessions, type Session } from './session.ts'
import { findSettings, type Settings } from './settings.ts'
import { failingLine, findStatements, type Placed } from './sources.ts'

export interface PostgresToolOptions {
  /** Connections per credential. Default 16. */
  maxConnections?: number
  /** Credentials with open connections at a time. Default 32. */
  maxPools?: number
  /** Milliseconds a connection is kept open unused. Default 30,000. */
  idleMs?: number
  /** Milliseconds a new connection may take. Default 10,000. */
  connectMs?: number
  /** Rows of one call, over all its statements. Default 100,000. */
  maxRows?: number
  /** Characters of one call's values, over all its statements. Default 64 Mi. */
  maxBytes?: number
  /** Where calls with `exactly_once` leave their markers: a table, or schema.table. Default noetl_completed. */
  completedTable?: string
  /** Bytes of the result of a call with `exactly_once`. Default 1 Mi. */
  maxRecordedBytes?: number
}

const DEFAULT_TIMEOUT_SECONDS = 60

/** The postgres tool: runs each statement by itself, in order, on one connection. */
export function postgresTool(options: PostgresToolOptions = {}): Tool<typeof input, typeof output> {
  const { maxConnections = 16, maxPools = 32, idleMs = 30_000, connectMs = 10_000 } = options
  const { maxRows = 100_000, maxBytes = 64 * 1024 * 1024 } = options
  const { completedTable = 'noetl_completed', maxRecordedBytes = 1024 * 1024 } = options
  const once = openOnce({ table: completedTable, maxBytes: maxRecordedBytes })
  const pools = openPools({ maxConnections, maxPools, idleMs, connectMs })
  const sessions = openSessions(pools)
  return defineTool({
    kind: 'postgres',
    contract: CONTRACT,
    input,
    output,
    textFields: ['command', 'query', 'commands'],
    effect: 'idempotent',
    async run(fields, call) {
      const statements = await findStatements(fields, call)
      const settings = await findSettings(fields, (alias) => call.credentials(alias))
      const seconds = Number(fields.timeout ?? fields.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS)
      const limits = { maxRows, maxBytes }
      if (!fields.exactly_once) {
        return sessions.within({ settings, seconds, call }, (session) =>
          runAll(statements, session, { settings, limits, single: false }),
        )
      }
      refuseUnfit(statements)
      return sessions.within({ settings, seconds, call }, (session) =>
        once.run({ session, settings, call }, () =>
          runAll(statements, session, { settings, limits, single: true }),
        ),
      )
    },
    close: () => pools.close(),
  })
}

interface Limits {
  maxRows: number
  maxBytes: number
}

async function runAll(
  statements: readonly Placed[],
  session: Session,
  { settings, limits, single }: { settings: Settings; limits: Limits; single: boolean },
): Promise<JsonObject> {
  const done: JsonObject = {}
  let last: StatementResult = { rows: [], columns: [], row_count: 0, affected_rows: 0 }
  const intake: Intake = { rows: 0, bytes: 0, exceeded: false, ...limits, onExceeded: () => session.cancel() }
  for (const [ordinal, statement] of statements.entries()) {
    session.throwIfStopped()
    session.note(statement)
    try {
      last = await runStatement(session.client, { ...statement, single }, intake)
    } catch (error) {
      if (intake.exceeded) throw tooMuch(ordinal, intake)
      session.throwIfStopped()
      const position = error instanceof pg.DatabaseError ? error.position : undefined
      const line = failingLine(statement, position)
      const result = ordinal === 0 ? null : done
      throw statementFailure(error, { ordinal, line, result, settings })
    }
    if (intake.exceeded) throw tooMuch(ordinal, intake)
    const { rows, columns, row_count } = last
    done[`command_${ordinal}`] = { status: 'success', rows, columns, row_count }
  }
  if (!single && session.inTransaction()) {
    throw new ToolError(
      'tool_error',
      'The SQL began a transaction and did not end it, so it was rolled back: add COMMIT.',
      { result: done },
    )
  }
  return { ...done, ...last }
}

function tooMuch(ordinal: number, intake: Intake): ToolError {
  const limit = intake.rows > intake.maxRows ? `${intake.maxRows} rows` : `${intake.maxBytes} characters`
  return new ToolError(
    'tool_error',
    `command_${ordinal} gives more than ${limit}, the limit for one call: add LIMIT, aggregate in SQL, or write into a table with INSERT ... SELECT.`,
  )
}

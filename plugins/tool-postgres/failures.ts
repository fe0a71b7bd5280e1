import { type ErrorKind, type Json, ToolError } from '@noetl/core'
import pg from 'pg'
import type { Settings } from './settings.ts'

/** Kinds by SQLSTATE, or by its class of two; the longer entry wins. */
const KINDS: Readonly<Record<string, ErrorKind>> = {
  '08': 'db_connection',
  '23': 'db_constraint',
  '28': 'auth',
  '3D': 'schema',
  '3F': 'schema',
  '40': 'db_deadlock',
  '42': 'schema',
  '42501': 'auth',
  '53': 'db_connection',
  '53100': 'storage_quota',
  '55P03': 'db_timeout',
  '57014': 'db_timeout',
  '57P': 'db_connection',
}

/** The kind of failure that an SQLSTATE stands for. */
export function kindOf(sqlstate: string): ErrorKind {
  return KINDS[sqlstate] ?? KINDS[sqlstate.slice(0, 3)] ?? KINDS[sqlstate.slice(0, 2)] ?? 'tool_error'
}

/**
 * The failure of a statement. The message has the server's words and its hint, not its detail, which
 * quotes rows, and never the SQL, which may hold a password.
 */
export function statementFailure(
  error: unknown,
  at: { ordinal: number; line: number; result: Json; settings: Settings },
): ToolError {
  const where = `command_${at.ordinal} (line ${at.line})`
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) {
    const message = error instanceof Error ? error.message : String(error)
    return new ToolError(
      'db_connection',
      `${where}: the connection to Postgres at ${endpoint(at.settings)} broke: ${message}`,
      { result: at.result, cause: error, ...systemCode(error) },
    )
  }
  const hint = error.hint === undefined ? '' : ` (${error.hint})`
  return new ToolError(kindOf(error.code), `${where}: ${error.message}${hint}`, {
    code: error.code,
    result: at.result,
    facets: { pg: { code: error.code, sqlstate: error.code } },
    // No cause: its detail and its where quote rows and SQL, and causes are logged whole.
  })
}

/** The failure of getting a connection. */
export function connectFailure(error: unknown, settings: Settings): ToolError {
  const message = error instanceof Error ? error.message : String(error)
  const who = `${settings.user}@${endpoint(settings)}/${settings.database}`
  if (error instanceof pg.DatabaseError && error.code !== undefined) {
    return new ToolError(kindOf(error.code), `Postgres refused ${who}: ${message}`, {
      code: error.code,
      facets: { pg: { code: error.code, sqlstate: error.code } },
    })
  }
  return new ToolError('db_connection', `No connection to Postgres as ${who}: ${describe(error)}`, {
    cause: error,
    ...systemCode(error),
  })
}

/** Host and port, as messages name a server. */
export function endpoint(settings: Settings): string {
  return `${settings.host}:${settings.port}`
}

/** Trying several addresses of a name fails with one error per address and no message of its own. */
function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

function systemCode(error: unknown): { code?: string } {
  return error instanceof Error && 'code' in error ? { code: String(error.code) } : {}
}

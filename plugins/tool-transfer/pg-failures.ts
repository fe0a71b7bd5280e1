import { type ErrorKind, ToolError } from '@noetl/core'
import pg from 'pg'
import type { Settings } from './pg-settings.ts'

/** Kinds by SQLSTATE, or by its class of two; the longer entry wins. */
const KINDS: Readonly<Record<string, ErrorKind>> = {
  '08': 'db_connection',
  '22': 'schema',
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

/** Which end of a transfer a database is. */
export type Side = 'source' | 'target'

/**
 * What Postgres or the connection said, as the call's failure. The message has the server's words, its hint
 * and the row, not its detail or its context, which quote whole rows.
 */
export function pgFailure(error: unknown, side: Side, settings: Settings): ToolError {
  if (error instanceof ToolError) return error
  const where = `${settings.user}@${settings.host}:${settings.port}/${settings.database}`
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) {
    const code = error instanceof Error && 'code' in error ? { code: String(error.code) } : {}
    return new ToolError(
      'db_connection',
      `${side}: the connection to Postgres as ${where}: ${describe(error)}.`,
      {
        cause: error,
        ...code,
      },
    )
  }
  const { code, message } = error
  const kind = KINDS[code] ?? KINDS[code.slice(0, 3)] ?? KINDS[code.slice(0, 2)] ?? 'tool_error'
  const hint = error.hint === undefined ? '' : ` (${error.hint})`
  const at = kind === 'auth' && code.startsWith('28') ? ` at ${where}` : ''
  return new ToolError(kind, `${side}: ${placeOf(error)}${message}${hint}${at}`, {
    code,
    facets: { pg: { code, sqlstate: code } },
  })
}

/**
 * The failure of a COMMIT. When it got no answer, nobody knows whether the rows are there: then it must not be
 * repeated without a look.
 */
export function commitFailure(error: unknown, settings: Settings): ToolError {
  const failure = pgFailure(error, 'target', settings)
  if (failure.kind !== 'db_connection') return failure
  return new ToolError(
    'db_connection',
    `${failure.message} This was in the midst of COMMIT: whether the rows are there is unknown, so look before another transfer.`,
    { retryable: false, cause: error, ...(failure.code === null ? {} : { code: failure.code }) },
  )
}

/** The row and column of a COPY, out of what Postgres says of the context. */
function placeOf({ where }: pg.DatabaseError): string {
  const [, line, column] = /^COPY .*?, line (\d+)(?:, column ([^:\n]+))?/m.exec(where ?? '') ?? []
  if (line === undefined) return ''
  return column === undefined ? `row ${line}: ` : `row ${line}, column ${column}: `
}

/** Trying several addresses of a name fails with one error per address and no message of its own. */
function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

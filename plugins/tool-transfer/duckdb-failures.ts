import { type ErrorKind, ToolError } from '@noetl/core'
import type { Side } from './pg-failures.ts'

/** Kinds by the class that DuckDB's message begins with. */
const KINDS: Readonly<Record<string, ErrorKind>> = {
  Binder: 'schema',
  Catalog: 'schema',
  Constraint: 'db_constraint',
  Conversion: 'schema',
  'Invalid Input': 'schema',
  HTTP: 'storage_access',
  IO: 'storage_access',
  Parser: 'schema',
  Syntax: 'schema',
  Permission: 'storage_access',
  'Out of Memory': 'storage_quota',
  'Out of Range': 'schema',
}

/**
 * What DuckDB said, as the call's failure: its first line; what follows are hints, and the SQL. It has no
 * cause: the whole message quotes the SQL, and causes are logged.
 */
export function duckdbFailure(error: unknown, side: Side, place = ''): ToolError {
  if (error instanceof ToolError) return error
  const message = error instanceof Error ? error.message : String(error)
  const line = message
    .replace(/^Failed to extract statements: /, '')
    .split('\n', 1)[0]!
    .trim()
  if (/Could not set lock|Conflicting lock/i.test(line)) {
    return new ToolError(
      'storage_access',
      `${side}: the database is held by another process: DuckDB lets one process at a time have a file.`,
      { retryable: true },
    )
  }
  // Two transactions on the same rows: the later one may simply be run again.
  if (/^TransactionContext Error: .*conflict/i.test(line))
    return new ToolError('db_deadlock', `${side}: ${place}${line}`)
  const [, kind = ''] = /^([A-Za-z ]+) Error: /.exec(line) ?? []
  return new ToolError(KINDS[kind] ?? 'tool_error', `${side}: ${place}${line}`)
}

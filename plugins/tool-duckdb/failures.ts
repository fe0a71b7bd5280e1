import { type ErrorKind, type Json, ToolError } from '@noetl/core'

/** Kinds by the class that DuckDB's message begins with. */
const KINDS: Readonly<Record<string, ErrorKind>> = {
  Binder: 'client_error',
  Catalog: 'client_error',
  Parser: 'client_error',
  Syntax: 'client_error',
  Constraint: 'db_constraint',
  HTTP: 'storage_access',
  IO: 'storage_access',
  Permission: 'storage_access',
  'Out of Memory': 'storage_quota',
}

const NOT_EXTRACTED = 'Failed to extract statements: '

/** What DuckDB said: its first line; what follows are hints, and the SQL, which may hold a secret. */
export function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const told = message.startsWith(NOT_EXTRACTED) ? message.slice(NOT_EXTRACTED.length) : message
  return told.split('\n', 1)[0]!.trim()
}

/** The kind of failure that DuckDB's words stand for. */
export function kindOf(line: string): ErrorKind {
  // Two transactions on the same rows: the later one may simply be run again.
  if (/^TransactionContext Error: .*conflict/i.test(line)) return 'db_deadlock'
  const [, kind = ''] = /^([A-Za-z ]+) Error: /.exec(line) ?? []
  return KINDS[kind] ?? 'tool_error'
}

/** The failure of a statement. It has no cause: DuckDB's whole message quotes the SQL, and causes are logged. */
export function statementFailure(
  error: unknown,
  at: { place: string; result: Json; secrets: readonly string[] },
): ToolError {
  const line = redact(firstLine(error), at.secrets)
  return new ToolError(kindOf(line), `${at.place}${line}`, { result: at.result })
}

/** The failure of reading a text as SQL: nothing of the step has run. */
export function parseFailure(error: unknown, source: { name: string }): ToolError {
  const [, line] = /\nLINE (\d+):/.exec(error instanceof Error ? error.message : '') ?? []
  const place = `${source.name}${line === undefined ? '' : `line ${line}`}`.trim()
  return statementFailure(error, { place: place === '' ? '' : `${place}: `, result: null, secrets: [] })
}

/** True for DuckDB's answer to a text without a statement in it: it has no words for that. */
export function isEmptyText(error: unknown): boolean {
  return firstLine(error) === 'Error in native callback'
}

/** True when DuckDB found a fault of its own or of the file, after which the open database only fails. */
export function isFatal(error: unknown): boolean {
  return /^(FATAL|INTERNAL) Error|database has been invalidated/i.test(firstLine(error))
}

/** The failure of opening a database. */
export function openFailure(error: unknown, path: string | null): ToolError {
  const line = firstLine(error)
  if (path === null) return new ToolError(kindOf(line), `A database in memory cannot be opened: ${line}`)
  if (/Could not set lock|Conflicting lock/i.test(line)) {
    const [, owner] = /\(PID (\d+)\)/.exec(line) ?? []
    const who = owner === undefined ? 'another process' : `another process (${owner})`
    return new ToolError(
      'storage_access',
      `The database ${path} is held by ${who}: DuckDB lets one process at a time write to a file. Try again later, or let one worker pool run the steps on it.`,
      { retryable: true },
    )
  }
  return new ToolError(kindOf(line), `The database ${path} cannot be opened: ${line}`)
}

/** Blots out secrets, also as DuckDB quotes them. */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) {
    if (secret === '') continue
    const escaped = secret.replaceAll('\\', '\\\\').replaceAll("'", "\\'")
    for (const form of [escaped, secret.replaceAll("'", "''"), secret]) clean = clean.replaceAll(form, '***')
  }
  return clean
}

import type { DuckDBExtractedStatements, DuckDBResult, DuckDBValue } from '@duckdb/node-api'
import { Decimal, type Json, type JsonObject, parseJson, ToolError, writeJson } from '@noetl/core'
import { plain } from './values.ts'

/** What one statement gave. */
export interface StatementResult {
  rows: JsonObject[]
  columns: string[]
  row_count: number
  affected_rows: number
}

/** Counts what a call has taken in over all its statements. */
export interface Intake {
  rows: number
  /** About as JSON. */
  bytes: number
  maxRows: number
  maxBytes: number
}

/** `params` of the step; by name those that the statement uses. */
export type Params = { list: Json[] } | { named: JsonObject }

/** DuckDB's numbers for what a statement gives back. */
const CHANGED_ROWS = 1
const NOTHING = 2

/** Runs one of several statements; reads its rows chunk by chunk, so that what is too much never is in memory. */
export async function runStatement(
  statements: Pick<DuckDBExtractedStatements, 'prepare'>,
  index: number,
  about: { params: Params; intake: Intake; throwIfStopped(): void },
): Promise<StatementResult> {
  const prepared = await statements.prepare(index)
  try {
    const { parameterCount } = prepared
    for (let at = 1; at <= parameterCount; at++) {
      prepared.bindValue(at, await bindable(boundValue(about.params, prepared.parameterName(at), at)))
    }
    const result = await prepared.stream()
    about.throwIfStopped()
    const given = await readRows(result, about)
    if (result.returnType !== CHANGED_ROWS && result.returnType !== NOTHING) return given
    // How many rows were changed comes as a row of its own.
    const count = Number(given.rows[0]?.Count ?? 0)
    return { rows: [], columns: [], row_count: count, affected_rows: count }
  } finally {
    prepared.destroySync()
  }
}

async function readRows(
  result: DuckDBResult,
  { intake, throwIfStopped }: { intake: Intake; throwIfStopped(): void },
): Promise<StatementResult> {
  const names = result.deduplicatedColumnNames()
  const json = result.columnTypes().map((type) => type.alias === 'JSON')
  const rows: JsonObject[] = []
  for (;;) {
    const chunk = await result.fetchChunk()
    throwIfStopped()
    if (chunk === null || chunk.rowCount === 0) break
    for (const values of chunk.getRows()) {
      const row: JsonObject = {}
      for (const [i, name] of names.entries()) {
        const value = plain(values[i])
        intake.bytes += name.length + (typeof value === 'string' ? value.length : 8)
        row[name] = json[i] && typeof value === 'string' ? parseJson(value) : value
      }
      intake.rows += 1
      if (intake.rows > intake.maxRows || intake.bytes > intake.maxBytes) throw tooMuch(intake)
      rows.push(row)
    }
  }
  return { rows, columns: names, row_count: rows.length, affected_rows: 0 }
}

function tooMuch(intake: Intake): ToolError {
  const limit = intake.rows > intake.maxRows ? `${intake.maxRows} rows` : `${intake.maxBytes} bytes`
  return new ToolError(
    'tool_error',
    `The SQL gives more than ${limit}, the limit for one call: add LIMIT, aggregate, or COPY it into a file.`,
  )
}

function boundValue(params: Params, name: string, at: number): Json {
  if ('list' in params) {
    if (at <= params.list.length) return params.list[at - 1]!
    throw new ToolError(
      'client_error',
      `The SQL has a parameter ${at}, and "params" has ${params.list.length} values.`,
    )
  }
  if (Object.hasOwn(params.named, name)) return params.named[name]!
  const there = Object.keys(params.named).join(', ') || 'none'
  throw new ToolError(
    'client_error',
    `The SQL has a parameter $${name}, which neither "params" nor "input" has; there are: ${there}.`,
  )
}

/** Lists and objects go in as their JSON text, numbers that DuckDB has no type for as their digits. */
async function bindable(value: Json): Promise<DuckDBValue> {
  if (value instanceof Decimal) return decimal(value)
  if (typeof value === 'object' && value !== null) return writeJson(value)
  if (typeof value === 'bigint') return BigInt.asIntN(128, value) === value ? value : String(value)
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value
}

async function decimal(value: Decimal): Promise<DuckDBValue> {
  const [, sign = '', whole = '', fraction = ''] = /^(-?)0*(\d*)\.?(\d*)$/.exec(value.text) ?? []
  const digits = whole + fraction
  if (digits === '' || digits.length > MOST_DIGITS) return value.text
  const { DuckDBDecimalValue } = await import('@duckdb/node-api')
  return new DuckDBDecimalValue(BigInt(`${sign}${digits}`), digits.length, fraction.length)
}

/** Digits of DuckDB's widest DECIMAL. */
const MOST_DIGITS = 38

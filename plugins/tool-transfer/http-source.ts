import { isNumber, isObject, type Json, type JsonObject, type ToolCall, ToolError } from '@noetl/core'
import { Agent } from 'undici'
import { exchange, exchangeFailure, show } from './http-exchange.ts'
import { buildRequest } from './http-request.ts'
import type { TransferInput } from './input.ts'
import { documentRows, lineRows, type ReadLimits, valueAt } from './json-rows.ts'
import { type BatchLimits, type ColumnType, inBatches, peek, type Row, type Source, weigh } from './rows.ts'
import type { Stop } from './stop.ts'

const LINE_TYPES = new Set([
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonl',
  'application/jsonlines',
  'application/x-jsonlines',
])

/** Asks for rows, and gives them to `use`. Without `wanted`, the fields are those of the first batch. */
export async function withHttp<T>(
  fields: TransferInput['source'],
  about: {
    call: ToolCall
    stop: Stop
    wanted: readonly string[] | null
    batch: BatchLimits
    limits: ReadLimits
  },
  use: (source: Source) => Promise<T>,
): Promise<T> {
  const { call, stop, wanted, batch, limits } = about
  const format = fields.format ?? null
  if (format !== null && format !== 'json' && format !== 'ndjson')
    throw new ToolError('schema', `"source.format" is json or ndjson; seen: "${format}".`)
  const outgoing = await buildRequest(fields, (alias) => call.credentials(alias))
  const what = show(outgoing)
  // The time limit of a transfer is the step's; undici's own per phase would cut it short.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 0 } })
  try {
    stop.throwIfStopped()
    const { type, body } = await exchange(outgoing, { dispatcher, signal: stop.signal })
    const byLines = format === null ? LINE_TYPES.has(type) : format === 'ndjson'
    const pieces = byLines
      ? lineRows(body, { what, limits })
      : documentRows(body, { what, path: fields.data_path || null, limits })
    const { first, all } = await peek(inBatches(named(pieces), batch, weigh))
    const names = wanted ?? fieldsOf(first ?? [])
    const columns = names.map((name) => ({ name, type: typeOf(name, first ?? []) }))
    const batches = inOrder(all, names, wanted === null)
    return await use({ columns, batches, about: { type: 'http', url: what } })
  } finally {
    await dispatcher.destroy()
  }

  /** What breaks while rows are read is told as the source's. */
  async function* named(
    rows: AsyncGenerator<JsonObject[], void, undefined>,
  ): AsyncGenerator<JsonObject[], void, undefined> {
    try {
      yield* rows
    } catch (error) {
      throw exchangeFailure(outgoing, error)
    }
  }
}

function fieldsOf(rows: readonly JsonObject[]): string[] {
  return [...new Set(rows.flatMap((row) => Object.keys(row)))]
}

/** Objects as lists of values; a field that a row does not have is null. */
async function* inOrder(
  batches: AsyncIterable<JsonObject[]>,
  names: readonly string[],
  whole: boolean,
): AsyncGenerator<Row[], void, undefined> {
  const known = new Set(names)
  let ordinal = 0
  for await (const rows of batches) {
    yield rows.map((row) => {
      ordinal += 1
      if (!whole) return names.map((name) => valueAt(row, name) ?? null)
      for (const name of Object.keys(row)) if (!known.has(name)) throw newField(ordinal, name)
      return names.map((name) => (Object.hasOwn(row, name) ? row[name]! : null))
    })
  }
}

function newField(ordinal: number, name: string): ToolError {
  return new ToolError(
    'schema',
    `Row ${ordinal} has a field "${name}", which none of the first batch has: say with "mapping" which fields to transfer.`,
  )
}

/** What the values of a field in the first batch have in common. */
function typeOf(name: string, rows: readonly JsonObject[]): ColumnType {
  const values = rows.map((row) => valueAt(row, name) ?? null).filter((value) => value !== null)
  const all = (is: (value: Json) => boolean) => values.length > 0 && values.every(is)
  if (all((value) => typeof value === 'boolean')) return 'boolean'
  if (all((value) => Number.isSafeInteger(value) || isLong(value))) return 'bigint'
  if (all((value) => typeof value === 'number')) return 'double'
  if (all(isNumber)) return 'numeric'
  return values.some((value) => isObject(value) || Array.isArray(value)) ? 'json' : 'text'
}

/** True for what a 64-bit integer holds. */
function isLong(value: Json): boolean {
  return typeof value === 'bigint' && BigInt.asIntN(64, value) === value
}

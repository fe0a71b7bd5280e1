import { Decimal, type Json, ToolError } from '@noetl/core'

/** A value on its way: JSON, or the bytes of a blob. */
export type Cell = Json | Uint8Array

/** Values in the order of the columns. */
export type Row = Cell[]

/** What values of a source's column are, as far as a new table is to know. */
export type ColumnType =
  | 'boolean'
  | 'integer'
  | 'bigint'
  | 'double'
  | 'numeric'
  | 'text'
  | 'json'
  | 'bytes'
  | 'date'
  | 'time'
  | 'timestamp'
  | 'timestamptz'
  | 'uuid'
  | 'interval'
  | 'list'

export interface SourceColumn {
  name: string
  type: ColumnType
  /**
   * When set, texts are the database's own form of the value, which another database reads as it is and
   * without loss; this makes JSON of one where JSON is wanted.
   */
  toJson?: (text: string) => Json
}

/** An open source. The next batch is read when it is asked for, and not before. */
export interface Source {
  columns: SourceColumn[]
  batches: AsyncIterable<Row[]>
  /** What the result says of it. */
  about: Record<string, string>
}

/** What a target is given: columns of the source with the names they have there. */
export interface Delivery {
  names: string[]
  columns: SourceColumn[]
  batches: AsyncIterable<Row[]>
}

export interface BatchLimits {
  rows: number
  /** About, as text. One row may be more. */
  bytes: number
}

/** Cuts rows into batches: of so many, or fewer when they are big. */
export async function* inBatches<T>(
  pieces: AsyncIterable<T[]>,
  limits: BatchLimits,
  weigh: (row: T) => number,
): AsyncGenerator<T[], void, undefined> {
  let batch: T[] = []
  let bytes = 0
  for await (const piece of pieces) {
    for (const row of piece) {
      batch.push(row)
      bytes += weigh(row)
      if (batch.length < limits.rows && bytes < limits.bytes) continue
      yield batch
      batch = []
      bytes = 0
    }
  }
  if (batch.length > 0) yield batch
}

/** The first batch ahead of time, and all of them with it. */
export async function peek<T>(
  batches: AsyncGenerator<T, void, undefined>,
): Promise<{ first: T | undefined; all: AsyncGenerator<T, void, undefined> }> {
  const first = await batches.next()
  async function* all(): AsyncGenerator<T, void, undefined> {
    if (first.done === true) return
    yield first.value
    yield* batches
  }
  return { first: first.done === true ? undefined : first.value, all: all() }
}

/** Which of the columns that SQL gave are wanted, by position; a name may be as SQL folds it, in lower case. */
export function pickColumns(given: readonly SourceColumn[], fields: readonly string[] | null): number[] {
  const names = given.map(({ name }) => name)
  return (fields ?? names).map((field) => {
    const name = names.includes(field) ? field : field.toLowerCase()
    const place = names.indexOf(name)
    if (place === -1)
      throw new ToolError('schema', `source: there is no column "${field}"; there are: ${names.join(', ')}.`)
    if (names.lastIndexOf(name) !== place)
      throw new ToolError('schema', `source: there are several columns "${field}": name them apart with AS.`)
    return place
  })
}

/** About the bytes of a value. */
export function weigh(value: Cell): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null || value instanceof Decimal) return 8
  if (value instanceof Uint8Array) return value.length
  let sum = 0
  for (const part of Object.values(value)) sum += 8 + weigh(part)
  return sum
}

/** A value as JSON. */
export function toJson(cell: Cell, column: SourceColumn): Json {
  if (cell instanceof Uint8Array) return Buffer.from(cell).toString('base64')
  if (typeof cell === 'string' && column.toJson !== undefined) return column.toJson(cell)
  // JSON has no NaN and no infinity.
  return typeof cell === 'number' && !Number.isFinite(cell) ? null : cell
}

/** The bytes that a text stands for: hex after `\x`, base64 otherwise. */
export function toBytes(text: string): Buffer | null {
  if (text.startsWith('\\x')) {
    return /^(?:[0-9a-f]{2})*$/i.test(text.slice(2)) ? Buffer.from(text.slice(2), 'hex') : null
  }
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(text)
    ? Buffer.from(text, 'base64')
    : null
}

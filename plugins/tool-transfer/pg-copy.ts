import { type Json, ToolError, writeJson } from '@noetl/core'
import type { TargetColumn } from './pg-table.ts'
import { type Cell, type Row, type SourceColumn, toBytes, toJson } from './rows.ts'

/** Characters of rows that go to the server at a time. */
const CHUNK = 64 * 1024

/** How one column goes over. */
export interface Lane {
  from: SourceColumn
  to: TargetColumn
  /** Part of the key of an upsert, and never null. */
  key: boolean
}

/** Rows in the text format of COPY, in chunks. Throws ToolError with row and column for what has no form there. */
export async function* copyText(
  batches: AsyncIterable<Row[]>,
  lanes: readonly Lane[],
): AsyncGenerator<Buffer, void, undefined> {
  let text = ''
  let ordinal = 0
  for await (const rows of batches) {
    for (const row of rows) {
      ordinal += 1
      for (const [at, lane] of lanes.entries()) {
        if (at > 0) text += '\t'
        try {
          text += field(row[at]!, lane)
        } catch (error) {
          if (!(error instanceof Misfit)) throw error
          throw new ToolError(error.kind, `target: row ${ordinal}, column ${lane.to.name}: ${error.message}`)
        }
      }
      text += '\n'
      if (text.length < CHUNK) continue
      yield Buffer.from(text)
      text = ''
    }
  }
  if (text !== '') yield Buffer.from(text)
}

class Misfit extends Error {
  readonly kind: 'schema' | 'db_constraint'
  constructor(message: string, kind: 'schema' | 'db_constraint' = 'schema') {
    super(message)
    this.kind = kind
  }
}

function field(cell: Cell, { from, to, key }: Lane): string {
  if (cell === null) {
    if (key) throw new Misfit('it is of the key of an upsert and has no value.', 'db_constraint')
    return '\\N'
  }
  const text = plain(cell, from, to)
  if (text.includes('\0'))
    throw new Misfit('the value holds the character U+0000, which Postgres cannot store.')
  if (!text.isWellFormed()) throw new Misfit('the value holds half of a surrogate pair, which is no text.')
  return text.replace(/[\\\n\r\t]/g, (char) => ESCAPES[char]!)
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** A value in the form in which Postgres reads its column. */
function plain(cell: Exclude<Cell, null>, from: SourceColumn, to: TargetColumn): string {
  if (to.takes === 'json') {
    // The text of a database's JSON goes over unread, long numbers and all.
    return from.type === 'json' && typeof cell === 'string' && from.toJson !== undefined
      ? cell
      : writeJson(toJson(cell, from))
  }
  if (cell instanceof Uint8Array) {
    const bytes = Buffer.from(cell)
    return to.takes === 'bytes' ? `\\x${bytes.toString('hex')}` : bytes.toString('base64')
  }
  if (typeof cell === 'string') {
    if (to.takes !== 'bytes' || from.toJson !== undefined) return cell
    const bytes = toBytes(cell)
    if (bytes === null) throw new Misfit('a text for bytes is base64, or hex after \\x; this is neither.')
    return `\\x${bytes.toString('hex')}`
  }
  if (Array.isArray(cell) && to.takes === 'array') return arrayText(cell)
  if (Array.isArray(cell) && to.takes === 'json array') return `{${cell.map(jsonElement).join(',')}}`
  return typeof cell === 'object' ? writeJson(cell) : String(cell)
}

/** A list as the text of an array: elements in double quotes, lists of lists as further dimensions. */
function arrayText(list: Json[]): string {
  return `{${list.map(element).join(',')}}`
}

function element(value: Json): string {
  if (value === null) return 'NULL'
  if (Array.isArray(value)) return arrayText(value)
  return inQuotes(typeof value === 'object' ? writeJson(value) : String(value))
}

function jsonElement(value: Json): string {
  return value === null ? 'NULL' : inQuotes(writeJson(value))
}

function inQuotes(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`
}

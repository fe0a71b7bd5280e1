import type { Readable } from 'node:stream'
import { isObject, type Json, type JsonObject, parseJson, ToolError } from '@noetl/core'

export interface ReadLimits {
  /** Of an answer that is read whole. */
  maxBytes: number
  /** Of one line of an answer that is read by lines. */
  maxLineBytes: number
}

/** The rows of an answer that is one JSON document: read whole, as JSON cannot be used before its end. */
export async function* documentRows(
  body: Readable,
  { what, path, limits }: { what: string; path: string | null; limits: ReadLimits },
): AsyncGenerator<JsonObject[], void, undefined> {
  const text = decode(await readAll(body, what, limits.maxBytes), what)
  let document: Json
  try {
    document = parseJson(text)
  } catch {
    // No cause: the parser's words quote the text.
    throw new ToolError(
      'parse',
      `${what}: the answer is no JSON document; if it has one on each line, set "source.format: ndjson".`,
    )
  }
  const rows = findList(document, path, what)
  const wrong = rows.findIndex((row) => !isObject(row))
  if (wrong !== -1) throw noObject(what, wrong + 1, rows[wrong]!)
  yield rows as JsonObject[]
}

/** The rows of an answer that has one JSON object a line, as they come. */
export async function* lineRows(
  body: Readable,
  { what, limits }: { what: string; limits: ReadLimits },
): AsyncGenerator<JsonObject[], void, undefined> {
  let ordinal = 0
  let count = 0
  for await (const lines of wholeLines(body, what, limits.maxLineBytes)) {
    const rows: JsonObject[] = []
    for (const bytes of lines) {
      ordinal += 1
      const line = decode(bytes, what).trim()
      if (line === '') continue
      let row: Json
      try {
        row = parseJson(line)
      } catch {
        throw new ToolError('parse', `${what}: line ${ordinal} of the answer is no JSON.`)
      }
      count += 1
      if (!isObject(row)) throw noObject(what, count, row)
      rows.push(row)
    }
    yield rows
  }
}

/** The lines that each part of the body completes. */
async function* wholeLines(
  body: Readable,
  what: string,
  maxBytes: number,
): AsyncGenerator<Buffer[], void, undefined> {
  let parts: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const lines: Buffer[] = []
    let from = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      lines.push(Buffer.concat([...parts, chunk.subarray(from, at)]))
      parts = []
      size = 0
      from = at + 1
    }
    if (from < chunk.length) parts.push(chunk.subarray(from))
    size += chunk.length - from
    if (size > maxBytes)
      throw new ToolError('schema', `${what}: a line of the answer has more than ${maxBytes} bytes.`)
    if (lines.length > 0) yield lines
  }
  if (size > 0) yield [Buffer.concat(parts)]
}

async function readAll(body: Readable, what: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    // Counted after unpacking: a small packed answer can be an enormous one.
    size += chunk.length
    if (size > maxBytes) {
      throw new ToolError(
        'schema',
        `${what} answered with more than ${maxBytes} bytes of JSON, the limit for what is read whole: ask for less at a time, or for NDJSON, which is read by lines.`,
      )
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function decode(bytes: Buffer, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ToolError('parse', `${what}: the answer is no text in UTF-8.`)
  }
}

/** The list at `path`; without one, the document itself or its `data`. */
function findList(document: Json, path: string | null, what: string): Json[] {
  if (path === null) {
    if (Array.isArray(document)) return document
    if (isObject(document) && Array.isArray(document.data)) return document.data
    const there = isObject(document)
      ? ` Its fields are: ${Object.keys(document).slice(0, 20).join(', ')}.`
      : ''
    throw new ToolError(
      'schema',
      `${what}: the answer is neither a list nor an object with a list in "data"; say where it is with "source.data_path".${there}`,
    )
  }
  const found = valueAt(document, path)
  if (Array.isArray(found)) return found
  const seen = found === undefined ? 'nothing' : found === null ? 'null' : `a value of type ${typeof found}`
  throw new ToolError(
    'schema',
    `${what}: at "${path}" (source.data_path) a list was expected; seen: ${seen}.`,
  )
}

/** The value at `a.b.0.c`; a whole key comes before a path. */
export function valueAt(value: Json, path: string): Json | undefined {
  if (isObject(value) && Object.hasOwn(value, path)) return value[path]
  let found: Json | undefined = value
  for (const part of path.replace(/^\$\.?/, '').split('.')) {
    if (part === '') continue
    if (Array.isArray(found)) found = found[Number(part)]
    else if (isObject(found) && Object.hasOwn(found, part)) found = found[part]
    else return undefined
  }
  return found
}

function noObject(what: string, ordinal: number, seen: Json): ToolError {
  const type = seen === null ? 'null' : Array.isArray(seen) ? 'a list' : `a ${typeof seen}`
  return new ToolError('schema', `${what}: row ${ordinal} is ${type}; a row is an object of fields.`)
}

import { isMap, isScalar, type Node, parseDocument } from 'yaml'
import { isNoetlError, makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { quotesHint } from './check-quotes.ts'
import type { Path, Places } from './faults.ts'
import { offsetInSource } from './scalar-place.ts'

/** A YAML document as plain values, which remembers where each of them stands. */
export interface ReadDocument extends Places {
  root: JsonObject
}

/** Aliases (`*name`) that a document may use: what they stand for is not copied, but walked. */
const MAX_ALIASES = 1000
const MAX_DEPTH = 200
/** Faults of the text that are told: after the first the others are often its echoes. */
const MAX_ERRORS = 10

/** Reads YAML text; throws NOETL_ERR_PLAYBOOK_YAML with line and column. */
export function readDocument(text: string): ReadDocument {
  const at = placesIn(text)
  const refuse = (errors: { line: number; column: number; message: string }[]) => {
    const first = errors[0]!
    return makeError(
      'NOETL_ERR_PLAYBOOK_YAML',
      [`line ${first.line}, column ${first.column}: ${first.message}`],
      {
        details: { ...first, faults: errors.map((error) => ({ ...error, path: '' })) },
      },
    )
  }
  const refuseAll = (message: string) => refuse([{ line: 1, column: 1, message }])
  const nul = text.indexOf('\0')
  if (nul >= 0) {
    throw refuse([{ ...at(nul), message: 'there is a NUL character, which text cannot hold' }])
  }
  let document: ReturnType<typeof parseDocument>
  let root: unknown
  try {
    document = parseDocument(text, { intAsBigInt: true, merge: true, prettyErrors: false, logLevel: 'error' })
    const errors = document.errors.slice(0, MAX_ERRORS).map((error) => {
      const place = at(error.pos[0])
      const several = error.code === 'MULTIPLE_DOCS'
      const message = several ? 'a second document begins here; a file holds one playbook' : error.message
      return { ...place, message: `${message}${quotesHint(text.split('\n', place.line).at(-1))}` }
    })
    if (errors.length > 0) throw refuse(errors)
    root = plain(document.toJS({ maxAliasCount: MAX_ALIASES }))
  } catch (error) {
    if (isNoetlError(error)) throw error
    // The reader throws plain errors for aliases without an anchor, too many of them, and merges of no mapping.
    const deep = error instanceof RangeError
    throw refuseAll(
      deep ? `it is nested more than ${MAX_DEPTH} levels deep, or without an end` : (error as Error).message,
    )
  }
  if (!isObject(root)) throw refuseAll('a mapping (key: value) was expected at the top')
  const placeOf = (path: Path) => {
    for (let length = path.length; length >= 0; length--) {
      const node = nodeAt(document.contents, path.slice(0, length))
      if (node?.range) return at(node.range[0])
    }
    return { line: 1, column: 1 }
  }
  return {
    root,
    placeOf,
    placeIn(path, offset) {
      const node = document.getIn(path, true)
      return isScalar(node) && node.range ? at(offsetInSource(text, node, offset)) : placeOf(path)
    },
  }
}

/** Gives line and column, from 1, of an offset. The reader's own count misses lines of texts that it cannot read. */
function placesIn(text: string): (offset: number) => { line: number; column: number } {
  const starts = [0]
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) starts.push(end + 1)
  return (offset) => {
    let [low, high] = [0, starts.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (starts[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - starts[low]! + 1 }
  }
}

/** The key's own node for a member of a mapping: that is where a reader looks. */
function nodeAt(contents: Node | null, path: Path): Node | undefined {
  if (contents === null) return undefined
  if (path.length === 0) return contents
  const parent = 'getIn' in contents ? parentOf(contents, path) : undefined
  const last = path[path.length - 1]!
  if (parent === undefined) return undefined
  if (isMap(parent)) {
    const pair = parent.items.find(
      ({ key }) => String((key as { value?: unknown }).value ?? key) === String(last),
    )
    return pair === undefined ? undefined : (pair.key as Node)
  }
  return 'get' in parent
    ? ((parent as { get(key: unknown, keep: true): unknown }).get(last, true) as Node)
    : undefined
}

function parentOf(contents: Node, path: Path): Node | undefined {
  if (path.length === 1) return contents
  const found = (contents as unknown as { getIn(path: Path, keep: true): unknown }).getIn(
    path.slice(0, -1),
    true,
  )
  return typeof found === 'object' && found !== null ? (found as Node) : undefined
}

/** YAML values as JSON: integers that a number cannot hold exactly become text, so that ids survive. */
function plain(value: unknown, depth = 0): Json {
  if (depth > MAX_DEPTH) throw new RangeError('too deep')
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1))
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'object' && value !== null) {
    if (value instanceof Map) return plain(Object.fromEntries(value), depth)
    const object: JsonObject = {}
    for (const [key, inner] of Object.entries(value)) {
      if (key === '__proto__') continue
      object[key] = plain(inner, depth + 1)
    }
    return object
  }
  return (value ?? null) as Json
}

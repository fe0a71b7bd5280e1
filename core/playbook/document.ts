import { isMap, LineCounter, type Node, parseDocument } from 'yaml'
import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Path } from './faults.ts'

/** A YAML document as plain values, which remembers where each of them stands. */
export interface ReadDocument {
  root: JsonObject
  /** Line and column, from 1, of what is at a path, or of what is nearest above it. */
  placeOf(path: Path): { line: number; column: number }
}

/** Aliases (`*name`) that a document may use: what they stand for is not copied, but walked. */
const MAX_ALIASES = 1000

/** Reads YAML text; throws NOETL_ERR_PLAYBOOK_YAML with line and column. */
export function readDocument(text: string): ReadDocument {
  const lineCounter = new LineCounter()
  const refuse = (line: number, column: number, message: string) =>
    makeError('NOETL_ERR_PLAYBOOK_YAML', [`line ${line}, column ${column}: ${message}`], {
      details: { line, column, message },
    })
  const nul = text.indexOf('\0')
  if (nul >= 0) {
    const line = text.slice(0, nul).split('\n').length
    throw refuse(line, nul - text.lastIndexOf('\n', nul), 'there is a NUL character, which text cannot hold')
  }
  let document: ReturnType<typeof parseDocument>
  let root: unknown
  try {
    document = parseDocument(text, { lineCounter, intAsBigInt: true, merge: true, prettyErrors: false })
    const error = document.errors[0]
    if (error !== undefined) {
      const { line, col } = lineCounter.linePos(error.pos[0])
      throw refuse(line, col, error.message)
    }
    root = plain(document.toJS({ maxAliasCount: MAX_ALIASES }))
  } catch (error) {
    if (error instanceof RangeError) throw refuse(1, 1, 'it is nested too deeply')
    if (error instanceof ReferenceError) throw refuse(1, 1, error.message)
    throw error
  }
  if (!isObject(root)) throw refuse(1, 1, 'a mapping (key: value) was expected at the top')
  return {
    root,
    placeOf(path) {
      for (let length = path.length; length >= 0; length--) {
        const node = nodeAt(document.contents, path.slice(0, length))
        if (node?.range) {
          const { line, col } = lineCounter.linePos(node.range[0])
          return { line, column: col }
        }
      }
      return { line: 1, column: 1 }
    },
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
function plain(value: unknown): Json {
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'object' && value !== null) {
    if (value instanceof Map) return plain(Object.fromEntries(value))
    const object: JsonObject = {}
    for (const [key, inner] of Object.entries(value)) {
      if (key === '__proto__') continue
      object[key] = plain(inner)
    }
    return object
  }
  return (value ?? null) as Json
}

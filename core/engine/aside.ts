import { isObject, type Json, type JsonObject, writeJson } from '../schemas/json.ts'
import { isNumber } from '../schemas/numbers.ts'
import { put } from '../schemas/put.ts'
import { roughBytes } from '../schemas/rough-bytes.ts'
import type { NewResult } from '../store/results.ts'

/**
 * Results over this, as JSON, are stored aside: their event holds a stub with what is small of them and a
 * reference, so that a large result costs nothing where no one looks at it. In bytes.
 */
export const INLINE_BYTES = 64 * 1024
/** From here on a stub says `disk` where it said `kv`. */
const DISK_BYTES = 1024 * 1024
/** A scalar field up to this many characters stays at hand. */
const SMALL = 256
const MAX_FIELDS = 50

/** What one byte of text takes as JSON at most: a control character is written as six. */
const MOST_PER_BYTE = 6

/** A result as its event holds it, and what is stored aside of it. */
export interface Externalised {
  near: Json
  stored: NewResult | undefined
}

/** Stores a result aside when it is large. */
export function externalise(
  result: Json,
  about: {
    executionId: string
    eventId: string
    step: string
    select: readonly string[]
    store?: NewResult['store'] | undefined
  },
): Externalised & { bytes: number } {
  const bytes = roughBytes(result, INLINE_BYTES)
  if (bytes * MOST_PER_BYTE <= INLINE_BYTES) return { near: result, stored: undefined, bytes }
  const whole = Buffer.byteLength(writeJson(result))
  if (whole <= INLINE_BYTES) return { near: result, stored: undefined, bytes: whole }
  const store = about.store ?? (whole < DISK_BYTES ? 'kv' : 'disk')
  return {
    bytes: whole,
    near: {
      ...fieldsAtHand(result, about.select),
      ...reference({ ...about, store }),
      _preview: preview(result),
    },
    stored: { result_id: about.eventId, name: about.step, store, bytes: whole, data: result },
  }
}

/** The stub of a loop whose results together are large: they stay in the events of its iterations. */
export function loopStub(
  stats: JsonObject,
  about: { executionId: string; eventId: string; step: string; bytes: number },
): JsonObject {
  const store = about.bytes < DISK_BYTES ? 'kv' : 'disk'
  return { stats, ...reference({ ...about, store }), _preview: { type: 'loop', ...stats } }
}

function reference(about: { executionId: string; eventId: string; step: string; store: string }): JsonObject {
  const step = encodeURIComponent(about.step)
  return {
    _ref: `noetl://execution/${about.executionId}/result/${step}/${about.eventId}`,
    _store: about.store,
  }
}

/** Fields named by `output_select`, and scalars that are small. */
function fieldsAtHand(result: Json, select: readonly string[]): JsonObject {
  if (!isObject(result)) return {}
  const fields: JsonObject = {}
  for (const name of select) if (Object.hasOwn(result, name)) put(fields, name, result[name]!)
  for (const [name, value] of Object.entries(result)) {
    if (Object.keys(fields).length >= MAX_FIELDS + select.length) break
    if (isSmallScalar(value)) put(fields, name, value)
  }
  return fields
}

function isSmallScalar(value: Json): boolean {
  if (typeof value === 'string') return value.length <= SMALL
  return value !== null && !Array.isArray(value) && !isObject(value)
}

/** A bounded summary: what kind of value it is, how much of it, and how it begins. */
function preview(result: Json): JsonObject {
  if (Array.isArray(result)) {
    return { type: 'list', length: result.length, first: result.slice(0, 3).map((item) => glimpse(item, 1)) }
  }
  if (isObject(result)) {
    const entries = Object.entries(result)
    const fields = Object.fromEntries(entries.slice(0, 20).map(([key, value]) => [key, glimpse(value, 1)]))
    return { type: 'object', length: entries.length, fields }
  }
  return { type: isNumber(result) ? 'number' : typeof result, first: glimpse(result, 0) }
}

function glimpse(value: Json, depth: number): Json {
  if (typeof value === 'string') return value.length > 100 ? `${value.slice(0, 100)}…` : value
  if (Array.isArray(value)) return `list of ${value.length}`
  if (!isObject(value)) return value
  if (depth === 0) return `object of ${Object.keys(value).length}`
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, 10)
      .map(([key, inner]) => [key, glimpse(inner, 0)]),
  )
}

/** Parts of a reference; undefined when it is none. */
export function readReference(
  ref: string,
): { executionId: string; step: string; resultId: string } | undefined {
  const match = /^noetl:\/\/execution\/(\d{1,19})\/result\/([^/]+)\/(\d{1,19})$/.exec(ref)
  if (match === null) return undefined
  return { executionId: match[1]!, step: decodeURIComponent(match[2]!), resultId: match[3]! }
}

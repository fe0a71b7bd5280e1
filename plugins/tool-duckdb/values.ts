import type {
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBUnionValue,
} from '@duckdb/node-api'
import { type Json, type JsonObject, readNumber, writeJson } from '@noetl/core'

/**
 * A value of DuckDB as JSON: numbers with all their digits; dates and times as ISO
 * text; blobs in base64; NaN and infinity as null. Read off the class name, so that the native library is
 * not loaded for it.
 */
export function plain(value: unknown): Json {
  if (value === null || value === undefined) return null
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) ? value : null
    case 'bigint':
      return readNumber(String(value))
    case 'object':
      return plainObject(value)
    default:
      return String(value)
  }
}

function plainObject(value: object): Json {
  switch (value.constructor.name) {
    case 'DuckDBDecimalValue':
      return readNumber(String(value as DuckDBDecimalValue))
    case 'DuckDBTimestampTZValue':
      return instant((value as DuckDBTimestampTZValue).micros, 'Z', value)
    case 'DuckDBTimestampValue':
      return instant((value as DuckDBTimestampValue).micros, '', value)
    case 'DuckDBTimestampSecondsValue':
    case 'DuckDBTimestampMillisecondsValue':
    case 'DuckDBTimestampNanosecondsValue':
      return String(value).replace(' ', 'T')
    case 'DuckDBDateValue':
      return String(value as DuckDBDateValue)
    case 'DuckDBBlobValue':
      return Buffer.from((value as DuckDBBlobValue).bytes).toString('base64')
    case 'DuckDBListValue':
      return (value as DuckDBListValue).items.map(plain)
    case 'DuckDBArrayValue':
      return (value as DuckDBArrayValue).items.map(plain)
    case 'DuckDBStructValue':
      return fromEntries(Object.entries((value as DuckDBStructValue).entries))
    case 'DuckDBMapValue':
      return fromEntries((value as DuckDBMapValue).entries.map(({ key, value }) => [keyOf(key), value]))
    case 'DuckDBUnionValue':
      return plain((value as DuckDBUnionValue).value)
    default:
      // Times, intervals, UUIDs and bits print as what they are.
      return String(value)
  }
}

function fromEntries(entries: [string, unknown][]): JsonObject {
  return Object.fromEntries(entries.map(([key, value]) => [key, plain(value)]))
}

function keyOf(key: unknown): string {
  const value = plain(key)
  return typeof value === 'string' ? value : writeJson(value)
}

const MAX_MICROS = 8_640_000_000_000_000_000n

function instant(micros: bigint, zone: string, value: object): Json {
  if (micros > MAX_MICROS || micros < -MAX_MICROS) return String(value)
  const ms = micros >= 0n ? micros / 1000n : (micros - 999n) / 1000n
  const rest = micros - ms * 1000n
  const iso = new Date(Number(ms)).toISOString().slice(0, -1)
  const text = rest === 0n ? iso.replace(/\.000$/, '') : `${iso}${String(rest).padStart(3, '0')}`
  return `${text}${zone}`
}

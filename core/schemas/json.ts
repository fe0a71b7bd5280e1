import { Decimal, type Numeric, rawNumber, readNumber } from './numbers.ts'

/** Any value that JSON can carry. What crosses a process is one of these. */
export type Json = null | boolean | Numeric | string | Json[] | JsonObject

/** A JSON object. */
export interface JsonObject {
  [key: string]: Json
}

/** True for a plain key/value object: not null, not a list, not a number with many digits. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Decimal)
}

/** Parses JSON. Numbers come with all their digits: see `readNumber`. */
export function parseJson(text: string): Json {
  // A reviver makes parsing several times slower: only where a number looks as if it needed one.
  return LONG_NUMBER.test(text) ? JSON.parse(text, keepDigits as Reviver) : JSON.parse(text)
}

/** Writes JSON as `JSON.stringify` does, where whole floats beyond 2^53 look like floats to whoever reads it. */
export function writeJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent)
  return text !== undefined && LARGE_NUMBER.test(text) ? JSON.stringify(value, markFloats, indent) : text
}

/** Sixteen digits, or an exponent of three. Not behind a quote: ids are text mostly. */
const LONG_NUMBER = /(?:^|[[:,\s])-?(?:[\d.]{16}|\d[\d.]*[eE][+-]?\d{3})/
const LARGE_NUMBER = /(?:^|[[:,\s])-?(?:\d{16}|\d[\d.]*e\+)/

type Reviver = (key: string, value: unknown) => unknown

function keepDigits(_key: string, value: unknown, { source }: { source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined) return value
  // Fifteen digits are what every double keeps.
  return source.length < 16 && value !== 0 && Number.isFinite(value) ? value : readNumber(source)
}

/** The digits alone would be read as a whole number, and jsonb keeps a point but no exponent. */
function markFloats(_key: string, value: unknown): unknown {
  if (typeof value !== 'number' || !Number.isInteger(value) || Number.isSafeInteger(value)) return value
  const [mantissa = '', exponent = '0'] = String(value).split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  return rawNumber(`${whole}${fraction.padEnd(Number(exponent), '0')}.0`)
}

/** Any value that JSON can carry. What crosses a process is one of these. */
export type Json = null | boolean | number | string | Json[] | JsonObject

/** A JSON object. */
export interface JsonObject {
  [key: string]: Json
}

/** True for a plain key/value object: not null, not a list. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Parses JSON. Integers that a number cannot hold exactly come as strings, so that ids survive. */
export function parseJson(text: string): Json {
  // A reviver makes parsing several times slower: only where a long run of digits asks for it.
  return LONG_INTEGER.test(text) ? JSON.parse(text, keepLongIntegers as Reviver) : JSON.parse(text)
}

const LONG_INTEGER = /\d{16}/
const INTEGER = /^-?\d+$/

type Reviver = (key: string, value: unknown) => unknown

function keepLongIntegers(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  return context.source !== undefined && INTEGER.test(context.source) ? context.source : value
}

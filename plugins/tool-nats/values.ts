import { type Json, type JsonObject, parseJson, ToolError, writeJson } from '@noetl/core'
import type { NatsInput } from './input.ts'

/** What is sent: bytes, and whether they are JSON that was made here. */
export interface Encoded {
  data: Buffer
  json: boolean
}

/** What was read, as a result shows it. */
export interface Decoded {
  value: Json
  encoding: 'json' | 'text' | 'base64'
}

/**
 * Tells a number or a boolean that was put as one from text that looks like it: without it the text "5"
 * would come back as a number, or the number 5 as text.
 */
export const CONTENT_TYPE = 'Content-Type'
export const JSON_TYPE = 'application/json'

/** The value of the step as bytes: text as it is, bytes from base64 where asked, anything else as JSON. */
export function encodeValue(fields: NatsInput, limit: { bytes: number; option: string }): Encoded {
  const encoded = encode(givenValue(fields), fields.encoding ?? 'text')
  if (encoded.data.length > limit.bytes) {
    throw new ToolError(
      'schema',
      `The value of ${encoded.data.length} bytes is over the limit of ${limit.bytes}: store it elsewhere and keep its place here, or raise ${limit.option} of the nats tool.`,
    )
  }
  return encoded
}

function givenValue(fields: NatsInput): Json {
  const given = [fields.value, fields.data, fields.payload].filter((value) => value !== undefined)
  if (given.length === 0) {
    throw new ToolError('schema', `The operation ${fields.operation} needs a "value".`)
  }
  return (given.find((value) => value !== null) ?? null) as Json
}

function encode(value: Json, encoding: string): Encoded {
  if (encoding === 'base64') {
    if (typeof value !== 'string' || !/^[A-Za-z0-9+/_\s-]*={0,2}\s*$/.test(value)) {
      throw new ToolError('schema', 'With "encoding: base64" the value must be text in base64.')
    }
    return { data: Buffer.from(value, 'base64'), json: false }
  }
  if (encoding !== 'text' && encoding !== 'json') {
    throw new ToolError('schema', `"encoding" is base64, text or json, not "${encoding}".`)
  }
  const plain = typeof value === 'string' && encoding === 'text'
  return { data: Buffer.from(plain ? value : writeJson(value)), json: !plain }
}

/** Bytes as a value: JSON where they say so or look like it and parse, text where they are, else base64. */
export function decodeValue(data: Uint8Array, contentType: string | undefined): Decoded {
  const text = textOf(data)
  if (text === null) return { value: Buffer.from(data).toString('base64'), encoding: 'base64' }
  if (contentType === JSON_TYPE || /^\s*[[{]/.test(text)) {
    try {
      return { value: parseJson(text), encoding: 'json' }
    } catch {
      // It is text that only looks like JSON.
    }
  }
  return { value: text, encoding: 'text' }
}

function textOf(data: Uint8Array): string | null {
  // The databases that results are kept in take no U+0000 in text.
  if (data.includes(0)) return null
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
  } catch {
    return null
  }
}

/** The part of a result that tells of something that is not there. */
export function absent(place: JsonObject): JsonObject {
  return { status: 'not_found', ...place, found: false, value: null, encoding: null, revision: null }
}

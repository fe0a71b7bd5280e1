import { isObject, type Json, type JsonObject, ToolError, writeJson } from '@noetl/core'
import { basic } from './auth.ts'
import type { HttpInput } from './input.ts'

/** One request, ready to be sent. */
export interface Outgoing {
  url: URL
  method: string
  headers: Headers
  body: string | null
}

/** Headers by lower-case name; each keeps the spelling in which it was given. */
export type Headers = Map<string, { name: string; value: string }>

const KEYED = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
const JSON_TYPE = 'application/json'
const FORM_TYPE = 'application/x-www-form-urlencoded'

/** Makes the request out of the step's fields. Throws ToolError `schema` for what cannot be sent. */
export function buildRequest(
  fields: HttpInput,
  made: { auth: Record<string, string>; idempotencyKey: string; traceparent?: string | undefined },
): Outgoing {
  const url = buildUrl(fields)
  const method = (fields.method ?? 'GET').toUpperCase()
  const headers: Headers = new Map()
  for (const [name, value] of Object.entries(fields.headers ?? {})) {
    if (value !== null && value !== undefined) setHeader(headers, name, headerText(value as Json))
  }
  if (url.username !== '' || url.password !== '') {
    setHeader(headers, 'Authorization', basic(unescapePercent(url.username), unescapePercent(url.password)))
    url.username = ''
    url.password = ''
  }
  for (const [name, value] of Object.entries(made.auth)) setHeader(headers, name, value)

  const body = buildBody(fields, headers.get('content-type')?.value)
  if (body !== null) setDefault(headers, 'Content-Type', body.type)
  setDefault(headers, 'Accept', '*/*')
  setDefault(headers, 'Accept-Encoding', 'gzip, deflate, br')
  setDefault(headers, 'User-Agent', 'noetl-tool-http')
  if (made.traceparent !== undefined) setDefault(headers, 'traceparent', made.traceparent)
  if (KEYED.has(method)) setDefault(headers, 'Idempotency-Key', made.idempotencyKey)
  // Both follow from the body; a second opinion would break the framing of the request.
  headers.delete('content-length')
  headers.delete('transfer-encoding')
  return { url, method, headers, body: body?.text ?? null }
}

function buildUrl(fields: HttpInput): URL {
  const given = (fields.url ?? fields.endpoint ?? '').trim()
  if (given === '')
    throw new ToolError('schema', 'The http tool needs "url"; it is missing or rendered to nothing.')
  const url = URL.parse(given)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const shown = given.replace(/\/\/[^/]*@/, '//').replace(/[?#].*$/s, '')
    throw new ToolError('schema', `"${shown}" is no http or https URL.`)
  }
  appendAll(url.searchParams, (fields.params ?? {}) as JsonObject)
  return url
}

function unescapePercent(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function appendAll(target: URLSearchParams, values: JsonObject): void {
  for (const [name, value] of Object.entries(values)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined) target.append(name, plainText(item))
    }
  }
}

function buildBody(
  fields: HttpInput,
  contentType: string | undefined,
): { text: string; type: string } | null {
  if (given(fields.json)) return { text: asJson(fields.json), type: JSON_TYPE }
  for (const value of [fields.body, fields.payload, fields.data]) {
    if (!given(value)) continue
    if (typeof value === 'string') {
      return { text: value, type: looksLikeJson(value) ? JSON_TYPE : 'text/plain; charset=utf-8' }
    }
    if (isObject(value) && contentType?.toLowerCase().startsWith(FORM_TYPE)) return formBody(value)
    return { text: writeJson(value), type: JSON_TYPE }
  }
  return given(fields.form) ? formBody(fields.form as JsonObject) : null
}

function given(value: unknown): value is Json {
  return value !== undefined && value !== null
}

function formBody(values: JsonObject): { text: string; type: string } {
  const encoded = new URLSearchParams()
  appendAll(encoded, values)
  return { text: encoded.toString(), type: FORM_TYPE }
}

/** `json: '{{ x | tojson }}'` is text that is JSON already; encoding it again would send a string. */
function asJson(value: Json): string {
  if (typeof value !== 'string') return writeJson(value)
  return parses(value) ? value : writeJson(value)
}

function looksLikeJson(text: string): boolean {
  return /^\s*[[{]/.test(text) && parses(text)
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function plainText(value: Json): string {
  return typeof value === 'object' ? writeJson(value) : String(value)
}

function headerText(value: Json): string {
  return Array.isArray(value) ? value.map(plainText).join(', ') : plainText(value)
}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

function setHeader(headers: Headers, name: string, value: string): void {
  if (!HEADER_NAME.test(name)) throw new ToolError('schema', `"${name}" cannot be the name of a header.`)
  // The value may be a secret: it is never shown.
  if (!HEADER_VALUE.test(value)) {
    throw new ToolError(
      'schema',
      `The value of header ${name} holds a line break or another character that no header can carry.`,
    )
  }
  headers.set(name.toLowerCase(), { name, value })
}

function setDefault(headers: Headers, name: string, value: string): void {
  if (!headers.has(name.toLowerCase())) setHeader(headers, name, value)
}

import { type Credential, type Json, ToolError, writeJson } from '@noetl/core'
import { authHeaders, basic } from './http-auth.ts'
import type { Outgoing } from './http-exchange.ts'
import type { TransferInput } from './input.ts'

/** Makes the request out of the source's fields. Throws ToolError `schema` for what cannot be sent. */
export async function buildRequest(
  fields: TransferInput['source'],
  credentials: (alias: string) => Promise<Credential>,
): Promise<Outgoing> {
  const url = buildUrl(fields)
  const headers: Record<string, string> = {
    accept: 'application/json, application/x-ndjson;q=0.9, */*;q=0.5',
    'accept-encoding': 'gzip, deflate, br',
    'user-agent': 'noetl-tool-transfer',
  }
  const body = (fields.json ?? null) === null ? null : textOf(fields.json as Json)
  if (body !== null) headers['content-type'] = 'application/json'
  for (const [name, value] of Object.entries(fields.headers ?? {})) {
    if (value !== null && value !== undefined) setHeader(headers, name, textOf(value as Json))
  }
  if (url.username !== '' || url.password !== '') {
    headers.authorization = basic(unescapePercent(url.username), unescapePercent(url.password))
    url.username = ''
    url.password = ''
  }
  const own = await authHeaders(fields.auth ?? fields.credential, credentials)
  for (const [name, value] of Object.entries(own)) setHeader(headers, name, value)
  // Both follow from the body; a second opinion would break the framing of the request.
  delete headers['content-length']
  delete headers['transfer-encoding']
  return { url, method: (fields.method ?? 'GET').toUpperCase(), headers, body }
}

function buildUrl(fields: TransferInput['source']): URL {
  const given = (fields.url ?? fields.endpoint ?? '').trim()
  const url = URL.parse(given)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    const shown = given.replace(/\/\/[^/]*@/, '//').replace(/[?#].*$/s, '')
    throw new ToolError(
      'schema',
      `A transfer over http needs an http or https URL in "source.url"; seen: "${shown}".`,
    )
  }
  const { params } = fields
  if (Array.isArray(params) && params.length > 0)
    throw new ToolError('schema', '"source.params" must be a mapping here: query parameters by name.')
  for (const [name, value] of Object.entries(Array.isArray(params) ? {} : (params ?? {}))) {
    for (const part of Array.isArray(value) ? value : [value]) {
      if (part !== null && part !== undefined) url.searchParams.append(name, textOf(part as Json))
    }
  }
  return url
}

function textOf(value: Json): string {
  return typeof value === 'string' ? value : writeJson(value)
}

function setHeader(headers: Record<string, string>, name: string, value: string): void {
  // The value may be a secret: it is never shown.
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    throw new ToolError('schema', `The header "${name}" cannot be sent: its name or value is no header's.`)
  }
  headers[name.toLowerCase()] = value
}

function unescapePercent(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

import { type Credential, isNumber, isObject, type JsonObject, ToolError } from '@noetl/core'
import type { HttpInput } from './input.ts'

/** Finds the headers that the step's `auth` stands for: none, one of a stored credential, or one given inline. */
export async function authHeaders(
  fields: HttpInput,
  credentials: (alias: string) => Promise<Credential>,
): Promise<Record<string, string>> {
  const auth = fields.auth ?? fields.credential
  if (auth === undefined || auth === null || auth === '') return {}
  if (typeof auth === 'string') {
    const stored = await credentials(auth)
    return headersOf(stored.type, stored.data, `credential ${auth}`)
  }
  const given = auth as JsonObject
  const type = text(given, 'type', 'kind')
  const alias = text(given, 'credential', 'alias', 'name')
  if (alias === undefined) return headersOf(type ?? '', given, 'auth')
  const stored = await credentials(alias)
  // What the step says beside the alias (the header of an api_key) is laid over what is stored.
  const data = { ...(isObject(stored.data) ? stored.data : {}), ...withoutNulls(given) }
  return headersOf(type ?? stored.type, data, `credential ${alias}`)
}

function headersOf(type: string, data: JsonObject, what: string): Record<string, string> {
  switch (type.toLowerCase()) {
    case 'bearer':
    case 'oauth2':
      return { authorization: `Bearer ${need(data, what, 'token', 'access_token')}` }
    case 'basic': {
      const user = need(data, what, 'username', 'user')
      // A key as user name and no password is a usual form of basic.
      return { authorization: basic(user, text(data, 'password') ?? '') }
    }
    case 'api_key':
      return { [text(data, 'header') ?? 'X-API-Key']: need(data, what, 'value', 'key', 'api_key', 'token') }
    default:
      throw new ToolError(
        'auth',
        `The http tool cannot use ${what}: its type is "${type}", not one of bearer, basic, api_key.`,
      )
  }
}

/** The header value of a user and a password. */
export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function need(data: JsonObject, what: string, ...names: string[]): string {
  const value = text(data, ...names)
  if (value === undefined) throw new ToolError('auth', `The http tool misses "${names[0]}" in ${what}.`)
  return value
}

function text(data: JsonObject, ...names: string[]): string | undefined {
  for (const name of names) {
    const value = data[name]
    if (typeof value === 'string' && value !== '') return value
    if (isNumber(value)) return String(value)
  }
  return undefined
}

function withoutNulls(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
}

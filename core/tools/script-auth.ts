import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { isNumber } from '../schemas/numbers.ts'
import { type Credential, ToolError } from './define.ts'

/** What an `auth` field stands for. `what` names it in errors. */
export interface Found {
  type: string
  data: JsonObject
  what: string
}

/** Finds it: an alias, `{credential: alias}` with what stands beside laid over, or the values themselves. */
export async function findAuth(
  auth: unknown,
  credentials: (alias: string) => Promise<Credential>,
): Promise<Found | null> {
  if (auth === undefined || auth === null || auth === '') return null
  const given: JsonObject = isObject(auth) ? withoutNulls(auth) : { credential: String(auth) }
  const type = textOf(given, 'type', 'kind')
  const alias = textOf(given, 'credential', 'alias', 'name')
  if (alias === undefined) return { type: (type ?? '').toLowerCase(), data: given, what: "the script's auth" }
  const stored = await credentials(alias)
  const data = { ...(isObject(stored.data) ? stored.data : {}), ...given }
  return { type: (type ?? stored.type).toLowerCase(), data, what: `credential ${alias}` }
}

/** The headers by which an http server knows the caller. */
export function headersOf({ type, data, what }: Found): Record<string, string> {
  switch (type) {
    case 'bearer':
    case 'oauth2':
      return { authorization: `Bearer ${need(data, what, 'token', 'access_token')}` }
    case 'basic':
      return { authorization: basic(need(data, what, 'username', 'user'), textOf(data, 'password') ?? '') }
    case 'api_key': {
      const header = (textOf(data, 'header') ?? 'x-api-key').toLowerCase()
      return { [header]: need(data, what, 'value', 'key', 'api_key', 'token') }
    }
    default:
      throw new ToolError(
        'auth',
        `A script cannot be fetched with ${what}: its type is "${type}", not one of bearer, basic, api_key.`,
      )
  }
}

export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

export function need(data: JsonObject, what: string, ...names: string[]): string {
  const value = textOf(data, ...names)
  if (value === undefined) throw new ToolError('auth', `Fetching a script misses "${names[0]}" in ${what}.`)
  return value
}

/** The first of the named fields that holds a text or a number. */
export function textOf(data: JsonObject, ...names: string[]): string | undefined {
  for (const name of names) {
    const value: Json | undefined = data[name]
    if (typeof value === 'string' && value !== '') return value
    if (isNumber(value)) return String(value)
  }
  return undefined
}

function withoutNulls(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
}

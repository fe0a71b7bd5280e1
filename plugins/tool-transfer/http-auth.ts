import { type Credential, isNumber, isObject, type JsonObject, ToolError } from '@noetl/core'

/** The headers that a source's `auth` stands for: none, one of a stored credential, or one given inline. */
export async function authHeaders(
  auth: unknown,
  credentials: (alias: string) => Promise<Credential>,
): Promise<Record<string, string>> {
  if (auth === undefined || auth === null || auth === '') return {}
  const given: JsonObject = isObject(auth) ? auth : { credential: String(auth) }
  const type = text(given, 'type', 'kind')
  const alias = text(given, 'credential', 'alias', 'name')
  if (alias === undefined) return headersOf(type ?? '', given, 'source.auth')
  const stored = await credentials(alias)
  return headersOf(type ?? stored.type, { ...stored.data, ...given }, `credential ${alias}`)
}

function headersOf(type: string, data: JsonObject, what: string): Record<string, string> {
  switch (type.toLowerCase()) {
    case 'bearer':
    case 'oauth2':
      return { authorization: `Bearer ${need(data, what, 'token', 'access_token')}` }
    case 'basic':
      return { authorization: basic(need(data, what, 'username', 'user'), text(data, 'password') ?? '') }
    case 'api_key':
      return {
        [(text(data, 'header') ?? 'x-api-key').toLowerCase()]: need(
          data,
          what,
          'value',
          'key',
          'api_key',
          'token',
        ),
      }
    default:
      throw new ToolError(
        'auth',
        `An http source cannot use ${what}: its type is "${type}", not one of bearer, basic, api_key.`,
      )
  }
}

/** The header value of a user and a password. */
export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function need(data: JsonObject, what: string, ...names: string[]): string {
  const value = text(data, ...names)
  if (value === undefined) throw new ToolError('auth', `The transfer tool misses "${names[0]}" in ${what}.`)
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

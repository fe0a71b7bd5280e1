import { type Credential, isNumber, type JsonObject, ToolError } from '@noetl/core'
import type { NatsInput } from './input.ts'

/** Where NATS is and who to be there. */
export interface Settings {
  /** `host:port` each. */
  servers: string[]
  user: string | null
  password: string
  token: string | null
  /** Content of a credentials file: a JWT and its seed. */
  creds: string | null
  tls: boolean
  ca: string | null
}

/** Finds the settings that the step's `auth` stands for: a stored credential, or fields given inline. */
export async function findSettings(
  fields: NatsInput,
  credentials: (alias: string) => Promise<Credential>,
): Promise<Settings> {
  const auth = fields.auth ?? fields.credential ?? ''
  if (auth === '') {
    throw new ToolError(
      'auth',
      'The nats tool needs "auth": the alias of a credential of type nats with nats_url, nats_user and nats_password.',
    )
  }
  if (typeof auth === 'string') return storedSettings(auth, credentials)
  const given = auth as JsonObject
  const alias = text(given, 'credential', 'alias', 'name')
  return alias === undefined ? settingsOf(given, 'auth') : storedSettings(alias, credentials)
}

async function storedSettings(
  alias: string,
  credentials: (alias: string) => Promise<Credential>,
): Promise<Settings> {
  const { type, data } = await credentials(alias)
  if (type !== 'nats') {
    throw new ToolError(
      'auth',
      `The nats tool cannot use credential ${alias}: its type is "${type}", not nats.`,
    )
  }
  return settingsOf(data, `credential ${alias}`)
}

/** Reads the fields of a credential, in any of their spellings. `what` names it in errors. */
export function settingsOf(data: JsonObject, what: string): Settings {
  const given = text(data, 'nats_url', 'url', 'servers', 'nats_servers')
  if (given === undefined) {
    throw new ToolError('auth', `The nats tool misses "nats_url" (or "url") in ${what}.`)
  }
  const urls = given.split(',').map((part) => urlOf(part.trim(), what))
  const named = urls.find((url) => url.username !== '')
  const ofUrl = named === undefined ? null : decode(named.username)
  // A URL with a name and no password holds a token, as other clients have it.
  const tokenOfUrl = named !== undefined && named.password === '' ? ofUrl : null
  return {
    servers: urls.map((url) => `${url.hostname}:${url.port || '4222'}`),
    user: text(data, 'nats_user', 'user', 'username') ?? (tokenOfUrl === null ? ofUrl : null),
    password: text(data, 'nats_password', 'password') ?? decode(named?.password ?? ''),
    token: text(data, 'nats_token', 'token') ?? tokenOfUrl,
    creds: text(data, 'nats_creds', 'creds') ?? null,
    tls: urls.some((url) => url.protocol === 'tls:'),
    ca: text(data, 'nats_ca', 'ca') ?? null,
  }
}

function urlOf(given: string, what: string): URL {
  const url = URL.parse(given.includes('://') ? given : `nats://${given}`)
  if (url === null || !/^(nats|tls):$/.test(url.protocol) || url.hostname === '') {
    // Not shown: it may hold a password.
    throw new ToolError('auth', `The nats_url in ${what} is no URL that begins with nats:// or tls://.`)
  }
  return url
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function text(data: JsonObject, ...names: string[]): string | undefined {
  for (const name of names) {
    const value = data[name]
    if (typeof value === 'string' && value !== '') return value
    if (isNumber(value)) return String(value)
  }
  return undefined
}

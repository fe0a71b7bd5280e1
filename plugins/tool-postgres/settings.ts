import { type Credential, isNumber, type JsonObject, ToolError } from '@noetl/core'
import type { PostgresInput } from './input.ts'

/** Where a database is and who to be there. */
export interface Settings {
  host: string
  port: number
  user: string
  password: string
  database: string
  ssl: false | { rejectUnauthorized: boolean; ca?: string; checkServerIdentity?: () => undefined }
}

/** Finds the settings that the step's `auth` stands for; without any, those of the empty alias, the host's own. */
export async function findSettings(
  fields: PostgresInput,
  credentials: (alias: string) => Promise<Credential>,
): Promise<Settings> {
  const auth = fields.auth ?? fields.credential ?? ''
  if (typeof auth === 'string') {
    const stored = await credentials(auth)
    return settingsOf(stored.data, auth === '' ? 'the default credential' : `credential ${auth}`)
  }
  const given = auth as JsonObject
  const alias = text(given, 'credential', 'alias', 'name')
  if (alias === undefined) return settingsOf(given, 'auth')
  return settingsOf((await credentials(alias)).data, `credential ${alias}`)
}

/** Reads the fields of a credential, in any of their spellings. `what` names it in errors. */
export function settingsOf(data: JsonObject, what: string): Settings {
  const dsn = text(data, 'dsn', 'url', 'connection_string')
  const all = dsn === undefined ? data : { ...data, ...fieldsOfUrl(dsn, what) }
  const host = text(all, 'db_host', 'host')
  if (host === undefined) {
    throw new ToolError('auth', `The postgres tool misses "db_host" (or "host", "dsn") in ${what}.`)
  }
  const user = text(all, 'db_user', 'user', 'username') ?? 'postgres'
  return {
    host,
    port: Number(text(all, 'db_port', 'port') ?? 5432),
    user,
    password: text(all, 'db_password', 'password') ?? '',
    database: text(all, 'db_name', 'database', 'dbname') ?? user,
    ssl: sslOf(text(all, 'sslmode', 'db_sslmode') ?? 'prefer', text(all, 'sslrootcert', 'ca'), what),
  }
}

function fieldsOfUrl(dsn: string, what: string): JsonObject {
  const url = URL.parse(dsn)
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new ToolError('auth', `The dsn in ${what} is no URL that begins with postgres://.`)
  }
  const fields: JsonObject = {}
  // A query may name a socket's folder as host, as libpq has it.
  for (const [name, value] of url.searchParams) fields[name] = value
  const parts = { db_host: url.hostname, db_port: url.port, db_user: url.username, db_password: url.password }
  for (const [name, value] of Object.entries({ ...parts, db_name: url.pathname.slice(1) })) {
    if (value !== '') fields[name] = decodeURIComponent(value.replace(/^\[(.*)\]$/, '$1'))
  }
  return fields
}

function sslOf(mode: string, ca: string | undefined, what: string): Settings['ssl'] {
  const trust = ca === undefined ? {} : { ca }
  switch (mode) {
    case 'disable':
    case 'allow':
    case 'prefer':
      return false
    case 'require':
      return { rejectUnauthorized: false }
    case 'verify-ca':
      return { rejectUnauthorized: true, checkServerIdentity: () => undefined, ...trust }
    case 'verify-full':
      return { rejectUnauthorized: true, ...trust }
    default:
      throw new ToolError(
        'auth',
        `The sslmode in ${what} is "${mode}", not one of disable, allow, prefer, require, verify-ca, verify-full.`,
      )
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

import type { DuckDBConnection } from '@duckdb/node-api'
import { type Credential, isNumber, isObject, type Json, type JsonObject, ToolError } from '@noetl/core'
import { firstLine, redact } from './failures.ts'

/**
 * Makes what `auth` names reachable: a postgres credential is attached as a database under its alias, one
 * for s3 or gcs becomes a secret. Returns the texts that no error may show.
 */
export async function attachAll(
  connection: DuckDBConnection,
  auth: string | JsonObject | null | undefined,
  credentials: (alias: string) => Promise<Credential>,
): Promise<string[]> {
  const secrets: string[] = []
  for (const [alias, wanted] of Object.entries(wantedOf(auth))) {
    const name = text(wanted, 'credential') ?? text(wanted, 'name') ?? text(wanted, 'alias')
    const stored = name === undefined ? undefined : await credentials(name)
    const type = text(wanted, 'type') ?? text(wanted, 'kind') ?? stored?.type ?? ''
    const data = { ...stored?.data, ...wanted }
    secrets.push(...secretsIn(data))
    for (const statement of statementsFor(alias, type, data)) {
      try {
        await connection.run(statement)
      } catch (error) {
        const why = redact(firstLine(error), secrets)
        // No cause: DuckDB's whole message quotes the SQL, and causes are logged.
        throw new ToolError('storage_access', `"${alias}" (${type}) could not be attached: ${why}`)
      }
    }
  }
  return secrets
}

/** What of a credential no error may show. */
export function secretsIn(data: JsonObject): string[] {
  return ['db_password', 'password', 'secret', 'secret_access_key'].flatMap((key) => text(data, key) ?? [])
}

/** A postgres credential as libpq's connection string. */
export function conninfoOf(data: JsonObject): string {
  const parts: [string, string | undefined][] = [
    ['host', text(data, 'db_host') ?? text(data, 'host')],
    ['port', text(data, 'db_port') ?? text(data, 'port')],
    ['user', text(data, 'db_user') ?? text(data, 'user')],
    ['password', text(data, 'db_password') ?? text(data, 'password')],
    ['dbname', text(data, 'db_name') ?? text(data, 'database')],
  ]
  return parts.flatMap(([key, value]) => (value ? [`${key}=${conninfo(value)}`] : [])).join(' ')
}

/** `auth` as a map of aliases; a single alias goes by its own name. */
function wantedOf(auth: string | JsonObject | null | undefined): Record<string, JsonObject> {
  if (auth === null || auth === undefined || auth === '') return {}
  if (typeof auth === 'string') return { [auth]: { credential: auth } }
  if ('credential' in auth || 'type' in auth)
    return { [text(auth, 'alias') ?? text(auth, 'credential') ?? 'db']: auth }
  const wanted: Record<string, JsonObject> = {}
  for (const [alias, value] of Object.entries(auth)) {
    wanted[alias] = isObject(value) ? value : { credential: String(value) }
  }
  return wanted
}

function statementsFor(alias: string, type: string, data: JsonObject): string[] {
  switch (type) {
    case 'postgres':
      return ['LOAD postgres', `ATTACH ${quote(conninfoOf(data))} AS ${identifier(alias)} (TYPE postgres)`]
    case 's3':
    case 'gcs':
    case 'gcs_hmac': {
      const fields: [string, string | undefined][] = [
        ['KEY_ID', text(data, 'key_id') ?? text(data, 'access_key_id')],
        ['SECRET', text(data, 'secret') ?? text(data, 'secret_access_key')],
        ['REGION', text(data, 'region')],
        ['ENDPOINT', text(data, 'endpoint')],
      ]
      const given = fields.flatMap(([key, value]) =>
        value === undefined ? [] : [`, ${key} ${quote(value)}`],
      )
      const kind = type === 's3' ? 's3' : 'gcs'
      return ['LOAD httpfs', `CREATE SECRET ${identifier(alias)} (TYPE ${kind}${given.join('')})`]
    }
    default:
      throw new ToolError('auth', `"${alias}" has the type "${type}"; duckdb attaches postgres, s3 and gcs.`)
  }
}

function text(data: JsonObject, key: string): string | undefined {
  const value: Json | undefined = data[key]
  return typeof value === 'string' || isNumber(value) ? String(value) : undefined
}

export function quote(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A value as libpq's connection strings have it. */
function conninfo(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

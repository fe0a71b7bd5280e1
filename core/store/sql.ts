import type { Socket } from 'node:net'
import pg from 'pg'
import { makeError } from '../errors.ts'
import { type Json, type JsonObject, parseJson, writeJson } from '../schemas/json.ts'
import { isNumber } from '../schemas/numbers.ts'

/** One statement that a client wants run on a database of its own. */
export interface ClientStatement {
  /** Data of a postgres credential, in any of its spellings. */
  connection: JsonObject
  database?: string
  /** Searched first for names without a schema. */
  schema?: string
  query: string
  parameters: Json[]
  rowFormat: 'objects' | 'arrays'
  limits: { seconds: number; rows: number; bytes: number }
}

export type ClientResult =
  | { status: 'ok'; result: Json[]; columns: string[]; row_count: number; command: string }
  | { status: 'error'; result: []; error: string; code: string | null; position: number | null }

/** Rows asked for at once, so that a result over its limit is never on its way as a whole. */
const FETCH = 500
/** Time for connecting, and for an answer after the statement's own time is up. In milliseconds. */
const PATIENCE_MS = 5000

/**
 * Runs one statement on a connection that is opened for it and closed after it. It goes by the extended
 * protocol, which takes one statement only, and values are bound. What is wrong with the statement is a
 * result; what is wrong with the credential is thrown.
 */
export async function runClientStatement(statement: ClientStatement): Promise<ClientResult> {
  const { limits } = statement
  const client = new pg.Client({
    ...connectionOf(statement),
    application_name: 'noetl-sql-api',
    statement_timeout: limits.seconds * 1000,
    connectionTimeoutMillis: PATIENCE_MS,
  })
  // A connection that breaks tells so by the statement under way; unheard, the event would end the process.
  client.on('error', () => {})
  const timer = setTimeout(() => drop(client), limits.seconds * 1000 + 2 * PATIENCE_MS)
  try {
    await client.connect()
    const tooMuch = limitIntake(client, limits.bytes)
    if (statement.schema !== undefined) {
      await client.query(`SELECT set_config('search_path', $1, false)`, [
        pg.escapeIdentifier(statement.schema),
      ])
    }
    return await Promise.race([run(client, statement), tooMuch])
  } catch (error) {
    return failure(error)
  } finally {
    clearTimeout(timer)
    await client.end().catch(() => {})
  }
}

function run(client: pg.Client, statement: ClientStatement): Promise<ClientResult> {
  const { limits, rowFormat } = statement
  return new Promise((resolve, reject) => {
    const rows: Json[] = []
    let full = false
    const query = new pg.Query<Json[]>({
      text: statement.query,
      values: statement.parameters.map(bound),
      rowMode: 'array',
      rows: FETCH,
      types: { getTypeParser: parserOf },
    } as unknown as pg.QueryArrayConfig)
    query.on('row', (row, result) => {
      if (full) return
      const values = row as unknown as Json[]
      rows.push(rowFormat === 'arrays' ? values : asObject(values, namesOf(result)))
      if (rows.length <= limits.rows) return
      full = true
      drop(client)
      reject(new Error(`The result has more than ${limits.rows} rows; add a LIMIT.`))
    })
    query.on('error', reject)
    query.on('end', (given) => {
      const columns = namesOf(given)
      resolve({
        status: 'ok',
        result: rows,
        columns,
        // Of rows fetched in parts, Postgres counts the last part only.
        row_count: rows.length > 0 ? rows.length : (given?.rowCount ?? 0),
        command: given?.command ?? '',
      })
    })
    client.query(query)
  })
}

/** Rejects when more arrives than is allowed, and breaks the connection: also amid one value without an end. */
function limitIntake(client: pg.Client, limit: number): Promise<never> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  const exceeded = new Promise<never>((_resolve, reject) => {
    let bytes = 0
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= limit) return
      drop(client)
      reject(new Error(`The result has more than ${limit} bytes; ask for less.`))
    })
  })
  // It may come true when no one waits any more.
  exceeded.catch(() => {})
  return exceeded
}

function namesOf(result: { fields?: { name: string }[] } | undefined): string[] {
  return (result?.fields ?? []).map((field) => field.name)
}

/** Own keys whatever the columns are called; of two with one name the later stays. */
function asObject(row: Json[], names: string[]): JsonObject {
  return Object.fromEntries(names.map((name, i) => [name, row[i] ?? null]))
}

/** Breaks the connection: the server notices when it next sends, and undoes what was not committed. */
function drop(client: pg.Client): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } }
  connection.stream.destroy()
}

function failure(error: unknown): ClientResult {
  const told = error instanceof pg.DatabaseError ? error : undefined
  const hint = told?.hint === undefined ? '' : ` (${told.hint})`
  const position = told?.position === undefined ? null : Number(told.position)
  return { status: 'error', result: [], error: messageOf(error) + hint, code: told?.code ?? null, position }
}

/** Trying several addresses of a name fails with one error per address and no message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0])
  return error instanceof Error && error.message !== '' ? error.message : 'the connection failed'
}

/** Objects and lists are bound as JSON; that is what they are to a client of this API. */
function bound(value: Json): unknown {
  return typeof value === 'object' && value !== null ? writeJson(value) : value
}

/** Values as JSON has them: whole and floating numbers, booleans, JSON; the rest as Postgres writes it. */
function parserOf(oid: number): (text: string) => Json {
  switch (oid) {
    case 16: // bool
      return (text) => text === 't'
    case 21: // int2
    case 23: // int4
    case 26: // oid
      return Number
    case 700: // float4
    case 701: // float8
      return (text) => (Number.isFinite(Number(text)) ? Number(text) : text)
    case 114: // json
    case 3802: // jsonb
      return parseJson
    default:
      return (text) => text
  }
}

/** Throws NOETL_ERR_REQUEST_INVALID for a credential that names no host. */
function connectionOf({ connection, database }: ClientStatement): pg.ClientConfig {
  const dsn = text(connection, 'dsn', 'url', 'connection_string')
  const data = dsn === undefined ? connection : { ...connection, ...fieldsOfUrl(dsn) }
  const host = text(data, 'db_host', 'host')
  if (host === undefined) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      'the credential has no db_host (or host, dsn); it is none of Postgres',
    ])
  }
  const user = text(data, 'db_user', 'user', 'username') ?? 'postgres'
  const mode = text(data, 'sslmode', 'db_sslmode') ?? 'prefer'
  const ca = text(data, 'sslrootcert', 'ca')
  return {
    host,
    port: Number(text(data, 'db_port', 'port') ?? 5432),
    user,
    password: text(data, 'db_password', 'password') ?? '',
    database: database ?? text(data, 'db_name', 'database', 'dbname') ?? user,
    ssl: ['disable', 'allow', 'prefer'].includes(mode)
      ? false
      : {
          rejectUnauthorized: mode !== 'require',
          ...(ca === undefined ? {} : { ca }),
          ...(mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
        },
  }
}

function fieldsOfUrl(dsn: string): JsonObject {
  try {
    const url = new URL(dsn)
    const fields: JsonObject = Object.fromEntries(url.searchParams)
    const parts = {
      db_host: url.hostname,
      db_port: url.port,
      db_user: url.username,
      db_password: url.password,
    }
    for (const [name, value] of Object.entries({ ...parts, db_name: url.pathname.slice(1) })) {
      if (value !== '') fields[name] = decodeURIComponent(value.replace(/^\[(.*)\]$/, '$1'))
    }
    return fields
  } catch {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      'the dsn of the credential is no URL such as postgres://user:password@host:5432/name',
    ])
  }
}

function text(data: JsonObject, ...names: string[]): string | undefined {
  for (const name of names) {
    const value = Object.hasOwn(data, name) ? data[name] : undefined
    if (typeof value === 'string' && value !== '') return value
    if (isNumber(value)) return String(value)
  }
  return undefined
}

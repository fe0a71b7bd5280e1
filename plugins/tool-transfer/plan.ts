import { type Json, type JsonObject, ToolError } from '@noetl/core'
import type { TransferInput } from './input.ts'
import type { Source } from './rows.ts'

/** Where rows come from, checked. */
export type SourcePlan =
  | { type: 'http'; fields: TransferInput['source'] }
  | { type: 'postgres'; query: string; params: Json[]; auth: Auth }
  | { type: 'duckdb'; query: string; params: Json[]; database: string }

/** Where rows go, checked. */
export interface TargetPlan {
  type: 'postgres' | 'duckdb'
  auth: Auth
  database: string
  /** `[table]` or `[schema, table]`. */
  table: string[]
  mode: 'append' | 'replace' | 'upsert'
  key: string[]
  create: boolean
}

export interface Plan {
  source: SourcePlan
  target: TargetPlan
  /** Null: every field of the source, under its own name. */
  mapping: { column: string; field: string }[] | null
  batchRows: number
  seconds: number
}

export type Auth = string | JsonObject

const DEFAULT_BATCH_ROWS = 1000
const DEFAULT_TIMEOUT_SECONDS = 600

/** Checks that the step's fields fit together. Throws ToolError `schema` when they do not. */
export function readPlan(fields: TransferInput): Plan {
  const mapping = Object.entries(fields.target.mapping ?? fields.mapping ?? {}).map(([column, field]) => ({
    column,
    field,
  }))
  return {
    source: readSource(fields.source),
    target: readTarget(fields.target),
    mapping: mapping.length === 0 ? null : mapping,
    batchRows: Number(fields.batch_size ?? DEFAULT_BATCH_ROWS),
    seconds: Number(fields.timeout ?? fields.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS),
  }
}

/** The columns of the target, in the order of the source's. */
export function namesOf({ mapping, target }: Plan, source: Source): string[] {
  const names = mapping?.map(({ column }) => column) ?? source.columns.map(({ name }) => name)
  const missing = target.key.find((name) => !names.includes(name))
  if (missing === undefined || names.length === 0) return names
  throw schema(`The key column "${missing}" gets no value; the transfer has: ${names.join(', ')}.`)
}

function readSource(source: TransferInput['source']): SourcePlan {
  const { type } = source
  switch (type) {
    case 'http':
      return { type, fields: source }
    case 'postgres':
      return { type, ...readQuery(source), auth: authOf(source) }
    case 'duckdb':
      refuseAuth('source', source)
      return { type, ...readQuery(source), database: source.database ?? '' }
    case 'snowflake':
      throw schema(
        'The transfer tool does not read from Snowflake: unload the rows to files and read those with a duckdb source.',
      )
    default:
      throw schema(`A transfer's source is of type http, postgres or duckdb; seen: "${type}".`)
  }
}

function readQuery(source: TransferInput['source']): { query: string; params: Json[] } {
  const query = source.query ?? source.command ?? ''
  if (query.trim() === '')
    throw schema('A transfer from a database needs SQL in "source.query": one statement that gives the rows.')
  if (query.includes('\0')) throw schema('SQL cannot hold the character U+0000.')
  const params = source.params ?? []
  if (!Array.isArray(params) && Object.keys(params).length > 0)
    throw schema('"source.params" must be a list here: its values are bound to $1, $2, ... in order.')
  return { query, params: Array.isArray(params) ? (params as Json[]) : [] }
}

function readTarget(target: TransferInput['target']): TargetPlan {
  const { type } = target
  if (type === 'http')
    throw schema(
      'A transfer cannot write over http: a server keeps what came before a failure, and a transfer is all or nothing. Use the http tool in a loop.',
    )
  if (type === 'snowflake') throw schema('The transfer tool does not write to Snowflake.')
  if (type !== 'postgres' && type !== 'duckdb')
    throw schema(`A transfer's target is of type postgres or duckdb; seen: "${type}".`)
  const database = target.database?.trim() ?? ''
  if (type === 'duckdb') {
    refuseAuth('target', target)
    if (database === '' || database.startsWith(':memory:'))
      throw schema(
        'A duckdb target needs "target.database", the path of a file: one in memory would be gone.',
      )
  }
  const mode = target.mode ?? 'append'
  if (mode !== 'append' && mode !== 'replace' && mode !== 'upsert')
    throw schema(`"target.mode" is append, replace or upsert; seen: "${mode}".`)
  const key = typeof target.key === 'string' ? [target.key] : (target.key ?? [])
  if (mode === 'upsert' && (key.length === 0 || key.includes('')))
    throw schema('An upsert needs "target.key": the column, or list of columns, by which a row is known.')
  return {
    type,
    auth: authOf(target),
    database,
    table: splitName(target.table?.trim() ?? ''),
    mode,
    key: mode === 'upsert' ? [...new Set(key)] : [],
    create: target.create ?? false,
  }
}

const NAME = /^(?:("(?:[^"]|"")+"|[^".]+)\.)?("(?:[^"]|"")+"|[^".]+)$/s

/** `table` or `schema.table`; a part in double quotes may hold anything. */
function splitName(name: string): string[] {
  const [whole, ...parts] = NAME.exec(name) ?? []
  if (whole === undefined || name.includes('\0'))
    throw schema(`"target.table" is the name of a table, or schema.table; seen: "${name}".`)
  return parts
    .filter((part) => part !== undefined)
    .map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part))
}

function authOf(end: { auth?: unknown; credential?: string | null | undefined }): Auth {
  return (end.auth ?? end.credential ?? '') as Auth
}

function refuseAuth(which: string, end: TransferInput['source'] | TransferInput['target']): void {
  const auth = authOf(end)
  if (auth === '' || (typeof auth === 'object' && Object.keys(auth).length === 0)) return
  throw schema(
    `A duckdb ${which} of a transfer takes no "auth": it is a file. Databases are attached by the duckdb tool.`,
  )
}

function schema(message: string): ToolError {
  return new ToolError('schema', message)
}

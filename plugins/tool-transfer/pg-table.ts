import { ToolError } from '@noetl/core'
import type pg from 'pg'
import type { TargetPlan } from './plan.ts'
import type { ColumnType, Delivery } from './rows.ts'

/** A column of the target, and in what form values go there. */
export interface TargetColumn {
  name: string
  /** As it stands in SQL. */
  quoted: string
  /** What the column takes: JSON, bytes, an array (of JSON, or of other things), or text. */
  takes: 'json' | 'bytes' | 'array' | 'json array' | 'text'
}

export interface Table {
  /** As it stands in SQL, schema included. */
  quoted: string
  /** As messages show it. */
  shown: string
  columns: TargetColumn[]
}

/** The table and the columns of a delivery, in its order; created first where that is wanted. */
export async function findTable(client: pg.Client, target: TargetPlan, delivery: Delivery): Promise<Table> {
  const shown = target.table.join('.')
  let found = await lookUp(client, target.table)
  if (found === null && target.create) {
    await client.query(createSql(target, delivery))
    found = await lookUp(client, target.table)
  }
  if (found === null) {
    throw new ToolError(
      'not_found',
      `target: there is no table ${shown} in this database: create it, or set "target.create: true".`,
    )
  }
  const all = await columnsOf(client, found.oid)
  const columns = delivery.names.map((name) => {
    const column = all.get(name) ?? all.get(name.toLowerCase())
    if (column !== undefined) return column
    throw new ToolError(
      'schema',
      `target: the table ${shown} has no column "${name}"; it has: ${[...all.keys()].join(', ')}. Say with "mapping" which field goes where.`,
    )
  })
  const twice = columns.find((column, at) => columns.indexOf(column) !== at)
  if (twice !== undefined)
    throw new ToolError('schema', `target: two fields go into the column "${twice.name}" of ${shown}.`)
  return { quoted: `${quote(found.schema)}.${quote(found.name)}`, shown, columns }
}

/** A name as an identifier, whatever it holds. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** The table of that name, or of that name in lower case, as SQL reads one without quotes. */
async function lookUp(
  client: pg.Client,
  parts: readonly string[],
): Promise<{ oid: number; schema: string; name: string } | null> {
  const { rows } = await client.query<{ oid: number; schema: string; name: string }>({
    text: `SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = coalesce(to_regclass($1), to_regclass($2))`,
    values: [parts.map(quote).join('.'), parts.map((part) => quote(part.toLowerCase())).join('.')],
  })
  return rows[0] ?? null
}

async function columnsOf(client: pg.Client, oid: number): Promise<Map<string, TargetColumn>> {
  const { rows } = await client.query<{ name: string; type: string; element: string | null }>({
    text: `SELECT a.attname::text AS name, t.typname::text AS type, e.typname::text AS element
      FROM pg_attribute a
      JOIN pg_type d ON d.oid = a.atttypid
      JOIN pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
      LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
      WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    values: [oid],
  })
  return new Map(
    rows.map(({ name, type, element }) => [name, { name, quoted: quote(name), takes: takes(type, element) }]),
  )
}

function takes(type: string, element: string | null): TargetColumn['takes'] {
  const json = (name: string) => name === 'json' || name === 'jsonb'
  if (element !== null) return json(element) ? 'json array' : 'array'
  if (json(type)) return 'json'
  return type === 'bytea' ? 'bytes' : 'text'
}

const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  boolean: 'boolean',
  integer: 'integer',
  bigint: 'bigint',
  double: 'double precision',
  numeric: 'numeric',
  text: 'text',
  json: 'jsonb',
  bytes: 'bytea',
  date: 'date',
  time: 'time',
  timestamp: 'timestamp',
  timestamptz: 'timestamptz',
  uuid: 'uuid',
  interval: 'interval',
  list: 'jsonb',
}

function createSql(target: TargetPlan, { names, columns }: Delivery): string {
  const name = target.table.map(quote).join('.')
  if (names.length === 0) {
    throw new ToolError(
      'schema',
      `target: the table ${target.table.join('.')} cannot be created: no row came, so its columns are unknown. Name them in "mapping".`,
    )
  }
  const parts = names.map((column, at) => `${quote(column)} ${SQL_TYPES[columns[at]!.type]}`)
  if (target.key.length > 0) parts.push(`PRIMARY KEY (${target.key.map(quote).join(', ')})`)
  return `CREATE TABLE IF NOT EXISTS ${name} (${parts.join(', ')})`
}

import { type DuckDBConnection, LIST, VARCHAR } from '@duckdb/node-api'
import { ToolError, writeJson } from '@noetl/core'
import { duckdbFailure } from './duckdb-failures.ts'
import { type DuckdbLimits, onDuckdb } from './duckdb-session.ts'
import type { TargetPlan } from './plan.ts'
import { type Cell, type ColumnType, type Delivery, type SourceColumn, toBytes, toJson } from './rows.ts'
import type { Stop } from './stop.ts'

/** A column of the target. */
interface TargetColumn {
  name: string
  quoted: string
  /** Its type as SQL has it. */
  type: string
  takes: 'json' | 'nested' | 'bytes' | 'integer' | 'text'
}

interface Table {
  quoted: string
  shown: string
  columns: TargetColumn[]
}

/** Writes all rows of a delivery in one transaction: a batch is bound as lists of text, which DuckDB converts. */
export function writeDuckdb(
  target: TargetPlan,
  about: { stop: Stop; limits: DuckdbLimits },
  delivery: Delivery,
): Promise<void> {
  return onDuckdb(target.database, { ...about, side: 'target' }, async ({ connection, commit }) => {
    const table = await findTable(connection, target, delivery)
    if (target.mode === 'replace') await connection.run(`DELETE FROM ${table.quoted}`)
    // Without a row and without a mapping there are no columns to name.
    if (table.columns.length > 0) await insertAll(connection, { table, target, delivery, stop: about.stop })
    await commit()
  })
}

async function insertAll(
  connection: DuckDBConnection,
  about: { table: Table; target: TargetPlan; delivery: Delivery; stop: Stop },
): Promise<void> {
  const { table, target, delivery, stop } = about
  const statement = await connection.prepare(insertSql(table, target, delivery))
  try {
    let done = 0
    for await (const rows of delivery.batches) {
      stop.throwIfStopped()
      const place = `rows ${done + 1} to ${done + rows.length}: `
      for (const [at, to] of table.columns.entries()) {
        const lane = { from: delivery.columns[at]!, to, key: target.key.includes(delivery.names[at]!) }
        const texts = rows.map((row, n) => textOf(row[at]!, lane, done + n + 1))
        statement.bindList(at + 1, texts, LIST(VARCHAR))
      }
      await statement.run().catch((error: unknown) => {
        stop.throwIfStopped()
        throw duckdbFailure(error, 'target', place)
      })
      done += rows.length
    }
  } finally {
    statement.destroySync()
  }
}

function insertSql(table: Table, target: TargetPlan, delivery: Delivery): string {
  const { columns } = table
  const names = columns.map(({ quoted }) => quoted)
  const values = columns.map(({ quoted, type, takes }) => {
    if (takes === 'nested') return `CAST(CAST(${quoted} AS JSON) AS ${type})`
    return takes === 'bytes' ? `from_hex(${quoted})` : `CAST(${quoted} AS ${type})`
  })
  const lists = columns.map(({ quoted }, at) => `unnest($${at + 1}) AS ${quoted}`)
  const insert = `INSERT INTO ${table.quoted} (${names.join(', ')})`
  const places = target.key.map((name) => delivery.names.indexOf(name))
  if (places.length === 0) return `${insert} SELECT ${values.join(', ')} FROM (SELECT ${lists.join(', ')})`
  const ordinal = freeName(table)
  lists.push(`unnest(range(len($1))) AS ${ordinal}`)
  const key = places.map((place) => columns[place]!.quoted)
  const changes = names.filter((_, at) => !places.includes(at)).map((name) => `${name} = excluded.${name}`)
  // Of several rows with one key the last counts, as if they had been written one after the other.
  return `${insert} SELECT ${values.join(', ')} FROM (SELECT ${lists.join(', ')})
    QUALIFY row_number() OVER (PARTITION BY ${places.map((place) => values[place]).join(', ')} ORDER BY ${ordinal} DESC) = 1
    ON CONFLICT (${key.join(', ')}) DO ${changes.length === 0 ? 'NOTHING' : `UPDATE SET ${changes.join(', ')}`}`
}

/** A value as text in the form in which DuckDB reads its column. */
function textOf(
  cell: Cell,
  { from, to, key }: { from: SourceColumn; to: TargetColumn; key: boolean },
  ordinal: number,
): string | null {
  const misfit = (why: string, kind: 'schema' | 'db_constraint' = 'schema') =>
    new ToolError(kind, `target: row ${ordinal}, column ${to.name}: ${why}`)
  if (cell === null) {
    if (key) throw misfit('it is of the key of an upsert and has no value.', 'db_constraint')
    return null
  }
  if (to.takes === 'json' || to.takes === 'nested') {
    // The text of a database's JSON goes over unread, long numbers and all.
    return from.type === 'json' && typeof cell === 'string' && from.toJson !== undefined
      ? cell
      : writeJson(toJson(cell, from))
  }
  if (to.takes === 'bytes') {
    const bytes = cell instanceof Uint8Array ? Buffer.from(cell) : toBytes(String(cell))
    if (bytes === null) throw misfit('a text for bytes is base64, or hex after \\x; this is neither.')
    return bytes.toString('hex')
  }
  const value = from.type === 'bytes' || from.type === 'list' ? toJson(cell, from) : cell
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  const text = typeof value === 'object' ? writeJson(value) : String(value)
  // DuckDB would round it.
  if (to.takes === 'integer' && !/^[+-]?\d+$/.test(text.trim()))
    throw misfit(`${to.type} takes whole numbers alone.`)
  if (!text.isWellFormed()) throw misfit('the value holds half of a surrogate pair, which is no text.')
  return text
}

async function findTable(
  connection: DuckDBConnection,
  target: TargetPlan,
  delivery: Delivery,
): Promise<Table> {
  const shown = target.table.join('.')
  let all = await columnsOf(connection, target.table)
  if (all.size === 0 && target.create) {
    await connection.run(createSql(target, delivery))
    all = await columnsOf(connection, target.table)
  }
  if (all.size === 0) {
    throw new ToolError(
      'not_found',
      `target: there is no table ${shown} in ${target.database}: create it, or set "target.create: true".`,
    )
  }
  const columns = delivery.names.map((name) => {
    const column = all.get(name.toLowerCase())
    if (column !== undefined) return column
    const there = [...all.values()].map(({ name }) => name).join(', ')
    throw new ToolError(
      'schema',
      `target: the table ${shown} has no column "${name}"; it has: ${there}. Say with "mapping" which field goes where.`,
    )
  })
  const twice = columns.find((column, at) => columns.indexOf(column) !== at)
  if (twice !== undefined)
    throw new ToolError('schema', `target: two fields go into the column "${twice.name}" of ${shown}.`)
  return { quoted: target.table.map(quote).join('.'), shown, columns }
}

/** By lower-case name: DuckDB makes no difference. */
async function columnsOf(
  connection: DuckDBConnection,
  table: readonly string[],
): Promise<Map<string, TargetColumn>> {
  const reader = await connection.runAndReadAll(
    `SELECT column_name, data_type FROM duckdb_columns()
     WHERE database_name = current_database() AND lower(table_name) = lower($1)
       AND lower(schema_name) = lower(coalesce($2, current_schema())) ORDER BY column_index`,
    [table.at(-1)!, table.length === 2 ? table[0]! : null],
    [VARCHAR, VARCHAR],
  )
  return new Map(
    reader.getRows().map(([column, data]) => {
      const [name, type] = [String(column), String(data)]
      return [name.toLowerCase(), { name, quoted: quote(name), type, takes: takes(type) }]
    }),
  )
}

function takes(type: string): TargetColumn['takes'] {
  if (type === 'JSON') return 'json'
  if (type === 'BLOB') return 'bytes'
  if (/\]$|^(STRUCT|MAP|UNION)\(/.test(type)) return 'nested'
  return /^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(type) ? 'integer' : 'text'
}

const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  boolean: 'BOOLEAN',
  integer: 'INTEGER',
  bigint: 'BIGINT',
  double: 'DOUBLE',
  numeric: 'DECIMAL(38, 10)',
  text: 'VARCHAR',
  json: 'JSON',
  bytes: 'BLOB',
  date: 'DATE',
  time: 'TIME',
  timestamp: 'TIMESTAMP',
  timestamptz: 'TIMESTAMPTZ',
  uuid: 'UUID',
  interval: 'INTERVAL',
  list: 'JSON',
}

function createSql(target: TargetPlan, { names, columns }: Delivery): string {
  if (names.length === 0) {
    throw new ToolError(
      'schema',
      `target: the table ${target.table.join('.')} cannot be created: no row came, so its columns are unknown. Name them in "mapping".`,
    )
  }
  const parts = names.map((column, at) => `${quote(column)} ${SQL_TYPES[columns[at]!.type]}`)
  if (target.key.length > 0) parts.push(`PRIMARY KEY (${target.key.map(quote).join(', ')})`)
  return `CREATE TABLE ${target.table.map(quote).join('.')} (${parts.join(', ')})`
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function freeName({ columns }: Table): string {
  let name = 'noetl_row'
  while (columns.some((column) => column.name.toLowerCase() === name)) name += '_'
  return name
}

import { hasTemplate } from '../template/tokens.ts'

/*
 * SQL that writes rows into a table. Values are never part of its text: all rows go as JSON in one bound value, and
 * the database reads each column from it with the type that the table has. Where the columns are known only when it
 * runs, a template writes their names, each quoted; `rows` is the expression that gives the rows then.
 *
 * The statement names the columns that some row has, so that the table's defaults fill the others. Of columns that
 * only some rows have, the other rows get NULL: a statement cannot say DEFAULT for one row of many.
 */

export interface Write {
  /** As SQL reads it: words without quotes are in lower case. May hold a template. */
  table: string
  /** Undefined: the keys of the rows. */
  columns: string[] | undefined
  rows: string
  mode: 'append' | 'replace' | 'upsert'
  /** Columns that tell a row from others, for `upsert`. */
  key: string[]
}

/** One statement whose `$1` is the rows as JSON. */
export function postgresWrite(write: Write): string {
  const table = tableName(write.table)
  const columns = columnList(write, (name) => name)
  const from = `jsonb_populate_recordset(NULL::${table}, $1::jsonb)`
  if (write.mode === 'replace') {
    // The rows are taken once the old ones are gone, or these would stand in the way of equal keys.
    return (
      `WITH gone AS (DELETE FROM ${table} RETURNING 1)\n` +
      `INSERT INTO ${table} (${columns})\n` +
      `SELECT ${columns} FROM (SELECT count(*) FROM gone) AS emptied, ${from} AS fresh`
    )
  }
  return `INSERT INTO ${table} (${columns})\nSELECT ${columns} FROM ${from} AS fresh${onConflict(write)}`
}

/** One statement, or two for `replace`, whose `$rows` is the rows as JSON. */
export function duckdbWrite(write: Write): string {
  const table = tableName(write.table)
  const columns = columnList(write, (name) => name)
  const shape =
    write.columns === undefined
      ? eachColumn(write, `{{ column | tojson | replace("'", "''") }}: "VARCHAR"`)
      : write.columns.map((name) => `${literalPart(JSON.stringify(name))}: "VARCHAR"`).join(', ')
  // Text is turned into the columns' own types as it is inserted; the blanks keep braces apart from templates.
  const from = `(SELECT unnest(from_json($rows::JSON, '[{ ${shape} }]'), recursive := true)) AS fresh`
  const insert = `INSERT INTO ${table} (${columns})\nSELECT ${columns} FROM ${from}${onConflict(write)}`
  return write.mode === 'replace' ? `BEGIN;\nDELETE FROM ${table};\n${insert};\nCOMMIT;` : insert
}

function onConflict(write: Write): string {
  if (write.mode !== 'upsert') return ''
  const key = write.key.map(quoted).join(', ')
  const assign = (name: string) => `${name} = excluded.${name}`
  if (write.columns !== undefined) {
    const rest = write.columns.filter((name) => !write.key.includes(name)).map(quoted)
    const action = rest.length === 0 ? 'NOTHING' : `UPDATE SET ${rest.map(assign).join(', ')}`
    return `\nON CONFLICT (${key}) DO ${action}`
  }
  const others = `${columnsOf(write)} | reject('in', ${JSON.stringify(write.key)}) | list`
  const each = eachOf(others, assign(QUOTED_COLUMN))
  return `\nON CONFLICT (${key}) DO {% if ${others} %}UPDATE SET ${each}{% else %}NOTHING{% endif %}`
}

const QUOTED_COLUMN = `"{{ column | replace('"', '""') }}"`

function columnList(write: Write, show: (name: string) => string): string {
  return write.columns === undefined
    ? eachColumn(write, show(QUOTED_COLUMN))
    : write.columns.map((name) => show(quoted(name))).join(', ')
}

function eachColumn(write: Write, text: string): string {
  return eachOf(columnsOf(write), text)
}

/** Rows with the same keys are looked at once: there are many rows, and few sets of keys. */
function columnsOf({ rows }: Write): string {
  return `${rows} | map('list') | unique | sum(start=[]) | unique`
}

function eachOf(columns: string, text: string): string {
  return `{% for column in ${columns} %}{% if not loop.first %}, {% endif %}${text}{% endfor %}`
}

const WORD = /^[A-Za-z_][A-Za-z0-9_$]*$/

/** `schema.table`, quoted part by part as SQL reads it. A name with a template is quoted when it is known. */
function tableName(table: string): string {
  if (hasTemplate(table)) {
    return `"{% set _table %}${table}{% endset %}{{ _table | trim | replace('"', '') | lower | replace('.', '"."') }}"`
  }
  const parts = table.trim().match(/"(?:[^"]|"")+"|[^.]+/g) ?? []
  return parts
    .map((part) => (part.startsWith('"') ? part : quoted(WORD.test(part) ? part.toLowerCase() : part)))
    .join('.')
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function literalPart(text: string): string {
  return text.replaceAll("'", "''")
}

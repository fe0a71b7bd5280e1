import { isObject, type Json, type JsonObject, writeJson } from '@noetl/core'
import pg from 'pg'
import { type ParseValue, parserOf } from './values.ts'

/** What one statement gave. */
export interface StatementResult {
  rows: JsonObject[]
  columns: string[]
  row_count: number
  /** Rows changed; 0 for what only reads. */
  affected_rows: number
}

/** Counts what a call has taken in over all its statements, and says once when it is too much. */
export interface Intake {
  rows: number
  bytes: number
  exceeded: boolean
  maxRows: number
  maxBytes: number
  onExceeded(): void
}

const CHANGES = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE', 'COPY'])

/**
 * Runs one statement. Without values it goes as a simple query, in which VACUUM and CREATE INDEX
 * CONCURRENTLY are allowed; `single` sends it so that the server takes one statement only. Rows are counted as they arrive: past the limit they are dropped.
 */
export function runStatement(
  client: pg.ClientBase,
  statement: { text: string; values: readonly Json[] | null; single?: boolean },
  intake: Intake,
): Promise<StatementResult> {
  return new Promise((resolve, reject) => {
    const rows: JsonObject[] = []
    const query = new pg.Query<JsonObject>({
      text: statement.text,
      ...(statement.values === null ? {} : { values: statement.values.map(bound) }),
      ...(statement.single ? { queryMode: 'extended' } : {}),
      types: { getTypeParser: (oid: number) => counting(parserOf(oid), intake) },
    } as pg.QueryConfig)
    query.on('row', (row) => {
      intake.rows++
      if (!intake.exceeded && (intake.rows > intake.maxRows || intake.bytes > intake.maxBytes)) {
        intake.exceeded = true
        intake.onExceeded()
      }
      if (!intake.exceeded) rows.push(row)
    })
    query.on('error', reject)
    query.on('end', (given) => {
      // A rule may turn one statement into several; the last answer is the statement's own.
      const last = (Array.isArray(given) ? given.at(-1) : given) as pg.QueryResult
      const columns = (last.fields ?? []).map((field) => field.name)
      resolve({
        rows,
        columns,
        row_count: last.rowCount ?? rows.length,
        affected_rows: CHANGES.has(last.command) ? (last.rowCount ?? 0) : 0,
      })
    })
    client.query(query)
  })
}

function counting(parse: ParseValue, intake: Intake): ParseValue {
  return (text) => {
    intake.bytes += text.length
    return intake.exceeded ? null : parse(text)
  }
}

/** The driver writes JSON itself, but not so that a whole float beyond 2^53 is still one when it is read. */
function bound(value: Json): unknown {
  return isObject(value) ? writeJson(value) : value
}

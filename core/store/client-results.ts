import { createHash } from 'node:crypto'
import type pg from 'pg'
import type { Json } from '../schemas/json.ts'
import { jsonText } from './json-text.ts'

/** From here on a value is said to be on `disk` rather than in `kv`, as clients know it. In bytes. */
const DISK_BYTES = 1024 * 1024

/** A stored result as it may be listed: without its data. */
export interface ResultEntry {
  execution_id: string
  result_id: string
  name: string
  store: string
  bytes: string
  sha256: string | null
  created_at: Date
}

const COLUMNS = 'execution_id, result_id, name, store, bytes, sha256, created_at'

/** Stores a value that a client puts beside an execution; undefined when there is no such execution. */
export async function putResult(
  pool: pg.Pool,
  value: { execution_id: string; result_id: string; name: string; data: Json },
): Promise<ResultEntry | undefined> {
  const text = jsonText(value.data)
  const bytes = Buffer.byteLength(text)
  const { rows } = await pool.query<ResultEntry>({
    name: 'put-result',
    text: `INSERT INTO noetl.result (execution_id, result_id, name, store, bytes, sha256, data)
           SELECT execution_id, $2, $3, $4, $5, $6, $7 FROM noetl.execution WHERE execution_id = $1
           RETURNING ${COLUMNS}`,
    values: [
      value.execution_id,
      value.result_id,
      value.name,
      bytes < DISK_BYTES ? 'kv' : 'disk',
      bytes,
      createHash('sha256').update(text).digest('hex'),
      text,
    ],
  })
  return rows[0]
}

/** Values stored beside an execution, oldest first: those of clients and results that were large. */
export async function listResults(
  pool: pg.Pool,
  executionId: string,
  page: { limit: number; offset: number },
): Promise<ResultEntry[]> {
  const { rows } = await pool.query<ResultEntry>({
    name: 'list-results',
    text: `SELECT ${COLUMNS} FROM noetl.result WHERE execution_id = $1 ORDER BY result_id LIMIT $2 OFFSET $3`,
    values: [executionId, page.limit, page.offset],
  })
  return rows
}

import { createHash } from 'node:crypto'
import type pg from 'pg'
import type { JsonObject } from '../schemas/json.ts'
import { jsonText } from './json-text.ts'

/** After this, a batch without an answer is taken to have died with its server. In seconds. */
const PATIENCE_SECONDS = 60

/** A batch of events that was sent under a key. */
export interface EventBatch {
  key: string
  request_id: string
  events: number
  /** Null while it is taken in. */
  answer: JsonObject | null
  created_at: Date
  finished_at: Date | null
}

const COLUMNS = 'key, request_id, events, answer, created_at, finished_at'

/** Takes the key for a batch. Undefined when another holds it; else the id of the request. */
export async function takeBatchKey(
  pool: pg.Pool,
  batch: { key: string; request_id: string; body: unknown; events: number },
): Promise<string | undefined> {
  const { rows } = await pool.query<{ request_id: string }>({
    name: 'take-batch-key',
    text: `INSERT INTO noetl.event_batch AS b (key, request_id, body_digest, events) VALUES ($1, $2, $3, $4)
           ON CONFLICT (key) DO UPDATE SET begun_at = now()
           WHERE b.answer IS NULL AND b.body_digest = excluded.body_digest
             AND b.begun_at < now() - $5 * interval '1 second'
           RETURNING request_id`,
    values: [batch.key, batch.request_id, digestOf(batch.body), batch.events, PATIENCE_SECONDS],
  })
  return rows[0]?.request_id
}

/** The batch of a key, and whether it was sent with this body. */
export async function readBatchKey(
  pool: pg.Pool,
  key: string,
  body: unknown,
): Promise<(EventBatch & { same: boolean }) | undefined> {
  const { rows } = await pool.query({
    name: 'read-batch-key',
    text: `SELECT ${COLUMNS}, body_digest = $2 AS same FROM noetl.event_batch WHERE key = $1`,
    values: [key, digestOf(body)],
  })
  return rows[0]
}

export async function getBatch(pool: pg.Pool, requestId: string): Promise<EventBatch | undefined> {
  const { rows } = await pool.query<EventBatch>({
    name: 'get-batch',
    text: `SELECT ${COLUMNS} FROM noetl.event_batch WHERE request_id = $1`,
    values: [requestId],
  })
  return rows[0]
}

/** Keeps what was answered; null gives the key back, for who sends the batch again. */
export async function finishBatch(
  pool: pg.Pool,
  requestId: string,
  answer: JsonObject | null,
): Promise<void> {
  await pool.query({
    name: 'finish-batch',
    text: `UPDATE noetl.event_batch SET answer = $2, finished_at = CASE WHEN $2::json IS NOT NULL THEN now() END,
             begun_at = CASE WHEN $2::json IS NULL THEN '-infinity' ELSE begun_at END
           WHERE request_id = $1`,
    values: [requestId, answer === null ? null : jsonText(answer)],
  })
}

/** Forgets some of the batches of yesterday: a few with every new one. */
export async function forgetBatches(pool: pg.Pool): Promise<void> {
  await pool.query({
    name: 'forget-batches',
    text: `DELETE FROM noetl.event_batch WHERE key IN (
             SELECT key FROM noetl.event_batch WHERE created_at < now() - interval '1 day'
             ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)`,
    values: [],
  })
}

function digestOf(body: unknown): Buffer {
  return createHash('sha256').update(JSON.stringify(body)).digest()
}

import { createHash } from 'node:crypto'
import type pg from 'pg'

/** The longest time for which a key is remembered. In seconds. */
export const LONGEST_WINDOW = 7 * 86_400

/** After this, a start that left no execution is taken to have died. In seconds. */
const PATIENCE_SECONDS = 60

/** A start of a playbook that must not be repeated within a time. */
export interface StartKey {
  path: string
  key: string
  window_secs: number
}

/**
 * Takes the key for an execution that is about to begin. False when another holds it: one that began within
 * the window, or that is about to begin.
 */
export async function takeStartKey(pool: pg.Pool, key: StartKey, executionId: string): Promise<boolean> {
  const { rowCount } = await pool.query({
    name: 'take-start-key',
    text: `INSERT INTO noetl.start_key AS k (digest, execution_id) VALUES ($1, $2)
           ON CONFLICT (digest) DO UPDATE SET execution_id = excluded.execution_id, created_at = now()
           WHERE k.created_at < now() - $3 * interval '1 second'
              OR (k.created_at < now() - $4 * interval '1 second'
                  AND NOT EXISTS (SELECT 1 FROM noetl.execution e WHERE e.execution_id = k.execution_id))
           RETURNING 1`,
    values: [digestOf(key), executionId, key.window_secs, PATIENCE_SECONDS],
  })
  return (rowCount ?? 0) > 0
}

/** Who holds a key, and whether that execution has begun. */
export async function readStartKey(
  pool: pg.Pool,
  key: StartKey,
): Promise<{ execution_id: string; begun: boolean } | undefined> {
  const { rows } = await pool.query({
    name: 'read-start-key',
    text: `SELECT k.execution_id, e.execution_id IS NOT NULL AS begun
           FROM noetl.start_key k LEFT JOIN noetl.execution e USING (execution_id) WHERE k.digest = $1`,
    values: [digestOf(key)],
  })
  return rows[0]
}

/** Gives a key back whose execution did not begin after all. */
export async function freeStartKey(pool: pg.Pool, key: StartKey, executionId: string): Promise<void> {
  await pool.query(
    `DELETE FROM noetl.start_key k WHERE digest = $1 AND execution_id = $2
       AND NOT EXISTS (SELECT 1 FROM noetl.execution e WHERE e.execution_id = k.execution_id)`,
    [digestOf(key), executionId],
  )
}

/** Forgets some of the keys that no window reaches any more: a few with every start under a key. */
export async function forgetStartKeys(pool: pg.Pool): Promise<void> {
  await pool.query({
    name: 'forget-start-keys',
    text: `DELETE FROM noetl.start_key WHERE digest IN (
             SELECT digest FROM noetl.start_key WHERE created_at < now() - $1 * interval '1 second'
             ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)`,
    values: [LONGEST_WINDOW],
  })
}

function digestOf({ path, key }: StartKey): Buffer {
  return createHash('sha256').update(`${path}\0${key}`).digest()
}

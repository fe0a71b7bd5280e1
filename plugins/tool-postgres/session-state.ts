import type { Statement } from './split-statements.ts'

/**
 * Whether a statement may leave something on its connection that the next call would see: settings,
 * temporary tables, prepared statements, locks of the session. Read off the text, so that the plain
 * statements, nearly all there are, cost no extra round trip. What a called function does is not seen.
 */
export function mayLeaveState({ keyword, text }: Statement): boolean {
  return !CLEAN.has(keyword) || LEAVES_STATE.test(text)
}

const CLEAN = new Set([
  'ABORT',
  'ALTER',
  'ANALYZE',
  'BEGIN',
  'CHECKPOINT',
  'CLUSTER',
  'COMMENT',
  'COMMIT',
  'COPY',
  'CREATE',
  'DELETE',
  'DROP',
  'END',
  'GRANT',
  'INSERT',
  'LOCK',
  'MERGE',
  'REFRESH',
  'REINDEX',
  'RELEASE',
  'REVOKE',
  'ROLLBACK',
  'SAVEPOINT',
  'SELECT',
  'SHOW',
  'START',
  'TABLE',
  'TRUNCATE',
  'UPDATE',
  'VACUUM',
  'VALUES',
  'WITH',
])

const LEAVES_STATE =
  /\b(?:temp|temporary|pg_temp|set_config|dblink_connect\w*|pg_(?:try_)?advisory_lock\w*)\b/i

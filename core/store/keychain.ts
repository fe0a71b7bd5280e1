import type pg from 'pg'
import type { EncryptionKey } from '../schemas/encryption-key.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { type Sealed, seal, unseal } from './sealing.ts'

/** Who may read an entry: one execution, all that were started from the same one, or every execution of a playbook. */
export const KEY_SCOPES = ['local', 'shared', 'global'] as const
export type KeyScope = (typeof KEY_SCOPES)[number]

/** The place of an entry. `execution_id` is '0' for global ones, and of shared ones the topmost execution's. */
export interface KeyPlace {
  catalog_id: string
  name: string
  scope_type: KeyScope
  execution_id: string
}

/** An entry as it may be shown: without its data. */
export interface KeyEntry extends KeyPlace {
  credential_type: string | null
  cache_type: string
  auto_renew: boolean
  expires_at: Date | null
  is_expired: boolean
  access_count: string
  accessed_at: Date | null
  created_at: Date
  updated_at: Date
}

/** What is sealed of an entry. */
export interface KeyData {
  data: JsonObject
  renew_config: Json
}

const COLUMNS = `k.catalog_id, k.name, k.scope_type, k.execution_id, k.credential_type, k.cache_type, k.auto_renew,
  k.expires_at, coalesce(k.expires_at <= now(), false) AS is_expired, k.access_count, k.accessed_at, k.created_at,
  k.updated_at`

/** Stores an entry, or replaces the one at its place. */
export async function putKey(
  pool: pg.Pool,
  key: EncryptionKey | undefined,
  entry: KeyPlace &
    KeyData & {
      credential_type: string | null
      cache_type: string
      auto_renew: boolean
      expires_at: Date | null
    },
): Promise<KeyEntry> {
  const { key_id, sealed } = seal(key, placeOf(entry), { data: entry.data, renew_config: entry.renew_config })
  const { rows } = await pool.query<KeyEntry>({
    name: 'put-key',
    text: `INSERT INTO noetl.keychain AS k (catalog_id, name, scope_type, execution_id, credential_type, cache_type,
             key_id, sealed, auto_renew, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
           ON CONFLICT (catalog_id, name, scope_type, execution_id) DO UPDATE
           SET credential_type = excluded.credential_type, cache_type = excluded.cache_type, key_id = excluded.key_id,
               sealed = excluded.sealed, auto_renew = excluded.auto_renew, expires_at = excluded.expires_at,
               updated_at = now(), access_count = 0, accessed_at = NULL
           RETURNING ${COLUMNS}`,
    values: [
      entry.catalog_id,
      entry.name,
      entry.scope_type,
      entry.execution_id,
      entry.credential_type,
      entry.cache_type,
      key_id,
      sealed,
      entry.auto_renew,
      entry.expires_at,
    ],
  })
  return rows[0]!
}

/** The first of the places that holds an entry which has not expired, with its data; counts the access. */
export async function openKey(
  pool: pg.Pool,
  key: EncryptionKey | undefined,
  places: KeyPlace[],
): Promise<(KeyEntry & KeyData) | undefined> {
  const { rows } = await pool.query<KeyEntry & Sealed>({
    name: 'open-key',
    text: `WITH found AS (
             SELECT catalog_id, name, scope_type, execution_id
             FROM ROWS FROM (json_to_recordset($1::json)
               AS (catalog_id bigint, name text, scope_type text, execution_id bigint))
               WITH ORDINALITY AS p(catalog_id, name, scope_type, execution_id, place)
             JOIN noetl.keychain USING (catalog_id, name, scope_type, execution_id)
             WHERE expires_at IS NULL OR expires_at > now()
             ORDER BY place LIMIT 1)
           UPDATE noetl.keychain k SET access_count = k.access_count + 1, accessed_at = now()
           FROM found f
           WHERE k.catalog_id = f.catalog_id AND k.name = f.name AND k.scope_type = f.scope_type
             AND k.execution_id = f.execution_id
           RETURNING ${COLUMNS}, k.key_id, k.sealed`,
    values: [JSON.stringify(places)],
  })
  const row = rows[0]
  if (row === undefined) return undefined
  const { key_id, sealed, ...entry } = row
  const opened = unseal(key, { place: placeOf(entry), name: entry.name, row: { key_id, sealed } })
  return {
    ...entry,
    data: isObject(opened.data) ? opened.data : {},
    renew_config: opened.renew_config ?? null,
  }
}

/** Entries of a playbook, without their data. */
export async function listKeys(pool: pg.Pool, catalogId: string, limit: number): Promise<KeyEntry[]> {
  const { rows } = await pool.query<KeyEntry>({
    name: 'list-keys',
    text: `SELECT ${COLUMNS} FROM noetl.keychain k WHERE catalog_id = $1
           ORDER BY name, scope_type, execution_id DESC LIMIT $2`,
    values: [catalogId, limit],
  })
  return rows
}

/** True when there was one. */
export async function deleteKey(pool: pg.Pool, place: KeyPlace): Promise<boolean> {
  const { rowCount } = await pool.query(
    `DELETE FROM noetl.keychain WHERE catalog_id = $1 AND name = $2 AND scope_type = $3 AND execution_id = $4`,
    [place.catalog_id, place.name, place.scope_type, place.execution_id],
  )
  return (rowCount ?? 0) > 0
}

/** Forgets some of the entries that have expired: a few with every one that is stored. */
export async function forgetExpiredKeys(pool: pg.Pool): Promise<void> {
  await pool.query({
    name: 'forget-expired-keys',
    text: `DELETE FROM noetl.keychain k USING (
             SELECT catalog_id, name, scope_type, execution_id FROM noetl.keychain
             WHERE expires_at < now() - interval '1 hour' ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED) old
           WHERE k.catalog_id = old.catalog_id AND k.name = old.name AND k.scope_type = old.scope_type
             AND k.execution_id = old.execution_id`,
    values: [],
  })
}

function placeOf({ catalog_id, name, scope_type, execution_id }: KeyPlace): string {
  return `keychain/${catalog_id}/${scope_type}/${execution_id}/${name}`
}

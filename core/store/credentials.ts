import type pg from 'pg'
import type { EncryptionKey } from '../schemas/encryption-key.ts'
import { type Json, type JsonObject, writeJson } from '../schemas/json.ts'
import { type Sealed, seal, unseal } from './sealing.ts'

/** A credential as it may be shown: without its data. */
export interface CredentialEntry {
  credential_id: string
  name: string
  type: string
  meta: Json
  tags: Json
  description: string | null
  created_at: Date
  updated_at: Date
}

const COLUMNS = 'credential_id, name, type, meta, tags, description, created_at, updated_at'

/** Creates or replaces by name. The data is sealed; the name is bound to it. */
export async function putCredential(
  pool: pg.Pool,
  key: EncryptionKey | undefined,
  credential: {
    credential_id: string
    name: string
    type: string
    data: JsonObject
    meta: Json
    tags: Json
    description: string | null
  },
): Promise<CredentialEntry> {
  const { key_id, sealed } = seal(key, credential.name, credential.data)
  const { rows } = await pool.query<CredentialEntry>(
    `INSERT INTO noetl.credential (credential_id, name, type, key_id, sealed, meta, tags, description)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (name) DO UPDATE SET type = excluded.type, key_id = excluded.key_id, sealed = excluded.sealed,
       meta = excluded.meta, tags = excluded.tags, description = excluded.description, updated_at = now()
     RETURNING ${COLUMNS}`,
    [
      credential.credential_id,
      credential.name,
      credential.type,
      key_id,
      sealed,
      writeJson(credential.meta),
      writeJson(credential.tags),
      credential.description,
    ],
  )
  return rows[0]!
}

/** By name or id, without data. */
export async function getCredential(pool: pg.Pool, nameOrId: string): Promise<CredentialEntry | undefined> {
  const { rows } = await pool.query<CredentialEntry>(
    `SELECT ${COLUMNS} FROM noetl.credential WHERE name = $1 OR credential_id::text = $1`,
    [nameOrId],
  )
  return rows[0]
}

/** The data of a credential, for the one that runs a tool. */
export async function openCredential(
  pool: pg.Pool,
  key: EncryptionKey | undefined,
  name: string,
): Promise<JsonObject | undefined> {
  const { rows } = await pool.query<Sealed>('SELECT sealed, key_id FROM noetl.credential WHERE name = $1', [
    name,
  ])
  return rows[0] === undefined ? undefined : unseal(key, { place: name, name, row: rows[0] })
}

export async function listCredentials(
  pool: pg.Pool,
  filter: { type?: string; text?: string },
): Promise<CredentialEntry[]> {
  const { rows } = await pool.query<CredentialEntry>(
    `SELECT ${COLUMNS} FROM noetl.credential
     WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR strpos(lower(name), lower($2)) > 0)
     ORDER BY name LIMIT 1000`,
    [filter.type ?? null, filter.text ?? null],
  )
  return rows
}

/** True when there was one. */
export async function deleteCredential(pool: pg.Pool, nameOrId: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    'DELETE FROM noetl.credential WHERE name = $1 OR credential_id::text = $1',
    [nameOrId],
  )
  return (rowCount ?? 0) > 0
}

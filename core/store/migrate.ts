import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { makeError } from '../errors.ts'
import { ensurePartitions } from './partitions.ts'

const FOLDER = new URL('./migrations/', import.meta.url)
/** Any number that no one else takes: two servers that migrate at once wait for each other. */
const LOCK = 7_261_984_301

interface Migration {
  version: number
  name: string
  sql: string
}

/** Brings a database to the newest schema, one transaction a migration. Safe to run twice and at once. */
export async function migrate(connectionString: string): Promise<{ applied: string[]; version: number }> {
  const migrations = await readMigrations()
  const client = new pg.Client({ connectionString, application_name: 'noetl-migrate' })
  await client.connect()
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK])
    await client.query('CREATE SCHEMA IF NOT EXISTS noetl')
    await client.query(
      `CREATE TABLE IF NOT EXISTS noetl.migration (
         version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`,
    )
    const current = await currentVersion(client)
    const applied: string[] = []
    for (const migration of migrations) {
      if (migration.version <= current) continue
      await client.query('BEGIN')
      await client.query(migration.sql)
      await client.query('INSERT INTO noetl.migration (version, name) VALUES ($1, $2)', [
        migration.version,
        migration.name,
      ])
      await client.query('COMMIT')
      applied.push(migration.name)
    }
    // While the table of events is small: a partition is made under a lock, and the default one is looked through.
    await ensurePartitions(client, Date.now())
    return { applied, version: migrations.at(-1)?.version ?? 0 }
  } finally {
    await client.end()
  }
}

/** The version there is, the one that is needed, and tables that are not there. */
export async function readSchema(
  pool: pg.Pool,
): Promise<{ found: number; needed: number; missing: string[] }> {
  const migrations = await readMigrations()
  const tables = migrations.flatMap(({ sql }) =>
    [...sql.matchAll(/^CREATE TABLE noetl\.(\w+)/gm)].map(([, name]) => name),
  )
  const { rows } = await pool.query<{ missing: string[] }>(
    `SELECT coalesce(array_agg(name), '{}') AS missing FROM unnest($1::text[]) AS name
     WHERE to_regclass('noetl.' || quote_ident(name)) IS NULL`,
    [tables],
  )
  return {
    found: await currentVersion(pool),
    needed: migrations.at(-1)?.version ?? 0,
    missing: rows[0]!.missing,
  }
}

/** Throws NOETL_ERR_STORE_SCHEMA unless the database has the schema that this version needs, or a newer one. */
export async function checkSchema(pool: pg.Pool): Promise<void> {
  const needed = (await readMigrations()).at(-1)?.version ?? 0
  const found = await currentVersion(pool)
  if (found < needed) throw makeError('NOETL_ERR_STORE_SCHEMA', [found, needed])
}

async function currentVersion(db: pg.Client | pg.Pool): Promise<number> {
  const { rows } = await db.query<{ there: boolean }>(
    `SELECT to_regclass('noetl.migration') IS NOT NULL AS there`,
  )
  if (!rows[0]?.there) return 0
  const newest = await db.query<{ version: number }>(
    'SELECT coalesce(max(version), 0)::int AS version FROM noetl.migration',
  )
  return newest.rows[0]!.version
}

async function readMigrations(): Promise<Migration[]> {
  const files = (await readdir(FOLDER)).filter((file) => file.endsWith('.sql')).sort()
  return Promise.all(
    files.map(async (file) => ({
      version: Number.parseInt(file, 10),
      name: file.slice(0, -4),
      sql: await readFile(new URL(file, FOLDER), 'utf8'),
    })),
  )
}

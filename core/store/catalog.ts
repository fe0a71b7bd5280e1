import type pg from 'pg'
import type { Json, JsonObject } from '../schemas/json.ts'
import { jsonText } from './json-text.ts'

export interface CatalogEntry {
  catalog_id: string
  path: string
  version: number
  kind: string
  content: string
  payload: Json
  meta: JsonObject | null
  created_at: Date
  /** When it was put away; null: it is in use. */
  archived_at: Date | null
}

const COLUMNS = 'catalog_id, path, version, kind, content, payload, meta, created_at, archived_at'

/** Stores a document as the next version of its path. */
export async function addCatalogEntry(
  pool: pg.Pool,
  entry: { catalog_id: string; path: string; kind: string; content: string; payload: Json; meta: JsonObject },
): Promise<number> {
  // Two at once meet at the unique key; the later one takes the number after.
  for (;;) {
    const { rows } = await pool.query<{ version: number }>(
      `INSERT INTO noetl.catalog (catalog_id, path, version, kind, content, payload, meta)
       SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5, $6 FROM noetl.catalog WHERE path = $2
       ON CONFLICT (path, version) DO NOTHING RETURNING version`,
      [
        entry.catalog_id,
        entry.path,
        entry.kind,
        entry.content,
        jsonText(entry.payload),
        jsonText(entry.meta),
      ],
    )
    if (rows[0]) return rows[0].version
  }
}

/** One entry by id, or by path and version (newest when absent); by path, those put away only when asked for. */
export async function getCatalogEntry(
  pool: pg.Pool,
  key: { catalogId: string } | { path: string; version?: number; archived?: boolean },
): Promise<CatalogEntry | undefined> {
  const { rows } =
    'catalogId' in key
      ? await pool.query<CatalogEntry>({
          name: 'catalog-by-id',
          text: `SELECT ${COLUMNS} FROM noetl.catalog WHERE catalog_id = $1`,
          values: [key.catalogId],
        })
      : await pool.query<CatalogEntry>({
          name: 'catalog-by-path',
          text: `SELECT ${COLUMNS} FROM noetl.catalog
                 WHERE path = $1 AND ($2::int IS NULL OR version = $2) AND ($3 OR archived_at IS NULL)
                 ORDER BY version DESC LIMIT 1`,
          values: [key.path, key.version ?? null, key.archived ?? false],
        })
  return rows[0]
}

/** The newest version of a path, without its text: asked for every start. */
export async function getNewestId(pool: pg.Pool, path: string): Promise<string | undefined> {
  const { rows } = await pool.query<{ catalog_id: string }>({
    name: 'catalog-newest',
    text: `SELECT catalog_id FROM noetl.catalog WHERE path = $1 AND archived_at IS NULL
           ORDER BY version DESC LIMIT 1`,
    values: [path],
  })
  return rows[0]?.catalog_id
}

/** All entries, of one kind or of any (without regard to case), newest first. */
export async function listCatalog(
  pool: pg.Pool,
  options: { kind?: string; archived?: boolean; limit: number; offset?: number },
): Promise<CatalogEntry[]> {
  const { rows } = await pool.query<CatalogEntry>(
    `SELECT ${COLUMNS} FROM noetl.catalog
     WHERE ($1::text IS NULL OR lower(kind) = lower($1)) AND ($2 OR archived_at IS NULL)
     ORDER BY catalog_id DESC LIMIT $3 OFFSET $4`,
    [options.kind ?? null, options.archived ?? false, options.limit, options.offset ?? 0],
  )
  return rows
}

/** Puts one version or all of a path away, or brings them back: how many there are, and which it changed. */
export async function archiveEntries(
  pool: pg.Pool,
  key: { path: string; version?: number; archived: boolean },
): Promise<{ found: number; versions: number[] }> {
  const { rows } = await pool.query<{ found: number; versions: number[] }>(
    `WITH changed AS (
       UPDATE noetl.catalog SET archived_at = CASE WHEN $3 THEN now() END
       WHERE path = $1 AND ($2::int IS NULL OR version = $2) AND (archived_at IS NOT NULL) <> $3
       RETURNING version)
     SELECT (SELECT count(*)::int FROM noetl.catalog WHERE path = $1 AND ($2::int IS NULL OR version = $2)) AS found,
            (SELECT coalesce(array_agg(version ORDER BY version), '{}') FROM changed) AS versions`,
    [key.path, key.version ?? null, key.archived],
  )
  return rows[0]!
}

/** Paths there are, for near names in a message. */
export async function listPaths(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ path: string }>(
    'SELECT DISTINCT path FROM noetl.catalog WHERE archived_at IS NULL LIMIT 5000',
  )
  return rows.map((row) => row.path)
}

import type pg from 'pg'

/** What keeps Postgres from clearing away old rows, how many there are, and what waits in the queue. */
export interface PostgresHealth {
  measured_at: string
  /** Of the oldest of `pins`; 0: nobody keeps old rows. */
  oldest_xmin_age: number
  /** Who sees old rows still, oldest first. Its SQL is not told. */
  pins: Pin[]
  /** Tables of the gateway, those with the most dead rows first. */
  tables: TableHealth[]
  queue: LaneHealth[]
}

export interface Pin {
  kind: 'session' | 'slot' | 'prepared'
  /** Of a session, or of the one that uses a slot. */
  pid: number | null
  /** Application of a session, name of a slot, id of a prepared transaction. */
  name: string
  /** Null where this server's user may not see it. */
  state: string | null
  /** Since the transaction was begun. */
  seconds: number | null
  /** Transactions begun since: rows that died among them stay. */
  xmin_age: number
}

export interface TableHealth {
  name: string
  live: number
  dead: number
  updates: number
  /** Updates that left the indexes alone. */
  hot_updates: number
  bytes: number
  last_autovacuum: Date | null
}

export interface LaneHealth {
  lane: string
  pool: string
  /** May be claimed now. */
  ready: number
  /** Waits for its time. */
  delayed: number
  running: number
  /** Waits for a person. */
  dead: number
  oldest_ready_seconds: number
}

const MOST_PINS = 10
const MOST_TABLES = 20

/**
 * A snapshot keeps the rows of its database, and those that a standby or a slot needs. A transaction that has begun
 * to write keeps those of all databases, for no snapshot taken meanwhile is newer than it.
 */
const PINS = `
SELECT * FROM (
  SELECT 'session' AS kind, pid, coalesce(application_name, '') AS name, state,
         extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds,
         CASE WHEN datname = current_database() OR backend_type = 'walsender'
              THEN greatest(age(backend_xmin), age(backend_xid)) ELSE age(backend_xid) END AS xmin_age
  FROM pg_stat_activity
  WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
    AND backend_type <> 'autovacuum worker'
    AND (datname = current_database() OR backend_type = 'walsender' OR backend_xid IS NOT NULL)
  UNION ALL
  SELECT 'slot', active_pid, slot_name, CASE WHEN active THEN 'active' ELSE 'inactive' END, NULL,
         greatest(age(xmin), age(catalog_xmin))
  FROM pg_replication_slots WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
  UNION ALL
  SELECT 'prepared', NULL, gid, 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8, age(transaction)
  FROM pg_prepared_xacts
) pins
ORDER BY xmin_age DESC, seconds DESC NULLS LAST LIMIT ${MOST_PINS}`

const TABLES = `
SELECT relname AS name, n_live_tup::float8 AS live, n_dead_tup::float8 AS dead, n_tup_upd::float8 AS updates,
       n_tup_hot_upd::float8 AS hot_updates, pg_relation_size(relid)::float8 AS bytes, last_autovacuum
FROM pg_stat_user_tables WHERE schemaname = 'noetl'
ORDER BY n_dead_tup DESC, relname LIMIT ${MOST_TABLES}`

const QUEUE = `
SELECT lane, pool,
       count(*) FILTER (WHERE ready)::int AS ready,
       count(*) FILTER (WHERE status = 'queued' AND NOT ready)::int AS delayed,
       count(*) FILTER (WHERE status = 'running')::int AS running,
       count(*) FILTER (WHERE status = 'dead')::int AS dead,
       coalesce(extract(epoch FROM now() - min(available_at) FILTER (WHERE ready)), 0)::float8 AS oldest_ready_seconds
FROM (SELECT *, status = 'queued' AND available_at <= now() AS ready FROM noetl.queue) q
GROUP BY lane, pool ORDER BY lane, pool`

/** Asks Postgres how it is: three cheap statements. */
export async function readPostgresHealth(pool: pg.Pool): Promise<PostgresHealth> {
  const pins = await pool.query<Pin>(PINS)
  const tables = await pool.query<TableHealth>(TABLES)
  const queue = await pool.query<LaneHealth>(QUEUE)
  return {
    measured_at: new Date().toISOString(),
    oldest_xmin_age: pins.rows[0]?.xmin_age ?? 0,
    pins: pins.rows,
    tables: tables.rows,
    queue: queue.rows,
  }
}

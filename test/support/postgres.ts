import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { type LocalPostgres, startPostgres } from '../../cli/local/postgres.ts'
import { migrate } from '../../core/store/migrate.ts'
import { testFolder } from './folder.ts'
import type { Teardown } from './teardown.ts'
import { until } from './wait.ts'

const TEMPLATE = 'noetl_template'
/** Two files that make the template at once wait for each other. */
const LOCK = 5_520_041

/**
 * A database of its own for one test file, on the server that `test/run.ts` started, or on one started here
 * when a file is run alone. Migrated unless asked otherwise; dropped when the file ends.
 */
export async function testDatabase(
  t: Teardown,
  { migrated = true }: { migrated?: boolean } = {},
): Promise<{ url: string }> {
  const server = process.env.NOETL_TEST_POSTGRES_URL ?? (await ownServer(t)).url
  const name = `test_${process.pid}_${randomBytes(4).toString('hex')}`
  await admin(server, async (client) => {
    if (!migrated) {
      await client.query(`CREATE DATABASE ${name}`)
      return
    }
    await client.query('SELECT pg_advisory_lock($1)', [LOCK])
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [TEMPLATE])
    if (rowCount === 0) {
      await client.query(`CREATE DATABASE ${TEMPLATE}`)
      await migrate(databaseUrl(server, TEMPLATE))
    }
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`)
    await client.query('SELECT pg_advisory_unlock($1)', [LOCK])
  })
  t.teardown(async () => {
    await admin(server, async (client) => {
      // A pool has ended before its connections have: one that is then cut off would end the test's process.
      await until('the end of all sessions', () => unused(client, name), { withinMs: 3000 }).catch(
        () => undefined,
      )
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    })
  })
  return { url: databaseUrl(server, name) }
}

/** A Postgres of the test's own, for tests that kill it or look at settings. */
export async function ownServer(
  t: Teardown,
  options: { settings?: Readonly<Record<string, string>> } = {},
): Promise<Omit<LocalPostgres, 'exited'> & { restart(): Promise<void> }> {
  const dataDir = await testFolder(t, 'postgres')
  const start = (port?: number) =>
    startPostgres({ dataDir, ...options, ...(port === undefined ? {} : { port }) })
  let server = await start()
  t.teardown(async () => {
    await server.stop()
  })
  const { url, port } = server
  return {
    url,
    port,
    data: server.data,
    kept: false,
    get pid() {
      return server.pid
    },
    stop: () => server.stop(),
    kill: (signal) => server.kill(signal),
    async restart() {
      await server.stop()
      server = await start(port)
    },
  }
}

/** The fields of a `postgres` credential for a URL. */
export function credentialOf(url: string): Record<string, string | number> {
  const { hostname, port, username, password, pathname } = new URL(url)
  return {
    db_host: hostname,
    db_port: Number(port),
    db_user: username,
    db_password: decodeURIComponent(password),
    db_name: pathname.slice(1),
  }
}

export function databaseUrl(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function unused(client: pg.Client, name: string): Promise<boolean> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_stat_activity WHERE datname = $1', [name])
  return rowCount === 0
}

async function admin<T>(server: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: server })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

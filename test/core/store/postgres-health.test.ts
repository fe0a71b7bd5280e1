import { Writable } from 'node:stream'
import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { NOTHING } from '../../../core/engine/fold.ts'
import { commitTransitions } from '../../../core/store/commit.ts'
import { makeIdSource } from '../../../core/store/ids.ts'
import { migrate } from '../../../core/store/migrate.ts'
import { type PostgresHealth, readPostgresHealth } from '../../../core/store/postgres-health.ts'
import { concernsOf, makePostgresMonitor } from '../../../core/store/postgres-monitor.ts'
import { claimCommands, renewLeases, rescueExpired } from '../../../core/store/queue.ts'
import { postgresHealthDuty } from '../../../core/upkeep/postgres-health.ts'
import { databaseUrl, ownServer } from '../../support/postgres.ts'
import { until } from '../../support/wait.ts'

// One of its own: a transaction anywhere in a Postgres keeps old rows, and other tests have some.
const server = await ownServer(t, { settings: { max_prepared_transactions: '5', wal_level: 'logical' } })
const url = databaseUrl(server.url, 'noetl_health')
const other = new pg.Client({ connectionString: server.url, application_name: 'elsewhere' })
await other.connect()
t.teardown(() => other.end())
await other.query('CREATE DATABASE noetl_health')
await migrate(url)
const pool = new pg.Pool({ connectionString: url, max: 1 })
t.teardown(() => pool.end())
const newId = makeIdSource({ server: 1 })
const token = '00000000-0000-4000-8000-000000000001'

/** Executions with commands in the queue. */
async function begin(
  executions: number,
  lane: string,
): Promise<{ execution_id: string; queue_id: string }[]> {
  const made = Array.from({ length: executions }, () => ({ execution_id: newId(), queue_id: newId() }))
  const nothing = { settles: [], keys: [], results: [], waits: [], awaited: [], letters: [] }
  await commitTransitions(
    pool,
    made.map(({ execution_id, queue_id }) => {
      const event = (event_id: string, event_type: string) => ({
        ...{ event_id, execution_id, event_type, node_id: event_id, node_name: 's', context: {} },
        created_at: new Date().toISOString(),
      })
      return {
        ...nothing,
        execution_id,
        revision: null,
        status: 'RUNNING' as const,
        state: { ...NOTHING, last: queue_id },
        error: null,
        birth: { catalog_id: '1', path: 'p', version: 1, parent_execution_id: null },
        events: [event(execution_id, 'playbook.started'), event(queue_id, 'command.issued')],
        commands: [
          {
            ...{ queue_id, node_id: queue_id, node_name: 's', tool_kind: 'noop', lane, pool: '' },
            ...{ max_attempts: 3, effect: 'idempotent' as const, delay: 0, dead: false },
          },
        ],
      }
    }),
  )
  return made
}

/** What Postgres counts of updates to a table, as of now. */
async function updatesOf(table: string): Promise<{ updates: number; hot: number }> {
  // Of this connection, the only one of the pool; counts are told once a second otherwise.
  await pool.query('SELECT pg_stat_force_next_flush()')
  const { rows } = await pool.query(
    `SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables
     WHERE schemaname = 'noetl' AND relname = $1`,
    [table],
  )
  return rows[0]
}

t.test(
  'queue: claims, renewals and rescues are heap-only updates, and so are the steps of executions',
  async (t) => {
    // Postgres's own looks at the table would keep old rows for as long as they take.
    const tables = ['noetl.queue', 'noetl.execution']
    for (const table of tables) await pool.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
    t.teardown(async () => {
      for (const table of tables) await pool.query(`ALTER TABLE ${table} RESET (autovacuum_enabled)`)
    })
    const rows = await begin(200, 'hot')
    const claims = () => rows.map((row) => ({ ...row, worker_id: 'w', token, event_id: newId() }))
    const leases = rows.map((row) => ({ ...row, token }))
    for (let n = 0; n < 2; n++) {
      t.equal((await claimCommands(pool, claims(), 15)).length, 200)
      for (let m = 0; m < 5; m++) t.equal((await renewLeases(pool, leases, m === 4 ? -1 : 15)).size, 200)
      t.equal((await rescueExpired(pool, 500, newId)).length, 200)
    }
    const queue = await updatesOf('queue')
    t.equal(queue.updates, 200 * 14)
    t.ok(queue.hot >= 0.95 * queue.updates, `${queue.hot} of ${queue.updates}`)

    for (let revision = 1; revision <= 10; revision++) {
      const { written } = await commitTransitions(
        pool,
        rows.map(({ execution_id, queue_id }) => ({
          ...{ execution_id, revision, status: 'RUNNING' as const, error: null },
          state: { ...NOTHING, last: queue_id, done: revision },
          ...{
            settles: [],
            events: [],
            commands: [],
            keys: [],
            results: [],
            waits: [],
            awaited: [],
            letters: [],
          },
        })),
      )
      t.equal(written.size, 200)
    }
    const execution = await updatesOf('execution')
    t.equal(execution.updates, 2000)
    t.ok(execution.hot >= 0.9 * execution.updates, `${execution.hot} of ${execution.updates}`)
  },
)

t.test(
  'queue: dead rows are cleared away while there are few, and updates find room on their page',
  async (t) => {
    const { rows } = await pool.query<{ table: string; options: string[] }>(
      `SELECT relname AS table, reloptions AS options FROM pg_class
     WHERE relnamespace = 'noetl'::regnamespace AND relname IN ('queue', 'execution') ORDER BY relname DESC`,
    )
    const [queue, execution] = rows.map(({ options }) =>
      Object.fromEntries(options.map((option) => option.split('=') as [string, string])),
    )
    t.match(queue, {
      fillfactor: '50',
      autovacuum_vacuum_scale_factor: '0',
      autovacuum_vacuum_threshold: '500',
      autovacuum_vacuum_cost_delay: '0',
    })
    t.match(execution, { fillfactor: '60', autovacuum_vacuum_scale_factor: '0.02' })
  },
)

t.test('health: who keeps old rows is named, and its SQL is not', async (t) => {
  const forgetful = new pg.Client({ connectionString: url, application_name: 'forgetful' })
  await forgetful.connect()
  t.teardown(() => forgetful.end())
  await forgetful.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  const { rows } = await forgetful.query(`SELECT pg_backend_pid() AS pid, 'top secret' AS secret`)
  await begin(3, 'pinned')
  const health = await readPostgresHealth(pool)
  const pin = health.pins.find(({ name }) => name === 'forgetful')
  t.match(pin, { kind: 'session', pid: rows[0]!.pid, state: 'idle in transaction' })
  t.ok(pin!.xmin_age >= 1 && pin!.seconds! >= 0)
  t.ok(health.oldest_xmin_age >= pin!.xmin_age)
  t.notMatch(JSON.stringify(health), /secret/)
  await forgetful.query('ROLLBACK')
  const after = await readPostgresHealth(pool)
  t.notOk(after.pins.some(({ name }) => name === 'forgetful'))
})

t.test('health: a transaction that only wrote keeps old rows too', async (t) => {
  const writer = new pg.Client({ connectionString: url, application_name: 'writer' })
  await writer.connect()
  t.teardown(() => writer.end())
  await writer.query('BEGIN')
  await writer.query('SELECT pg_current_xact_id()')
  t.ok((await readPostgresHealth(pool)).pins.some(({ name }) => name === 'writer'))
})

t.test('health: a transaction of another database keeps old rows here once it has written', async (t) => {
  const named = async () => (await readPostgresHealth(pool)).pins.map(({ name }) => name)
  await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await other.query('SELECT 1')
  t.notOk((await named()).includes('elsewhere'), 'one that reads does not')
  await other.query('SELECT pg_current_xact_id()')
  t.ok((await named()).includes('elsewhere'))
  await other.query('ROLLBACK')
})

t.test('health: slots and prepared transactions are named', async (t) => {
  await other.query(`SELECT pg_create_logical_replication_slot('reader', 'pgoutput')`)
  await other.query('BEGIN')
  await other.query('SELECT pg_current_xact_id()')
  await other.query(`PREPARE TRANSACTION 'forgotten'`)
  const { pins } = await readPostgresHealth(pool)
  const found = (name: string) => pins.find((pin) => pin.name === name)
  t.match(found('reader'), { kind: 'slot', pid: null, state: 'inactive', seconds: null })
  t.match(found('forgotten'), { kind: 'prepared', pid: null, state: 'prepared' })
  t.ok(found('forgotten')!.seconds! >= 0 && found('forgotten')!.xmin_age >= 1)
  await other.query(`ROLLBACK PREPARED 'forgotten'`)
  await other.query(`SELECT pg_drop_replication_slot('reader')`)
  t.same((await readPostgresHealth(pool)).pins, [])
})

t.test('health: what is ready, delayed, running and dead is counted by lane', async (t) => {
  const rows = await begin(5, 'counted')
  await claimCommands(pool, [{ ...rows[0]!, worker_id: 'w', token, event_id: newId() }], 15)
  const set = (text: string, n: number) =>
    pool.query(`UPDATE noetl.queue SET ${text} WHERE queue_id = $1`, [rows[n]!.queue_id])
  await set(`status = 'dead'`, 1)
  await set(`available_at = now() + interval '1 hour'`, 2)
  await set(`available_at = now() - interval '400 seconds'`, 3)
  const health = await readPostgresHealth(pool)
  const lane = health.queue.find(({ lane }) => lane === 'counted')!
  t.match(lane, { pool: '', ready: 2, delayed: 1, running: 1, dead: 1 })
  t.ok(lane.oldest_ready_seconds >= 400 && lane.oldest_ready_seconds < 500)
  for (const table of ['queue', 'execution']) t.ok(health.tables.some(({ name }) => name === table))
  t.match(concernsOf(health), [
    {
      about: 'queue',
      of: 'lane counted',
      message: /^2 commands of lane counted wait, the oldest for 4\d\d s, while 1 run/,
    },
  ])
})

const WELL: PostgresHealth = { measured_at: '', oldest_xmin_age: 0, pins: [], tables: [], queue: [] }
const table = { name: 'queue', updates: 0, hot_updates: 0, bytes: 0, last_autovacuum: null }

t.test('health: nothing is wrong with a short transaction, few dead rows, and a table that is large', (t) => {
  const pin = { kind: 'session' as const, pid: 5, name: 'a', state: 'active', seconds: 599, xmin_age: 999 }
  const tables = [
    { ...table, live: 10, dead: 49_999 },
    { ...table, live: 1_000_000, dead: 60_000 },
  ]
  t.same(concernsOf({ ...WELL, pins: [pin], tables }), [])
  t.end()
})

t.test('health: old transactions, slots and prepared transactions are told with what ends them', (t) => {
  const pins = [
    { kind: 'session' as const, pid: 5, name: 'psql', state: null, seconds: 601, xmin_age: 3 },
    {
      kind: 'slot' as const,
      pid: null,
      name: 'standby',
      state: 'inactive',
      seconds: null,
      xmin_age: 2_000_000,
    },
    { kind: 'prepared' as const, pid: null, name: 'x1', state: 'prepared', seconds: 7000, xmin_age: 2 },
  ]
  t.match(
    concernsOf({ ...WELL, pins, tables: [{ ...table, live: 3, dead: 50_000 }] }).map(
      ({ message }) => message,
    ),
    [
      /^Session 5 of "psql" .*601 s and 3 transactions old.*pg_terminate_backend\(5\)/,
      /^Replication slot "standby" \(inactive\), 2000000 transactions old.*pg_drop_replication_slot\('standby'\)/,
      /^Prepared transaction "x1".*ROLLBACK PREPARED 'x1'/,
      /^noetl\.queue has 50000 dead rows beside 3 that live/,
    ],
  )
  t.end()
})

t.test(
  'health: a concern is logged when it comes, not again while it lasts, and when it is over',
  async (t) => {
    await pool.query('DELETE FROM noetl.queue')
    const [row] = await begin(1, 'slow')
    await pool.query(`UPDATE noetl.queue SET available_at = now() - interval '1 hour'`)
    const said: { level: number; msg: string }[] = []
    const stream = new Writable({
      write(line, _encoding, done) {
        said.push(JSON.parse(String(line)))
        done()
      },
    })
    const postgres = makePostgresMonitor(pool)
    const duty = postgresHealthDuty({ postgres, log: pino({ level: 'info' }, stream) })
    t.equal(duty.everySeconds, 60)
    await duty.run()
    await duty.run()
    await until('what is said', () => said.length === 1)
    t.match(said, [{ level: 40, about: 'queue', of: 'lane slow', msg: /1 commands of lane slow wait/ }])
    t.match(await postgres.health(), { warnings: [/lane slow/] })
    await pool.query('DELETE FROM noetl.queue WHERE queue_id = $1', [row!.queue_id])
    await duty.run()
    await until('what is said', () => said.length === 2)
    t.match(said[1], { level: 30, about: 'queue', of: 'lane slow', msg: /over/ })
    t.match(await postgres.health(), { warnings: [] })
  },
)

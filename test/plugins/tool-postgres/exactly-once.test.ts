import type { JsonObject, ToolCall } from '@noetl/core'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { PostgresInput } from '../../../plugins/tool-postgres/input.ts'
import { type PostgresToolOptions, postgresTool } from '../../../plugins/tool-postgres/tool.ts'
import { testCluster } from '../../support/cluster.ts'
import { credentialOf, testDatabase } from '../../support/postgres.ts'
import { makeRelay } from '../../support/proxy.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'

const { url } = await testDatabase(t, { migrated: false })
const data = credentialOf(url)
const watching = new pg.Client(url)
await watching.connect()
t.teardown(() => watching.end())
await watching.query(
  'CREATE TABLE account (id int PRIMARY KEY, balance numeric NOT NULL CHECK (balance < 1000))',
)

const ADD = `UPDATE account SET balance = balance + 10 WHERE id = 1;
  SELECT balance, 'b' AS b, 1 AS a FROM account WHERE id = 1`

/** A tool on the database, closed with the test, and a fresh account. */
async function open(t: Test, options: PostgresToolOptions = {}) {
  await watching.query('INSERT INTO account VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET balance = 0')
  const tool = postgresTool(options)
  t.teardown(() => tool.close?.())
  const stored = { '': { type: 'postgres', data } }
  return async (fields: PostgresInput, call: Partial<ToolCall> = {}) =>
    (await tool.run({ exactly_once: true, ...fields }, toolCall({ stored, ...call }))) as JsonObject
}

async function balance(): Promise<number> {
  const { rows } = await watching.query('SELECT balance::int FROM account WHERE id = 1')
  return rows[0]!.balance
}

async function markers(): Promise<number> {
  const { rows } = await watching.query('SELECT count(*)::int AS n FROM noetl_completed')
  return rows[0]!.n
}

t.test('exactly once: a call that was done gives its result again and runs nothing', async (t) => {
  const run = await open(t)
  const call = { idempotencyKey: 'again', executionId: '77', step: 'pay', attempt: 2 }
  const first = await run({ command: ADD }, call)
  t.match(first, { rows: [{ balance: 10 }], command_0: { row_count: 1 } })
  const second = await run({ command: ADD }, { ...call, attempt: 1 })
  t.equal(JSON.stringify(second), JSON.stringify(first), 'also in the order of its columns')
  t.equal(await balance(), 10)
  const { rows } = await watching.query(
    `SELECT execution_id, step, attempt, completed_at <= now() AS done FROM noetl_completed WHERE key = 'again'`,
  )
  t.same(rows, [{ execution_id: '77', step: 'pay', attempt: 2, done: true }])
})

t.test('exactly once: calls of other keys are other calls', async (t) => {
  const run = await open(t)
  await run({ command: ADD }, { idempotencyKey: 'one' })
  await run({ command: ADD }, { idempotencyKey: 'two' })
  t.equal(await balance(), 20)
})

t.test('exactly once: without it, a call is done as often as it is made', async (t) => {
  const run = await open(t)
  await run({ command: ADD, exactly_once: false }, { idempotencyKey: 'plain' })
  await run({ command: ADD, exactly_once: false }, { idempotencyKey: 'plain' })
  t.equal(await balance(), 20)
})

t.test('exactly once: a call that fails leaves nothing, and may be made again', async (t) => {
  const run = await open(t)
  const command = `${ADD}; UPDATE account SET balance = 5000`
  const failure = await toolFailure(run({ command }, { idempotencyKey: 'fails' }))
  t.match(failure, { kind: 'db_constraint', code: '23514', result: null })
  t.match(failure.message, /^command_2 .*nothing of the call was kept/s)
  t.equal(await balance(), 0)
  t.match(await run({ command: ADD }, { idempotencyKey: 'fails' }), { rows: [{ balance: 10 }] })
})

t.test('exactly once: what is only checked at the commit fails the call', async (t) => {
  const run = await open(t)
  await watching.query(`CREATE TABLE deferred (id int REFERENCES account DEFERRABLE INITIALLY DEFERRED)`)
  const failure = await toolFailure(
    run({ command: 'INSERT INTO deferred VALUES (9)' }, { idempotencyKey: 'late' }),
  )
  t.match(failure, { kind: 'db_constraint', code: '23503' })
  t.match(failure.message, /the commit/)
  const { rows } = await watching.query(`SELECT 1 FROM noetl_completed WHERE key = 'late'`)
  t.same(rows, [])
})

t.test('exactly once: of two holders at once one runs, and both get its result', async (t) => {
  const run = await open(t)
  const other = await open(t)
  const holder = new pg.Client(url)
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('BEGIN')
  await holder.query('SELECT * FROM account WHERE id = 1 FOR UPDATE')
  const waiting = (n: number) => async () => {
    const { rows } = await watching.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity
       WHERE application_name = 'noetl-tool-postgres' AND datname = current_database() AND wait_event_type = 'Lock'`,
    )
    return rows[0]!.n === n
  }
  const first = run({ command: ADD }, { idempotencyKey: 'both' })
  await until('the first waits for the account', waiting(1))
  const second = other({ command: ADD }, { idempotencyKey: 'both' })
  await until('the second waits for the first', waiting(2))
  await holder.query('COMMIT')
  t.same(await first, await second)
  t.equal(await balance(), 10)
})

t.test('exactly once: a holder that was cut off in the midst does not keep its repeat waiting', async (t) => {
  const relay = await makeRelay(t, { target: Number(data.db_port) })
  const run = await open(t)
  const silent = postgresTool()
  t.teardown(() => silent.close?.())
  const stored = { '': { type: 'postgres', data: { ...data, db_host: '127.0.0.1', db_port: relay.port } } }
  const command = `SELECT pg_sleep(0.5); ${ADD}`
  const stop = new AbortController()
  const first = Promise.resolve(
    silent.run(
      { exactly_once: true, command },
      toolCall({ stored, idempotencyKey: 'cut', signal: stop.signal }),
    ),
  ).catch((error: unknown) => error)
  await until('the first is in the midst', async () => {
    const { rows } = await watching.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%' AND state = 'active'`,
    )
    return rows.length === 1
  })
  relay.cut()
  const second = await run({ command, timeout_seconds: 20 }, { idempotencyKey: 'cut' })
  t.equal(await balance(), 10, JSON.stringify(second))
  relay.heal()
  stop.abort()
  t.ok((await first) instanceof Error, 'the first has failed')
  t.equal(await balance(), 10)
})

t.test('exactly once: calls that come first together make the table together', async (t) => {
  const run = await open(t)
  await watching.query('DROP TABLE noetl_completed')
  await Promise.all(
    Array.from({ length: 8 }, (_, i) => run({ command: ADD }, { idempotencyKey: `at-first-${i}` })),
  )
  t.equal(await balance(), 80)
  t.equal(await markers(), 8)
})

for (const [sql, why] of [
  ['BEGIN; UPDATE account SET balance = 1; COMMIT', /command_0 \(line 1\) is BEGIN/],
  ['UPDATE account SET balance = 1;\n/* x */ commit', /command_1 \(line 2\) is COMMIT/],
  ['UPDATE account SET balance = 1; END', /is END/],
  ['UPDATE account SET balance = 1; ROLLBACK', /is ROLLBACK/],
  ['UPDATE account SET balance = 1; ABORT', /is ABORT/],
  ['START TRANSACTION', /is START/],
  [`PREPARE TRANSACTION 'x'`, /is PREPARE TRANSACTION/],
  ['VACUUM account', /is VACUUM/],
  ['CREATE DATABASE other', /is CREATE DATABASE/],
  ['DROP DATABASE other', /is DROP DATABASE/],
  ['CREATE UNIQUE INDEX CONCURRENTLY again ON account (balance)', /is CREATE .*CONCURRENTLY/],
  ['ALTER SYSTEM SET work_mem = 1', /is ALTER SYSTEM/],
] as const) {
  t.test(`exactly once: ${sql.replace(/\s+/g, ' ')} is refused before anything runs`, async (t) => {
    const run = await open(t)
    const failure = await toolFailure(run({ command: sql }, { idempotencyKey: 'refused' }))
    t.match(failure, { kind: 'schema', retryable: false })
    t.match(failure.message, why)
    t.match(failure.message, /exactly_once/)
    t.equal(await balance(), 0)
  })
}

t.test('exactly once: what only the server knows to need no transaction is refused by it', async (t) => {
  const run = await open(t)
  await watching.query(`CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$`)
  const failure = await toolFailure(
    run({ command: `UPDATE account SET balance = 1; CALL commits()` }, { idempotencyKey: 'commits' }),
  )
  t.match(failure, { code: '2D000' })
  t.match(failure.message, /exactly_once/)
  t.equal(await balance(), 0)
})

t.test('exactly once: savepoints are part of the transaction', async (t) => {
  const run = await open(t)
  const command = `SAVEPOINT s; UPDATE account SET balance = 7; ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s; ${ADD}`
  t.match(await run({ command }, { idempotencyKey: 'savepoint' }), { rows: [{ balance: 10 }] })
})

t.test('exactly once: params are bound, and a text is one statement', async (t) => {
  const run = await open(t)
  const command = 'UPDATE account SET balance = balance + $1 WHERE id = 1'
  t.match(await run({ command, params: [3] }, { idempotencyKey: 'params' }), { affected_rows: 1 })
  t.match(await run({ command, params: [3] }, { idempotencyKey: 'params' }), { affected_rows: 1 })
  t.equal(await balance(), 3)
})

t.test('exactly once: a result that cannot be kept whole is an error, and nothing is done', async (t) => {
  const run = await open(t, { maxRecordedBytes: 1000 })
  const command = `${ADD}; SELECT repeat('x', 1000) AS x`
  const failure = await toolFailure(run({ command }, { idempotencyKey: 'large' }))
  t.match(failure, { kind: 'schema' })
  t.match(failure.message, /has \d+ bytes, and with exactly_once at most 1000/)
  t.equal(await balance(), 0)
})

t.test('exactly once: a result with U+0000 in its json comes back', async (t) => {
  const run = await open(t)
  const command = `SELECT '{"x": "a\\u0000b"}'::json AS j`
  const first = await run({ command }, { idempotencyKey: 'nul' })
  t.same(await run({ command }, { idempotencyKey: 'nul' }), first)
})

t.test('exactly once: the table may have another name, in a schema', async (t) => {
  await watching.query('CREATE SCHEMA kept')
  const run = await open(t, { completedTable: 'kept.done_calls' })
  await run({ command: ADD }, { idempotencyKey: 'elsewhere' })
  await run({ command: ADD }, { idempotencyKey: 'elsewhere' })
  t.equal(await balance(), 10)
  const { rows } = await watching.query('SELECT key FROM kept.done_calls')
  t.same(rows, [{ key: 'elsewhere' }])
  t.throws(() => postgresTool({ completedTable: 'a; DROP TABLE b' }), /completedTable/)
})

t.test('exactly once: markers of more than 30 days ago are deleted, others stay', async (t) => {
  const run = await open(t)
  await run({ command: ADD }, { idempotencyKey: 'first' })
  await watching.query(
    `UPDATE noetl_completed SET completed_at = now() - interval '31 days' WHERE key = 'first'`,
  )
  // The first call of a tool looks; so this one is of another.
  const other = await open(t)
  await other({ command: ADD }, { idempotencyKey: 'second' })
  const { rows } = await watching.query(`SELECT key FROM noetl_completed WHERE key IN ('first', 'second')`)
  t.same(rows, [{ key: 'second' }])
})

t.test('exactly once: one who may not make the table is told how to', async (t) => {
  await watching.query(`CREATE ROLE poor LOGIN PASSWORD 'poor-password'`)
  await watching.query('CREATE SCHEMA closed')
  t.teardown(() => watching.query('DROP OWNED BY poor; DROP ROLE poor'))
  await watching.query('GRANT USAGE ON SCHEMA closed TO poor')
  const tool = postgresTool({ completedTable: 'closed.done' })
  t.teardown(() => tool.close?.())
  const auth = { ...data, db_user: 'poor', db_password: 'poor-password' }
  const failure = await toolFailure(
    tool.run({ command: 'SELECT 1', exactly_once: true, auth }, toolCall({})) as Promise<unknown>,
  )
  t.match(failure, { kind: 'auth', code: '42501' })
  t.match(failure.message, /CREATE TABLE IF NOT EXISTS "closed"\."done"/)
})

t.test(
  'exactly once: a worker killed after the commit and before its report applies its statements once',
  { timeout: 120_000 },
  async (t) => {
    const cluster = await testCluster(t, { servers: 1, workers: 0, env: { NOETL_LEASE_SECONDS: '3' } })
    const path = await cluster.register(`metadata: {path: pay}
workflow:
- step: start
  tool:
  - prepare:
      kind: postgres
      command: |
        CREATE TABLE IF NOT EXISTS runs (n int);
        INSERT INTO runs VALUES (1);
        CREATE TABLE IF NOT EXISTS ledger (amount int);
  - pay:
      kind: postgres
      exactly_once: true
      command: INSERT INTO ledger VALUES (10) RETURNING amount
  - pay_again:
      kind: postgres
      exactly_once: true
      command: INSERT INTO ledger VALUES (10) RETURNING amount
  - hang:
      kind: python
      code: |
        import os, time
        if os.environ.get("SLOW"):
            print("the statements are committed", flush=True)
            time.sleep(600)
        result = "done"
  next: {arcs: [{step: each}]}
- step: each
  loop: {in: [1, 2, 3], iterator: n}
  tool:
    kind: postgres
    exactly_once: true
    command: INSERT INTO ledger VALUES ({{ iter.n }}) RETURNING amount
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop}}`)
    const slow = await cluster.startWorker({
      SLOW: '1',
      NOETL_TOOL_OPTIONS: '{"python": {"passEnvironment": ["SLOW"]}}',
    })
    const id = await cluster.execute(path)
    await slow.says(/the statements are committed/)
    slow.kill('SIGKILL')
    await slow.exited
    await cluster.startWorker()
    const ended = await cluster.ended(id)
    t.equal(ended.status, 'COMPLETED')
    const db = new pg.Client({ connectionString: cluster.databaseUrl })
    await db.connect()
    t.teardown(() => db.end())
    const { rows } = await db.query(
      `SELECT (SELECT count(*)::int FROM runs) AS runs, (SELECT array_agg(amount ORDER BY amount) FROM ledger) AS ledger`,
    )
    t.same(rows, [{ runs: 2, ledger: [1, 2, 3, 10, 10] }], 'the step ran twice, what it paid is there once')
  },
)

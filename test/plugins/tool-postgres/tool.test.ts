import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { CallAborted, Decimal, type JsonObject, type ToolCall } from '@noetl/core'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { PostgresInput } from '../../../plugins/tool-postgres/input.ts'
import { type PostgresToolOptions, postgresTool } from '../../../plugins/tool-postgres/tool.ts'
import { credentialOf, testDatabase } from '../../support/postgres.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'

const { url } = await testDatabase(t, { migrated: false })
const data = credentialOf(url)

const watching = new pg.Client(url)
await watching.connect()
t.teardown(() => watching.end())

/** A tool on the database, closed with the test. `run` uses the default credential. */
function open(t: Test, options: PostgresToolOptions = {}) {
  const tool = postgresTool(options)
  t.teardown(() => tool.close?.())
  const stored = { '': { type: 'postgres', data }, pg_local: { type: 'postgres', data } }
  return {
    tool,
    run: async (fields: PostgresInput, call: Partial<ToolCall> = {}) =>
      (await tool.run(fields, toolCall({ stored, ...call }))) as JsonObject,
  }
}

/** No password is in a text: not the credential's, and none of the others named. */
function hides(t: Test, text: string, ...others: string[]): void {
  for (const secret of [String(data.db_password), ...others])
    t.notOk(text.includes(secret), 'it shows a password')
}

/** Statements that the server runs right now and that contain `mark`. */
async function running(mark: string): Promise<number> {
  const { rows } = await watching.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM pg_stat_activity
     WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE $1`,
    [`%${mark}%`],
  )
  return rows[0]!.n
}

/** Asks until it is so; the test's own time limit is the end of patience. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve))
}

t.test('result: every statement as command_N, the last one at top level', async (t) => {
  const { run } = open(t)
  const result = await run({
    command: `
      CREATE TABLE people (id int PRIMARY KEY, name text);
      INSERT INTO people VALUES (1, 'a;b'), (2, 'c');
      -- nothing here;
      ;
      UPDATE people SET name = upper(name);
      SELECT id, name FROM people ORDER BY id;`,
  })
  const none = { status: 'success', rows: [], columns: [] }
  const rows = [
    { id: 1, name: 'A;B' },
    { id: 2, name: 'C' },
  ]
  t.same(result, {
    command_0: { ...none, row_count: 0 },
    command_1: { ...none, row_count: 2 },
    command_2: { ...none, row_count: 2 },
    command_3: { status: 'success', rows, columns: ['id', 'name'], row_count: 2 },
    rows,
    columns: ['id', 'name'],
    row_count: 2,
    affected_rows: 0,
  })
  t.match(await run({ query: 'DELETE FROM people WHERE id = 1 RETURNING id' }), {
    rows: [{ id: 1 }],
    columns: ['id'],
    row_count: 1,
    affected_rows: 1,
  })
})

t.test('result: no rows still have columns, no statement still has the four fields', async (t) => {
  const { run } = open(t)
  const empty = { rows: [], row_count: 0, affected_rows: 0 }
  t.same(await run({ query: 'SELECT 1 AS a WHERE false' }), {
    command_0: { status: 'success', rows: [], columns: ['a'], row_count: 0 },
    columns: ['a'],
    ...empty,
  })
  t.same(await run({ command: ' -- {{ nothing }}\n;' }), { columns: [], ...empty })
})

t.test('input: commands is a list, its texts may hold several statements', async (t) => {
  const result = await open(t).run({ commands: ['SELECT 1 AS a; SELECT 2 AS a', 'SELECT 3 AS a'] })
  t.match(result, { command_0: { rows: [{ a: 1 }] }, command_2: { rows: [{ a: 3 }] }, rows: [{ a: 3 }] })
})

t.test('input: a script is read inline, from a path and from a file URL', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'noetl-script-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'a.sql')
  await writeFile(path, 'SELECT 7 AS a')
  const { run } = open(t)
  t.match(await run({ script: { source: { type: 'inline', code: 'SELECT 6 AS a' } } }), { rows: [{ a: 6 }] })
  t.match(await run({ script: { uri: path, source: { type: 'file' } } }), { rows: [{ a: 7 }] })
  t.match(await run({ script: { uri: pathToFileURL(path).href } }), { rows: [{ a: 7 }] })
  t.match(await toolFailure(run({ script: { uri: `${path}.no` } })), { kind: 'not_found' })
})

t.test(
  'input: a script comes over http too, with a credential, and its templates are not evaluated',
  async (t) => {
    const server = createHttpServer((request, response) => {
      if (request.headers.authorization !== 'Bearer t0ken') response.writeHead(401).end()
      else response.end("SELECT '{{ name }}' AS a")
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.sql`
    const { run } = open(t)
    const auth = { type: 'bearer', token: 't0ken' }
    t.match(await run({ script: { uri, source: { type: 'http', auth } } }), { rows: [{ a: '{{ name }}' }] })
    t.match(await toolFailure(run({ script: { uri } })), { kind: 'auth', status: 401 })
  },
)

t.test('params: bound to the one statement, never put into its text', async (t) => {
  const { run } = open(t)
  const params = [1, "it's; --", null, true, { a: [1] }, ['x', 'y']]
  const query =
    'SELECT $1::int AS n, $2::text AS t, $3::text AS z, $4::bool AS b, $5::jsonb AS j, $6::text[] AS l'
  t.same((await run({ query, params })).rows, [
    { n: 1, t: "it's; --", z: null, b: true, j: { a: [1] }, l: ['x', 'y'] },
  ])
  t.match(await toolFailure(run({ query: 'SELECT $1; SELECT 2', params: [1] })), {
    kind: 'schema',
    message: /one statement; this SQL has 2/,
  })
  t.match(await toolFailure(run({ query: 'SELECT 1', params: { a: 1 } })), {
    kind: 'schema',
    message: /must be a list/,
  })
  t.match(await run({ query: 'SELECT 1 AS a; SELECT 2 AS a', params: [] }), { rows: [{ a: 2 }] })
})

t.test('input: no SQL at all is a failure that says where it belongs', async (t) => {
  t.match(await toolFailure(open(t).run({})), { kind: 'schema', message: /"command", "query", "commands"/ })
})

t.test('values: numbers with many digits go in as they come out, in columns and in jsonb', async (t) => {
  const tool = open(t)
  const numbers = [
    new Decimal('12345678901234567890.123456789'),
    2n ** 80n + 1n,
    { n: new Decimal('12345678901234567890.5'), id: 2n ** 60n + 1n, f: 1e18, g: 1e300 },
    1e18,
  ]
  const { rows } = await tool.run({
    command:
      'SELECT $1::numeric AS price, $2::numeric AS id, $3::jsonb AS doc, $4::float8 AS f, ($3::jsonb)::text AS text',
    params: numbers,
  })
  const [price, id, doc, f] = numbers
  const text = `{"f": 1000000000000000000.0, "g": 1${'0'.repeat(300)}.0, "n": 12345678901234567890.5, "id": 1152921504606846977}`
  t.same(rows, [{ price, id, doc, f, text }])
})

t.test('values: every type comes as JSON can carry it', async (t) => {
  const { rows } = await open(t).run({
    command: `SET TIME ZONE 'UTC';
      SELECT 42::int8 AS small, 9007199254740993::int8 AS big, 1.5::numeric AS n, count(*) AS total,
        true AS b, '{"id": 9007199254740993, "a": [1, null]}'::jsonb AS j, '[1]'::json AS js, null::int AS z,
        '2026-01-02 03:04:05.123456'::timestamp AS ts, '2026-01-02 03:04:05+02'::timestamptz AS tz,
        '2026-01-02'::date AS d, '03:04:05'::time AS tm, '1 day 02:03:04'::interval AS i,
        '\\xdeadbeef'::bytea AS by, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS u,
        ARRAY[1, null, 3] AS ints, ARRAY[['a,"b', 'NULL'], ['c', null]] AS nested, '{}'::int8[] AS none,
        ARRAY['2026-01-02 03:04:05'::timestamp] AS stamps, ARRAY['{"a": 1}'::jsonb] AS docs, 'a'::"char" AS c`,
  })
  t.same(rows, [
    {
      small: 42,
      big: 9007199254740993n,
      n: 1.5,
      total: 1,
      b: true,
      j: { id: 9007199254740993n, a: [1, null] },
      js: [1],
      z: null,
      ts: '2026-01-02T03:04:05.123456',
      tz: '2026-01-02T01:04:05+00:00',
      d: '2026-01-02',
      tm: '03:04:05',
      i: '1 day 02:03:04',
      by: '3q2+7w==',
      u: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      ints: [1, null, 3],
      nested: [
        ['a,"b', 'NULL'],
        ['c', null],
      ],
      none: [],
      stamps: ['2026-01-02T03:04:05'],
      docs: [{ a: 1 }],
      c: 'a',
    },
  ])
})

t.test('autocommit: VACUUM and CREATE INDEX CONCURRENTLY run among other statements', async (t) => {
  const result = await open(t).run({
    command: `CREATE TABLE indexed (id int); INSERT INTO indexed VALUES (1);
      CREATE INDEX CONCURRENTLY indexed_id ON indexed (id); VACUUM indexed;
      SELECT indexname::text FROM pg_indexes WHERE tablename = 'indexed'`,
  })
  t.same(result.rows, [{ indexname: 'indexed_id' }])
})

t.test('autocommit: what ran before a failure stays, and its results come with the failure', async (t) => {
  const { run } = open(t)
  const failure = await toolFailure(
    run({
      command: `CREATE TABLE kept (id int PRIMARY KEY);
        INSERT INTO kept VALUES (1);

        INSERT INTO kept VALUES (1);
        INSERT INTO kept VALUES (2)`,
    }),
  )
  t.match(failure, { kind: 'db_constraint', code: '23505', retryable: false })
  t.match(failure.message, /^command_2 \(line 4\): duplicate key value .*kept_pkey/)
  t.same(failure.facets, { pg: { code: '23505', sqlstate: '23505' } })
  t.same(Object.keys(failure.result as JsonObject), ['command_0', 'command_1'])
  t.match(failure.result, { command_1: { status: 'success', row_count: 1 } })
  t.same((await run({ query: 'SELECT id FROM kept' })).rows, [{ id: 1 }])
})

t.test('failure: the line is that of the position, in characters, inside the statement', async (t) => {
  const failure = await toolFailure(
    open(t).run({ command: "SELECT 1;\n/* x */\nSELECT '\u{1f600}\u{1f600}',\n\n nonsense" }),
  )
  t.match(failure, { kind: 'schema', code: '42703', message: /^command_1 \(line 5\): column "nonsense"/ })
})

t.test('failure: neither SQL nor values nor rows are in the message', async (t) => {
  const { run } = open(t)
  await run({ command: 'CREATE TABLE secrets (word text PRIMARY KEY)' })
  await run({ query: 'INSERT INTO secrets VALUES ($1)', params: ['s3cret'] })
  for (const fields of [
    { query: 'INSERT INTO secrets VALUES ($1)', params: ['s3cret'] },
    { query: "CREATE ROLE nobody PASSWORD 's3cret' NONSENSE" },
  ]) {
    const failure = await toolFailure(run(fields))
    t.notMatch(failure.message, /s3cret/)
    t.equal(failure.cause, undefined)
  }
})

t.test('transaction: BEGIN and COMMIT in the text hold', async (t) => {
  const { run } = open(t)
  await run({ command: 'CREATE TABLE booked (id int)' })
  await run({
    command: 'BEGIN; INSERT INTO booked VALUES (1); ROLLBACK; BEGIN; INSERT INTO booked VALUES (2); COMMIT',
  })
  t.same((await run({ query: 'SELECT id FROM booked' })).rows, [{ id: 2 }])
})

t.test('transaction: one left open is rolled back and is a failure', async (t) => {
  const { run } = open(t, { maxConnections: 1 })
  await run({ command: 'CREATE TABLE half (id int)' })
  const failure = await toolFailure(run({ command: 'BEGIN; INSERT INTO half VALUES (1)' }))
  t.match(failure, { kind: 'tool_error', message: /add COMMIT/, result: { command_1: { row_count: 1 } } })
  t.same((await run({ query: 'SELECT id FROM half' })).rows, [])
})

t.test(
  'transaction: one broken by an error is rolled back before the connection is used again',
  async (t) => {
    const { run } = open(t, { maxConnections: 1 })
    const pid = (await run({ query: 'SELECT pg_backend_pid() AS pid' })).rows
    await run({ command: 'CREATE TABLE broken (id int)' })
    await toolFailure(run({ command: 'BEGIN; INSERT INTO broken VALUES (1); SELECT 1/0; COMMIT' }))
    t.same((await run({ query: 'SELECT id FROM broken' })).rows, [])
    t.same((await run({ query: 'SELECT pg_backend_pid() AS pid' })).rows, pid)
  },
)

t.test('connection: one is reused, and nothing of a call is left on it', async (t) => {
  const { run } = open(t, { maxConnections: 1 })
  const pid = (await run({ query: 'SELECT pg_backend_pid() AS pid' })).rows
  await run({
    command:
      "SET search_path = nowhere; SET work_mem = '7MB'; CREATE TEMP TABLE t (a int); SELECT pg_advisory_lock(1)",
  })
  const { rows } = await run({
    query: `SELECT pg_backend_pid() AS pid, current_setting('search_path') AS path, to_regclass('pg_temp.t') AS t,
      (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks`,
  })
  t.match(rows, [{ path: '"$user", public', t: null, locks: 0 }])
  t.match(rows, pid)
})

t.test('connection: calls at once share the pool and wait for one another', async (t) => {
  const { run } = open(t, { maxConnections: 2 })
  const results = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      run({ query: 'SELECT $1::int AS n, pg_backend_pid() AS pid', params: [n] }),
    ),
  )
  const rows = results.map((result) => (result.rows as JsonObject[])[0]!)
  t.same(
    rows.map((row) => row.n),
    [0, 1, 2, 3, 4, 5, 6, 7],
  )
  t.ok(new Set(rows.map((row) => row.pid)).size <= 2)
})

t.test('limit: too many rows and too much text stop the statement on the server', async (t) => {
  const few = open(t, { maxRows: 10 })
  t.match(await few.run({ query: 'SELECT generate_series(1, 10) AS n' }), { row_count: 10 })
  t.match(await toolFailure(few.run({ query: 'SELECT /* many */ generate_series(1, 1e9::int8) AS n' })), {
    kind: 'tool_error',
    message: /^command_0 gives more than 10 rows.*LIMIT/,
  })
  const short = open(t, { maxBytes: 1000 })
  const wide = short.run({
    query: "SELECT /* many */ repeat('a', 600) AS a, generate_series(1, 1e9::int8) AS n",
  })
  t.match(await toolFailure(wide), { kind: 'tool_error', message: /more than 1000 characters/ })
  await until(async () => (await running('/* many */')) === 0)
  t.match(await few.run({ query: 'SELECT 1 AS n' }), { row_count: 1 })
})

t.test('timeout: it ends the statement on the server and is a db_timeout', async (t) => {
  const { run } = open(t)
  const failure = await toolFailure(
    run({ command: 'SELECT 1; SELECT pg_sleep(600) /* late */', timeout: 0.2 }),
  )
  t.match(failure, { kind: 'db_timeout', retryable: true, message: /longer than 0.2 s/ })
  hides(t, failure.message)
  await until(async () => (await running('/* late */')) === 0)
  t.match(await run({ query: 'SELECT 1 AS a' }), { rows: [{ a: 1 }] })
})

t.test('timeout: the server has a limit of its own, should this process die', async (t) => {
  const { run } = open(t, { maxConnections: 1 })
  const limit = async (timeout: number) =>
    (
      (await run({ query: `SELECT current_setting('statement_timeout') AS s`, timeout })).rows as JsonObject[]
    )[0]?.s
  t.equal(await limit(9), '10s')
  t.equal(await limit(19), '20s')
  await run({ command: "SET statement_timeout = '1ms'" })
  t.equal(await limit(19), '20s')
})

for (const why of ['deadline', 'cancelled'] as const) {
  t.test(`signal: ${why} reaches the server and the connection is not used again`, async (t) => {
    const { run } = open(t, { maxConnections: 1 })
    const pid = (await run({ query: 'SELECT pg_backend_pid() AS pid' })).rows
    const stop = new AbortController()
    const reason = new CallAborted(why, 'the test says so')
    const mark = `/* stopped by ${why} */`
    const sleeping = run({ command: `SELECT pg_sleep(600) ${mark}` }, { signal: stop.signal })
    sleeping.catch(() => {})
    await until(async () => (await running(mark)) === 1)
    stop.abort(reason)
    if (why === 'deadline') t.match(await toolFailure(sleeping), { kind: 'db_timeout', cause: reason })
    else t.equal(await sleeping.catch((error: unknown) => error), reason)
    await until(async () => (await running(mark)) === 0)
    t.notSame((await run({ query: 'SELECT pg_backend_pid() AS pid' })).rows, pid)
  })
}

t.test('signal: a call that waits for a connection gives up its place', async (t) => {
  const { run } = open(t, { maxConnections: 1 })
  const holding = new AbortController()
  const holder = run({ query: 'SELECT pg_sleep(600) /* holds */' }, { signal: holding.signal })
  holder.catch(() => {})
  await until(async () => (await running('/* holds */')) === 1)
  const stop = new AbortController()
  const waiting = run({ query: 'SELECT 1' }, { signal: stop.signal })
  const reason = new CallAborted('stopping', 'stop')
  stop.abort(reason)
  t.equal(await waiting.catch((error: unknown) => error), reason)
  t.match(await toolFailure(run({ query: 'SELECT 1', timeout: 0.05 })), { kind: 'db_timeout' })
  holding.abort(new CallAborted('cancelled', 'enough'))
  await holder.catch(() => {})
  t.match(await run({ query: 'SELECT 1 AS a' }), { rows: [{ a: 1 }] })
})

t.test('signal: a call that is aborted already runs nothing', async (t) => {
  const reason = new CallAborted('lease-lost', 'lost')
  const signal = AbortSignal.abort(reason)
  const { run } = open(t)
  t.equal(
    await run({ command: 'CREATE TABLE never (a int)' }, { signal }).catch((error: unknown) => error),
    reason,
  )
  t.match(await run({ query: "SELECT to_regclass('never')::text AS never" }), { rows: [{ never: null }] })
})

t.test(
  'connection lost: a backend that is terminated is a db_connection, and the next call has a new one',
  async (t) => {
    const { run } = open(t, { maxConnections: 1 })
    const sleeping = run({ query: 'SELECT pg_sleep(600) /* doomed */' })
    sleeping.catch(() => {})
    await until(async () => (await running('/* doomed */')) === 1)
    await watching.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%/* doomed */%' AND pid <> pg_backend_pid()`,
    )
    t.match(await toolFailure(sleeping), { kind: 'db_connection', retryable: true })
    t.match(await run({ query: 'SELECT 1 AS a' }), { rows: [{ a: 1 }] })
  },
)

t.test('deadlock: it is told as one, and may be retried', async (t) => {
  const { run } = open(t)
  await run({ command: 'CREATE TABLE locked (id int); INSERT INTO locked VALUES (1), (2)' })
  const other = new pg.Client(url)
  await other.connect()
  t.teardown(() => other.end())
  await watching.query('SELECT pg_advisory_lock(427)')
  await other.query("BEGIN; SET LOCAL deadlock_timeout = '1h'; UPDATE locked SET id = id WHERE id = 2")
  const failing = toolFailure(
    run({
      command: `BEGIN; SET LOCAL deadlock_timeout = '10ms'; UPDATE locked SET id = id WHERE id = 1;
        SELECT pg_advisory_xact_lock(427) /* gate */;
        UPDATE locked SET id = id WHERE id = 2; COMMIT`,
    }),
  )
  // The tool comes last, for who waits looks for a deadlock once.
  await until(async () => (await running('/* gate */')) === 1)
  const second = other.query('UPDATE locked SET id = id WHERE id = 1 /* second */')
  await until(async () => (await running('/* second */')) === 1)
  await watching.query('SELECT pg_advisory_unlock(427)')
  t.match(await failing, { kind: 'db_deadlock', code: '40P01', retryable: true })
  await second
})

t.test('auth: an alias, a dict that names one, fields in place and a dsn all connect', async (t) => {
  const { run } = open(t)
  for (const auth of ['pg_local', { type: 'postgres', credential: 'pg_local' }, { ...data }, { dsn: url }]) {
    t.match(await run({ query: 'SELECT 1 AS a', auth }), { rows: [{ a: 1 }] })
  }
  t.match(await toolFailure(run({ query: 'SELECT 1', auth: 'absent' })), { kind: 'auth' })
})

t.test(
  'auth: a wrong password is of kind auth, a missing database of kind schema, and neither shows the password',
  async (t) => {
    const { run } = open(t)
    await run({ command: "CREATE ROLE noetl_test_guest LOGIN PASSWORD 's3cret'" })
    t.teardown(() => watching.query('DROP ROLE noetl_test_guest'))
    const missing = await toolFailure(run({ query: 'SELECT 1', auth: { ...data, db_name: 'absent' } }))
    t.match(missing, { kind: 'schema', code: '3D000', message: /noetl@127.0.0.1:\d+\/absent/ })
    const wrong = await toolFailure(
      run({ query: 'SELECT 1', auth: { ...data, db_user: 'noetl_test_guest', db_password: 'wr0ng' } }),
    )
    t.match(wrong, { kind: 'auth', code: '28P01', retryable: false })
    for (const failure of [missing, wrong]) hides(t, failure.message, 'wr0ng')
  },
)

t.test('connection: a closed port is named with its cause', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const failure = await toolFailure(open(t).run({ query: 'SELECT 1', auth: { ...data, db_port: port } }))
  t.match(failure, { kind: 'db_connection', code: 'ECONNREFUSED', retryable: true })
  t.match(failure.message, new RegExp(`127.0.0.1:${port}/${data.db_name}: .*ECONNREFUSED`))
  hides(t, failure.message)
})

t.test('connection: a server that takes it and says nothing is given up', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  const sockets = new Set<import('node:net').Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { run } = open(t, { connectMs: 50 })
  const auth = { ...data, db_port: (server.address() as AddressInfo).port }
  t.match(await toolFailure(run({ query: 'SELECT 1', auth })), { kind: 'db_connection' })
})

t.test('pools: beyond the limit the credential unused for longest loses its connections', async (t) => {
  const { run } = open(t, { maxPools: 1 })
  await run({ command: 'CREATE DATABASE other_one' })
  await run({ query: 'SELECT 1', auth: { ...data, db_name: 'other_one' } })
  await until(async () => {
    const { rows } = await watching.query(
      `SELECT 1 FROM pg_stat_activity WHERE application_name = 'noetl-tool-postgres' AND datname = 'postgres'`,
    )
    return rows.length === 0
  })
})

t.test('close: safe twice, no connection stays', async (t) => {
  const { tool, run } = open(t)
  await run({ query: 'SELECT 1' })
  await tool.close?.()
  await tool.close?.()
  await until(async () => {
    const { rows } = await watching.query(
      `SELECT 1 FROM pg_stat_activity WHERE application_name = 'noetl-tool-postgres'`,
    )
    return rows.length === 0
  })
})

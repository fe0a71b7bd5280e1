import { PassThrough } from 'node:stream'
import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { readConfig } from '../../core/config.ts'
import { startServer } from '../../core/server.ts'
import { send as sendTo } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'
import { credentialOf, testDatabase } from '../support/postgres.ts'

const closed = await testGateway(t, { worker: false })
const target = await testDatabase(t, { migrated: false })
const logged = new PassThrough()
let log = ''
logged.on('data', (chunk) => {
  log += chunk
})
const server = await startServer(
  readConfig(
    {},
    {
      DATABASE_URL: closed.databaseUrl,
      NATS_URL: closed.nats.url,
      NOETL_PORT: '0',
      NOETL_SQL_API: 'on',
      NOETL_ENCRYPTION_KEY: Buffer.from(closed.config.encryptionKey!.bytes).toString('base64'),
    },
  ),
  { log: pino({ level: 'debug' }, logged) },
)
t.teardown(() => server.close())
const pool = new pg.Pool({ connectionString: target.url })
t.teardown(() => pool.end())
await pool.query(
  'CREATE SCHEMA other; CREATE TABLE other.things (id int, name text); CREATE TABLE things (id int)',
)
await pool.query(`CREATE PROCEDURE add_thing(n int) LANGUAGE sql AS 'INSERT INTO things VALUES (n)'`)

const store = (name: string, type: string, data: object) =>
  sendTo(server.url, 'POST', '/api/credentials', { name, type, data })
await store('pg', 'postgres', credentialOf(target.url))
await store('dsn', 'postgres', { dsn: target.url })
await store('wrong', 'postgres', { ...credentialOf(target.url), db_user: 'nobody', db_password: 'h1dden' })
await store('away', 'postgres', { db_host: '127.0.0.1', db_port: 1 })
await store('token', 'bearer', { token: 'x' })
await store('empty', 'postgres', {})
const sql = (body: object, path = '/api/postgres/execute') =>
  sendTo(server.url, 'POST', path, { credential: 'pg', ...body })

t.test('SQL: off unless it was switched on', async (t) => {
  for (const prefix of ['/api', '/api/v2']) {
    t.match(
      await sendTo(closed.server.url, 'POST', `${prefix}/postgres/execute`, {
        query: 'SELECT 1',
        credential: 'pg',
      }),
      {
        status: 403,
        body: { code: 'NOETL_ERR_SQL_API_OFF', error: /NOETL_SQL_API=on/ },
      },
    )
  }
})

t.test('SQL: rows as objects or as arrays, with their values as JSON has them', async (t) => {
  const query = `SELECT 1 AS int, 9007199254740993 AS big, 1.50::numeric AS num, 0.5::float8 AS float, 'NaN'::float8 AS nan,
    true AS yes, NULL AS nothing, '{"a": 9007199254740993}'::jsonb AS json, 'é' AS text, '\\x00ff'::bytea AS bytes,
    '2026-01-02'::date AS day, '2026-01-02 03:04:05.678901'::timestamp AS at, ARRAY[1,2] AS list, 2 AS "__proto__"`
  const { status, body } = await sql({ query })
  t.equal(status, 200)
  t.match(body, { status: 'ok', row_count: 1, command: 'SELECT' })
  const [row] = body.result as Record<string, unknown>[]
  t.same(
    { ...row },
    {
      int: 1,
      big: '9007199254740993',
      num: '1.50',
      float: 0.5,
      nan: 'NaN',
      yes: true,
      nothing: null,
      json: { a: 9007199254740993n },
      text: 'é',
      bytes: '\\x00ff',
      day: '2026-01-02',
      at: '2026-01-02 03:04:05.678901',
      list: '{1,2}',
      ['__proto__']: 2,
    },
  )
  const arrays = await sql(
    { query: 'SELECT 1 AS a, 2 AS a UNION ALL SELECT 3, 4', row_format: 'arrays' },
    '/api/v2/postgres/execute',
  )
  t.match(arrays.body, {
    result: [
      [1, 2],
      [3, 4],
    ],
    columns: ['a', 'a'],
  })
})

t.test('SQL: values are bound, whatever they look like', async (t) => {
  const evil = `'); DROP TABLE things; --`
  t.match(
    (
      await sql({
        query: 'SELECT $1 AS v, $2::int + 1 AS n, $3::jsonb AS j',
        parameters: [evil, 4, { a: [1] }],
      })
    ).body,
    {
      status: 'ok',
      result: [{ v: evil, n: 5, j: { a: [1] } }],
    },
  )
  t.match((await sql({ query: `SELECT 1; DROP TABLE things` })).body, {
    status: 'error',
    result: [],
    code: '42601',
    error: /cannot insert multiple commands/,
  })
  t.match((await sql({ query: 'SELECT count(*)::int AS n FROM things' })).body, { result: [{ n: 0 }] })
})

t.test('SQL: base64, procedures, schemas, databases and other spellings of a credential', async (t) => {
  const base64 = Buffer.from('SELECT 7 AS n').toString('base64')
  t.match((await sql({ query_base64: base64 })).body, { result: [{ n: 7 }] })
  t.match((await sql({ procedure: 'CALL add_thing($1)', parameters: [3] })).body, {
    status: 'ok',
    result: [],
  })
  t.match((await sql({ query: 'SELECT id FROM things' })).body, { result: [{ id: 3 }] })
  for (const schema of [{ schema: 'other' }, { db_schema: 'other' }]) {
    t.match((await sql({ query: 'SELECT * FROM things', ...schema })).body, { columns: ['id', 'name'] })
  }
  t.match(
    (await sql({ query: 'SELECT current_database() AS d', database: 'postgres', credential: 'dsn' })).body,
    {
      result: [{ d: 'postgres' }],
    },
  )
  t.match((await sql({ query: 'INSERT INTO things VALUES (1), (2) RETURNING id' })).body, {
    command: 'INSERT',
    row_count: 2,
    result: [{ id: 1 }, { id: 2 }],
  })
  t.match((await sql({ query: 'UPDATE things SET id = 0' })).body, {
    command: 'UPDATE',
    row_count: 3,
    result: [],
  })
})

t.test(
  'SQL: faults of the statement and of the database answer 200, with status error and no secret',
  async (t) => {
    t.match(await sql({ query: 'SELECT nope FROM things' }), {
      status: 200,
      body: {
        status: 'error',
        code: '42703',
        error: /column "nope" does not exist/,
        position: 8,
        result: [],
      },
    })
    t.match((await sql({ query: '' })).body, { status: 'ok', result: [] })
    t.match((await sql({ query: 'SELECT 1/0' })).body, { status: 'error', code: '22012' })
    const away = await sql({ query: 'SELECT 1', credential: 'away' })
    t.match(away, { status: 200, body: { status: 'error', error: /ECONNREFUSED/ } })
    const wrong = await sql({ query: 'SELECT 1', credential: 'wrong' })
    t.match(wrong, { status: 200, body: { status: 'error' } })
    t.notMatch(JSON.stringify(wrong.body), /h1dden/)
    t.match((await sql({ query: 'COPY things FROM STDIN' })).body, { status: 'error' })
  },
)

t.test('SQL: too many rows, too much at once and one value without an end break off', async (t) => {
  t.match((await sql({ query: 'SELECT generate_series(1, 10000) AS n' })).body, {
    status: 'ok',
    row_count: 10_000,
  })
  t.match((await sql({ query: 'SELECT generate_series(1, 100000000)' })).body, {
    status: 'error',
    error: /more than 10000 rows; add a LIMIT/,
  })
  t.match((await sql({ query: `SELECT repeat('x', 10000) FROM generate_series(1, 9000)` })).body, {
    status: 'error',
    error: /more than \d+ bytes/,
  })
  t.match((await sql({ query: `SELECT repeat('x', 500000000)` })).body, {
    status: 'error',
    error: /more than \d+ bytes/,
  })
  t.match(
    (await sql({ query: `COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT` })).body,
    {
      status: 'error',
    },
  )
  await sql({ query: 'DELETE FROM things' })
  t.match((await sql({ query: 'INSERT INTO things SELECT generate_series(1, 20000) RETURNING id' })).body, {
    status: 'error',
  })
  t.match(
    (await sql({ query: 'SELECT count(*)::int AS n FROM things' })).body,
    { result: [{ n: 0 }] },
    'undone',
  )
})

t.test('SQL: eight at once; the next is told to wait', async (t) => {
  const lock = await pool.connect()
  await lock.query('BEGIN')
  await lock.query('LOCK TABLE things')
  const waiting = Array.from({ length: 8 }, () => sql({ query: 'SELECT count(*) FROM things' }))
  const client = new pg.Client({ connectionString: target.url })
  await client.connect()
  for (;;) {
    const { rows } = await client.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'noetl-sql-api' AND wait_event_type = 'Lock'`,
    )
    if (rows[0].n === 8) break
  }
  t.match(await sql({ query: 'SELECT 1' }), { status: 503, body: { code: 'NOETL_ERR_SATURATED' } })
  await lock.query('ROLLBACK')
  lock.release()
  for (const { body } of await Promise.all(waiting)) t.equal(body.status, 'ok')
  t.match(await sql({ query: 'SELECT 1 AS n' }), { status: 200, body: { result: [{ n: 1 }] } })
  for (;;) {
    const { rows } = await client.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'noetl-sql-api'`,
    )
    if (rows[0].n === 0) break
  }
  await client.end()
  t.pass('no connection is left')
})

t.test('SQL: requests that cannot be are refused', async (t) => {
  for (const [body, status, message] of [
    [{}, 422, /one of query/],
    [{ query: 'SELECT 1', query_base64: 'U0VMRUNUIDE=' }, 422, /2 of them/],
    [{ query_base64: '!!!' }, 422, /base64/],
    [{ procedure: 'DROP TABLE things' }, 422, /CALL/],
    [{ query: 'SELECT 1', parameters: { a: 1 } }, 422, /parameters/],
    [{ query: 'SELECT 1', schema: 'a"; DROP TABLE things; --' }, 422, /schema/],
    [{ query: 'SELECT 1', database: "x' host=evil" }, 422, /database/],
    [{ query: 'SELECT 1', connection_string: 'postgres://evil/x' }, 422, /connection_string/],
    [{ query: 'SELECT 1', credential: null }, 422, /credential/],
    [{ query: 'SELECT 1', credential: 'none' }, 404, /none/],
    [{ query: 'SELECT 1', credential: 'token' }, 422, /type "bearer"/],
    [{ query: 'SELECT 1', credential: 'empty' }, 422, /db_host/],
    [{ query: 'SELECT 1', row_format: 'csv' }, 422, /row_format/],
    [{ query: 'x'.repeat(1_000_001) }, 422, /query/],
  ] as const) {
    t.match(await sql(body), { status, body: { error: message } })
  }
})

t.test('SQL: the log tells who did what, without statement and values', async (t) => {
  await sql({ query: `SELECT 'st4tement' AS a, $1 AS b`, parameters: ['v4lue'] })
  t.match(log, /"credential":"pg".*a client ran SQL/)
  t.notMatch(log, /st4tement|v4lue|h1dden/)
})

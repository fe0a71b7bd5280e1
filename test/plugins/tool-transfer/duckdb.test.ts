import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { CallAborted, type Json, type JsonObject, type ToolCall } from '@noetl/core'
import t from 'tap'
import { duckdbTool } from '../../../plugins/tool-duckdb/tool.ts'
import type { TransferInput } from '../../../plugins/tool-transfer/input.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { json, webServer } from '../tool-http/web-server.ts'
import { openDatabase } from './support.ts'

const { client, rows, open } = await openDatabase(t)
const dataDir = await testFolder(t, 'transfer')
const run = open(t, { dataDir })

/** Another tool of the same process, which has the same files open. */
const looking = duckdbTool({ dataDir })
t.teardown(() => looking.close?.())
async function look(database: string, query: string): Promise<Json> {
  const result = (await looking.run({ database, query }, toolCall())) as JsonObject
  return result.rows ?? null
}

/** Takes minutes unless it is interrupted. */
const LONG =
  'SELECT count(*) AS n FROM range(1000000000) a, range(1000000000) b WHERE (a.range * b.range) % 7 = 3'

const into = (database: string, table: string, more: JsonObject = {}): TransferInput['target'] => ({
  type: 'duckdb',
  database,
  table,
  ...more,
})
const of = (query: string, more: JsonObject = {}): TransferInput['source'] => ({
  type: 'duckdb',
  query,
  ...more,
})

t.test('duckdb to postgres: every type arrives as what it is', async (t) => {
  await client.query(`CREATE TABLE from_duck (i int, b bigint, h numeric, d numeric, f float8, nan float8, t text, none text,
    yes boolean, raw bytea, day date, tm time, at timestamp, tz timestamptz, u uuid, list int[], doc jsonb, js jsonb, jt text,
    m jsonb, big jsonb, e text, iv interval, long jsonb)`)
  const query = `SELECT -5::int AS i, 9007199254740993::bigint AS b, 170141183460469231731687303715884105727::hugeint AS h,
    12345678901234567890.1230::decimal(30, 4) AS d, 0.1::double AS f, 'nan'::double AS nan, E'a\\tb\\nc\\\\d' AS t, NULL AS none,
    true AS yes, '\\x00\\xFFhi'::blob AS raw, date '2026-01-02' AS day, time '03:04:05.6' AS tm,
    timestamp '2026-01-02 03:04:05.123456' AS at, timestamptz '2026-01-02 03:04:05+00' AS tz,
    '550e8400-e29b-41d4-a716-446655440000'::uuid AS u, [1, NULL, 3] AS list,
    {'a': 1.50::decimal(4,2), 'b': ['x', NULL], 'c': 9007199254740993::bigint, 'd': date '2026-01-02', 'e': 'hi'::blob, 'f': 'nan'::double} AS doc,
    '{"a": [9007199254740993]}'::json AS js, '{"a":  1}'::json AS jt, map {'k': 1, 'l': 2} AS m, 42::bigint AS big,
    'x'::enum('x', 'y') AS e, INTERVAL '1 day 2 hours' AS iv, 9007199254740993::bigint AS long`
  t.match(await run({ source: of(query), target: { type: 'postgres', table: 'from_duck' } }), {
    rows_transferred: 1,
    source: { type: 'duckdb', database: ':memory:' },
  })
  t.same(
    await rows(`SELECT i, b::text, h::text, d::text, f, nan::text, t, none, yes, encode(raw, 'hex') AS raw, day::text, tm::text,
      at::text, tz = '2026-01-02 03:04:05Z' AS tz, u, list, doc, js::text, jt, m, big, e, iv::text, long FROM from_duck`),
    [
      {
        i: -5,
        b: '9007199254740993',
        h: '170141183460469231731687303715884105727',
        d: '12345678901234567890.1230',
        f: 0.1,
        nan: 'NaN',
        t: 'a\tb\nc\\d',
        none: null,
        yes: true,
        raw: '00ff6869',
        day: '2026-01-02',
        tm: '03:04:05.6',
        at: '2026-01-02 03:04:05.123456',
        tz: true,
        u: '550e8400-e29b-41d4-a716-446655440000',
        list: [1, null, 3],
        doc: { a: 1.5, b: ['x', null], c: '9007199254740993', d: '2026-01-02', e: 'aGk=', f: null },
        js: '{"a": [9007199254740993]}',
        jt: '{"a":  1}',
        m: { k: 1, l: 2 },
        big: 42,
        e: 'x',
        iv: '1 day 02:00:00',
        long: '9007199254740993',
      },
    ],
  )
})

const TYPES = `i INTEGER, b BIGINT, d DECIMAL(30, 4), f DOUBLE, t VARCHAR, none VARCHAR, empty VARCHAR, yes BOOLEAN, raw BLOB,
  day DATE, tm TIME, stamp TIMESTAMP, tz TIMESTAMPTZ, u UUID, list INTEGER[], doc JSON, told VARCHAR, grid INTEGER[][]`

t.test('postgres to duckdb: every type arrives as what it is', async (t) => {
  await looking.run({ database: 'types.duckdb', command: `CREATE TABLE typed (${TYPES})` }, toolCall())
  const query = `SELECT -5 AS i, 9007199254740993::bigint AS b, 12345678901234567890.1230 AS d, 0.1::float8 AS f,
    E'a\\tb\\nc\\\\d "q" \\u00e9' AS t, NULL AS none, '' AS empty, true AS yes, '\\x00ff6869'::bytea AS raw, date '2026-01-02' AS day,
    time '03:04:05.6' AS tm, timestamp '2026-01-02 03:04:05.123456' AS stamp, timestamptz '2026-01-02 03:04:05+02' AS tz,
    '550e8400-e29b-41d4-a716-446655440000'::uuid AS u, ARRAY[1, NULL, 3] AS list, '{"a": [9007199254740993]}'::jsonb AS doc,
    '{"x": 1}'::jsonb AS told, '{{1,2},{3,4}}'::int[] AS grid`
  await run({ source: { type: 'postgres', query }, target: into('types.duckdb', 'typed') })
  t.same(await look('types.duckdb', 'SELECT * REPLACE (d::varchar AS d, doc::varchar AS doc) FROM typed'), [
    {
      i: -5,
      b: '9007199254740993',
      d: '12345678901234567890.1230',
      f: 0.1,
      t: 'a\tb\nc\\d "q" é',
      none: null,
      empty: '',
      yes: true,
      raw: 'AP9oaQ==',
      day: '2026-01-02',
      tm: '03:04:05.6',
      stamp: '2026-01-02T03:04:05.123456',
      tz: '2026-01-02T01:04:05Z',
      u: '550e8400-e29b-41d4-a716-446655440000',
      list: [1, null, 3],
      doc: '{"a": [9007199254740993]}',
      told: '{"x": 1}',
      grid: [
        [1, 2],
        [3, 4],
      ],
    },
  ])
})

t.test('http to duckdb: values of JSON fit the columns they go into', async (t) => {
  const command = `CREATE TABLE web (i INTEGER, whole INTEGER, f DOUBLE, list VARCHAR[], s STRUCT(a INTEGER, b VARCHAR), doc JSON,
    raw BLOB, stamp TIMESTAMPTZ, told VARCHAR, yes BOOLEAN, words JSON)`
  await looking.run({ database: 'web.duckdb', command }, toolCall())
  const text = `[{"i": 3, "whole": 3.0, "f": 1.5, "list": ["a,b", null, "c\\"]"], "s": {"a": 1, "b": "x"}, "doc": {"n": [1]},
    "raw": "3q2+7w==", "stamp": "2026-01-02T03:04:05+02:00", "told": [1, "x"], "yes": false, "words": "plain"}, {}]`
  const server = await webServer(t, (_received, response) => response.end(text))
  await run({ source: { type: 'http', url: server.url }, target: into('web.duckdb', 'web') })
  const [first, second] = (await look(
    'web.duckdb',
    'SELECT * FROM web ORDER BY i NULLS LAST',
  )) as JsonObject[]
  t.same(first, {
    i: 3,
    whole: 3,
    f: 1.5,
    list: ['a,b', null, 'c"]'],
    s: { a: 1, b: 'x' },
    doc: { n: [1] },
    raw: '3q2+7w==',
    stamp: '2026-01-02T01:04:05Z',
    told: '[1,"x"]',
    yes: false,
    words: 'plain',
  })
  t.ok(Object.values(second!).every((value) => value === null))
})

t.test('duckdb: what does not fit its column fails with its rows, and nothing is written', async (t) => {
  await looking.run(
    { database: 'fit.duckdb', command: 'CREATE TABLE n (i INTEGER, b BLOB, d DATE)' },
    toolCall(),
  )
  for (const [row, message] of [
    [{ i: 3.5 }, /row 2, column i: INTEGER takes whole numbers alone/],
    [{ i: 3e9 }, /rows 1 to 2: Conversion Error: /],
    [{ b: '!' }, /row 2, column b: .*base64/],
    [{ d: 'someday' }, /rows 1 to 2: Conversion Error: /],
    [{ i: '\ud800' }, /row 2/],
  ] as [JsonObject, RegExp][]) {
    const server = await webServer(t, (_received, response) =>
      json(response, [{ i: 1, b: null, d: null }, row]),
    )
    const failing = run({ source: { type: 'http', url: server.url }, target: into('fit.duckdb', 'n') })
    t.match(await toolFailure(failing), { kind: 'schema', message })
  }
  t.same(await look('fit.duckdb', 'SELECT * FROM n'), [])
})

t.test('duckdb modes: append adds, replace replaces, upsert twice is as once', async (t) => {
  const database = 'modes.duckdb'
  const command = `CREATE TABLE m (id INTEGER PRIMARY KEY, v VARCHAR, note VARCHAR DEFAULT 'new')`
  await looking.run({ database, command }, toolCall())
  const go = (query: string, more: JsonObject) =>
    run({ source: of(query), target: into(database, 'm', more), batch_size: 2 })
  await go(`SELECT range::int AS id, 'a' || range AS v FROM range(5)`, {})
  t.match(await look(database, 'SELECT count(*)::int AS n FROM m'), [{ n: 5 }])
  t.match(await toolFailure(go(`SELECT 4 AS id, 'again' AS v`, {})), { kind: 'db_constraint' })
  t.match(await go(`SELECT range::int AS id, 'b' AS v FROM range(3)`, { mode: 'replace' }), {
    rows_transferred: 3,
    batches: 2,
    target: { type: 'duckdb', table: 'm', mode: 'replace' },
  })
  t.same(await look(database, 'SELECT id, v FROM m ORDER BY id'), [
    { id: 0, v: 'b' },
    { id: 1, v: 'b' },
    { id: 2, v: 'b' },
  ])
  await looking.run({ database, command: `UPDATE m SET note = 'kept'` }, toolCall())
  // The key 2 comes twice in one batch, 7 in two.
  const changes = `SELECT unnest([2, 2, 7, 8, 7]) AS id, unnest(['x', 'y', 'z', 'w', 'last']) AS v`
  for (const time of ['once', 'twice']) {
    await go(changes, { mode: 'upsert', key: 'id' })
    t.same(
      await look(database, 'SELECT * FROM m WHERE id >= 2 ORDER BY id'),
      [
        { id: 2, v: 'y', note: 'kept' },
        { id: 7, v: 'last', note: 'new' },
        { id: 8, v: 'w', note: 'new' },
      ],
      time,
    )
  }
  t.match(await toolFailure(go(`SELECT 1 AS id, 'x' AS v`, { mode: 'upsert', key: 'v' })), {
    kind: 'schema',
    message: /UNIQUE/,
  })
  t.match(await toolFailure(go(`SELECT NULL AS id, 'x' AS v`, { mode: 'upsert', key: 'id' })), {
    kind: 'db_constraint',
    message: /row 1, column id: .* has no value/,
  })
})

t.test('duckdb: a row in the middle that does not fit leaves the target as it was', async (t) => {
  const database = 'whole.duckdb'
  await looking.run(
    { database, command: 'CREATE TABLE w (id INTEGER PRIMARY KEY); INSERT INTO w VALUES (-1)' },
    toolCall(),
  )
  for (const mode of ['append', 'replace', 'upsert']) {
    const query = `SELECT CASE range WHEN 2500 THEN 'x' ELSE range::varchar END AS id FROM range(5000)`
    const target = into(database, 'w', { mode, key: 'id' })
    const error = await toolFailure(run({ source: of(query), target, batch_size: 500 }))
    t.match(error, { kind: 'schema', message: /row 2501, column id/ })
    const breaking = `SELECT (CASE WHEN range < 4000 THEN range ELSE error('s3cret') END)::int AS id FROM range(5000)`
    t.match(await toolFailure(run({ source: of(breaking), target, batch_size: 500 })), {
      message: /^source: /,
    })
    t.same(await look(database, 'SELECT id FROM w'), [{ id: -1 }], mode)
  }
})

t.test('duckdb create: the file and the table are made, with their key', async (t) => {
  const query = `SELECT n AS id, 1.50 AS price, 'x' AS name, now() AS at, '{"a": 1}'::json AS doc, '\\x01'::bytea AS raw,
    ARRAY[1] AS list FROM generate_series(1, 3) n`
  const target = into('fresh/../made.duckdb', 'made', { create: true, mode: 'upsert', key: ['id'] })
  for (const _ of [1, 2]) await run({ source: { type: 'postgres', query }, target })
  t.same(
    await look(
      'made.duckdb',
      `SELECT column_name AS name, data_type AS type FROM duckdb_columns() WHERE table_name = 'made'`,
    ),
    Object.entries({
      id: 'INTEGER',
      price: 'DECIMAL(38,10)',
      name: 'VARCHAR',
      at: 'TIMESTAMP WITH TIME ZONE',
      doc: 'JSON',
      raw: 'BLOB',
      list: 'JSON',
    }).map(([name, type]) => ({ name, type })),
  )
  t.same(await look('made.duckdb', 'SELECT count(*)::int AS n, sum(price)::double AS s FROM made'), [
    { n: 3, s: 4.5 },
  ])
})

t.test('duckdb: names are no SQL, a schema may be named, and a mapping chooses', async (t) => {
  const database = 'names.duckdb'
  const command = `CREATE SCHEMA "odd ""one"""; CREATE TABLE "odd ""one"""."T.x" ("a""b" INTEGER, other VARCHAR DEFAULT 'd')`
  await looking.run({ database, command }, toolCall())
  const mapping = { 'a"b': 'n' }
  await run({
    source: of('SELECT 1 AS n, 2 AS more'),
    target: into(database, '"odd ""one"""."T.x"', { mapping }),
  })
  t.same(await look(database, 'SELECT * FROM "odd ""one"""."T.x"'), [{ 'a"b': 1, other: 'd' }])
  const failing = (target: TransferInput['target']) =>
    toolFailure(run({ source: of('SELECT 1 AS n'), target }))
  t.match(await failing(into(database, 'nowhere')), {
    kind: 'not_found',
    message: /no table nowhere in names.duckdb/,
  })
  t.match(await failing(into(database, '"odd ""one"""."T.x"')), {
    kind: 'schema',
    message: /no column "n"; it has: a"b, other/,
  })
  t.match(await failing(into('/no/such/folder/x.duckdb', 'y')), { kind: 'storage_access' })
  t.match(await failing(into('md:x', 'y')), { kind: 'schema', message: /path of a file/ })
})

t.test('duckdb source: one statement that reads, with its parameters bound', async (t) => {
  const database = 'source.duckdb'
  await looking.run(
    { database, command: 'CREATE TABLE s (id INTEGER); INSERT INTO s VALUES (1), (2), (3)' },
    toolCall(),
  )
  await client.query('CREATE TABLE sourced (id int, p text, n int)')
  const target: TransferInput['target'] = { type: 'postgres', table: 'sourced' }
  const params = ["it's; --", 7]
  await run({
    source: of('SELECT id, $1 AS p, $2::int AS n FROM s ORDER BY id;', { database, params }),
    target,
  })
  t.same(await rows('SELECT * FROM sourced ORDER BY id LIMIT 1'), [{ id: 1, p: "it's; --", n: 7 }])
  const failing = (query: string) => toolFailure(run({ source: of(query, { database }), target }))
  t.match(await failing('SELECT 1 AS id; SELECT 2 AS id'), { kind: 'schema', message: /this has 2/ })
  t.match(await failing('INSERT INTO s VALUES (4) RETURNING id'), { message: /^source: .*read-only/ })
  t.match(await failing('SELEC 1'), { kind: 'schema', message: /^source: Parser Error/ })
  t.match(await failing('SELECT * FROM nowhere'), {
    kind: 'schema',
    message: /^source: Catalog Error: Table with name nowhere/,
  })
})

t.test('duckdb: from a file into the same file, by whatever name it has', async (t) => {
  await looking.run(
    { database: 'same.duckdb', command: 'CREATE TABLE a AS SELECT range::int AS id FROM range(5000)' },
    toolCall(),
  )
  await symlink(join(dataDir, 'same.duckdb'), join(dataDir, 'other.duckdb'))
  const source = of('SELECT id FROM a', { database: 'other.duckdb' })
  t.match(await run({ source, target: into('same.duckdb', 'b', { create: true }) }), {
    rows_transferred: 5000,
    batches: 5,
  })
  t.same(await look('same.duckdb', 'SELECT count(*)::int AS n, sum(id)::int AS s FROM b'), [
    { n: 5000, s: 12_497_500 },
  ])
})

t.test('200,000 rows: into DuckDB and back, in batches of the size asked for', async (t) => {
  const database = 'many.duckdb'
  const query = `SELECT n AS id, repeat('x', n % 50) AS name FROM generate_series(1, 200000) n`
  const target = into(database, 'many', { create: true, mode: 'replace' })
  t.match(await run({ source: { type: 'postgres', query }, target, batch_size: 5000 }), {
    rows_transferred: 200_000,
    batches: 40,
  })
  await client.query('CREATE TABLE back (id int PRIMARY KEY, name text)')
  t.match(
    await run({
      source: of('SELECT * FROM many', { database }),
      target: { type: 'postgres', table: 'back' },
      batch_size: 5000,
    }),
    { rows_transferred: 200_000, batches: 40 },
  )
  t.same(await rows('SELECT count(*)::int AS n, sum(length(name))::int AS x FROM back'), [
    { n: 200_000, x: 4_900_000 },
  ])
})

t.test(
  'duckdb: transfers at once wait for their turn, and one that is stopped leaves the queue',
  async (t) => {
    const database = 'queue.duckdb'
    await looking.run({ database, command: 'CREATE TABLE q (n BIGINT)' }, toolCall())
    const go = (query: string, call: Partial<ToolCall> = {}) =>
      run({ source: of(query), target: into(database, 'q') }, call)
    const first = new AbortController()
    const second = new AbortController()
    const ends = [
      go(LONG, { signal: first.signal }).catch((error: unknown) => error),
      go('SELECT 1 AS n', { signal: second.signal }).catch((error: unknown) => error),
      go('SELECT 2 AS n'),
    ]
    const reasons = [new CallAborted('cancelled', 'one'), new CallAborted('lease-lost', 'two')]
    second.abort(reasons[1])
    t.equal(await ends[1], reasons[1])
    first.abort(reasons[0])
    t.equal(await ends[0], reasons[0])
    t.match(await ends[2], { rows_transferred: 1 })
    t.same(await look(database, 'SELECT n FROM q'), [{ n: 2 }])
  },
)

t.test('duckdb: a timeout interrupts what runs', async (t) => {
  const target: TransferInput['target'] = { type: 'postgres', table: 'nowhere' }
  t.match(await toolFailure(run({ source: of(LONG), target, timeout: 0.2 })), {
    kind: 'timeout',
    retryable: true,
    message: /longer than 0.2 s/,
  })
})

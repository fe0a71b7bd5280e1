import { type AddressInfo, connect, createServer } from 'node:net'
import { CallAborted, type JsonObject } from '@noetl/core'
import pg from 'pg'
import t from 'tap'
import type { TransferInput } from '../../../plugins/tool-transfer/input.ts'
import { toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { hides, openDatabase } from './support.ts'

const { client, data, url, rows, open, noneLeft } = await openDatabase(t)
const run = open(t)

/** From a query into a table of the same database. */
const fields = (query: string, target: JsonObject, more: JsonObject = {}): TransferInput => ({
  source: { type: 'postgres', query, ...(more.source as JsonObject) },
  target: { type: 'postgres', ...target },
  ...(more.mapping === undefined ? {} : { mapping: more.mapping as Record<string, string> }),
  ...(more.batch_size === undefined ? {} : { batch_size: Number(more.batch_size) }),
  ...(more.timeout === undefined ? {} : { timeout: Number(more.timeout) }),
})

t.test('postgres: the result says how many rows went where, in how many batches', async (t) => {
  await client.query('CREATE TABLE people (id int PRIMARY KEY, name text)')
  const result = await run(
    fields(
      `SELECT n AS id, 'p' || n AS name FROM generate_series(1, 25) n`,
      { table: 'people' },
      { batch_size: 10 },
    ),
  )
  const { elapsed, ...rest } = result
  t.type(elapsed, 'number')
  t.same(rest, {
    status: 'success',
    rows_transferred: 25,
    columns: ['id', 'name'],
    batches: 3,
    source: { type: 'postgres', host: data.db_host, database: data.db_name },
    target: { type: 'postgres', table: 'people', mode: 'append' },
  })
  t.same(await rows('SELECT count(*)::int AS n, min(name) AS low FROM people'), [{ n: 25, low: 'p1' }])
})

t.test('postgres: every type arrives as it was', async (t) => {
  const columns = `i int, b bigint, n numeric, f float8, r real, t text, v varchar(9), j jsonb, js json, x bytea,
    d date, tm time, ts timestamp, tz timestamptz, iv interval, u uuid, o boolean, ia int[], ta text[], da jsonb[],
    oa boolean[], ip inet, p point, e mood, z text`
  await client.query(`CREATE TYPE mood AS ENUM ('glad', 'sad')`)
  await client.query(`CREATE TABLE typed_from (${columns}); CREATE TABLE typed_to (${columns})`)
  await client.query(`
    INSERT INTO typed_from VALUES
    (-5, 9007199254740993, 12345678901234567890.1230, 0.1, 1.5, E'a\\tb\\nc\\\\d\\re\\\\N \u{1f600} "q"', '', '{"a": [1, null, "x\\n"]}',
     '{"b":  9007199254740993}', '\\x00ff5c0a', '2026-01-02', '03:04:05.6', '2026-01-02 03:04:05.123456',
     '2026-01-02 03:04:05+02', '1 day -02:03:04', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', true, '{1,NULL,3}',
     '{"a,b","c\\"d",NULL,"NULL",""}', ARRAY['{"k": "v\\\\"}'::jsonb], '{t,f}', '10.0.0.1/8', '(1,2)', 'glad', NULL),
    (NULL, NULL, 'NaN', 'infinity', NULL, '\\N', '\\.', 'null', NULL, '', 'infinity', NULL, '-infinity', NULL, NULL,
     NULL, false, '{{1,2},{3,4}}', '{}', NULL, NULL, NULL, NULL, NULL, '')`)
  t.match(await run(fields('SELECT * FROM typed_from', { table: 'typed_to' })), { rows_transferred: 2 })
  const text = (table: string) =>
    `SELECT * FROM (SELECT row_to_json(one)::text AS line FROM ${table} one) l ORDER BY line`
  t.same(await rows(text('typed_to')), await rows(text('typed_from')))
  t.same(await rows('SELECT count(*)::int AS n FROM typed_to WHERE z IS NULL'), [{ n: 1 }])
})

t.test('postgres: values go into JSON columns as what they are', async (t) => {
  await client.query('CREATE TABLE docs (a jsonb, b jsonb, c jsonb, d jsonb, e jsonb, f text)')
  const query = `SELECT 3 AS a, 'x"y'::text AS b, ARRAY[true, NULL] AS c, '\\x6869'::bytea AS d,
    9007199254740993::bigint AS e, true AS f`
  await run(fields(query, { table: 'docs' }))
  t.same(await rows('SELECT * FROM docs'), [
    { a: 3, b: 'x"y', c: [true, null], d: 'aGk=', e: '9007199254740993', f: 'true' },
  ])
})

t.test(
  'postgres: mapping says which field goes where, in target or beside it; names are no SQL',
  async (t) => {
    await client.query(
      `CREATE SCHEMA "odd ""one"""; CREATE TABLE "odd ""one"""."T.x" ("a""); DROP TABLE people; --" int, "Über" text, d int DEFAULT 7)`,
    )
    const target = { table: '"odd ""one"""."T.x"' }
    const mapping = { 'a"); DROP TABLE people; --': 'n', Über: 'said' }
    await run(fields(`SELECT 'hi' AS said, 2 AS n, 9 AS more`, { ...target, mapping }))
    await run(fields(`SELECT 'ho' AS said, 3 AS n`, target, { mapping }))
    t.same(
      await rows(
        'SELECT "a""); DROP TABLE people; --" AS a, "Über" AS u, d FROM "odd ""one"""."T.x" ORDER BY 1',
      ),
      [
        { a: 2, u: 'hi', d: 7 },
        { a: 3, u: 'ho', d: 7 },
      ],
    )
    t.same(await rows(`SELECT to_regclass('people') IS NOT NULL AS there`), [{ there: true }])
  },
)

t.test('postgres: names without quotes in SQL are found as SQL folds them', async (t) => {
  await client.query('CREATE SCHEMA Shop; CREATE TABLE Shop.Orders (userId int)')
  const result = await run(
    fields('SELECT 1 AS userId', { table: 'Shop.Orders', mapping: { userId: 'userId' } }),
  )
  t.match(result, { rows_transferred: 1, target: { table: 'Shop.Orders' } })
  t.same(await rows('SELECT * FROM shop.orders'), [{ userid: 1 }])
})

t.test('postgres: parameters are bound', async (t) => {
  await client.query('CREATE TABLE bound (a text, b int)')
  const source = { params: ["'; DROP TABLE bound; --", 4] }
  await run(fields('SELECT $1::text AS a, $2::int AS b', { table: 'bound' }, { source }))
  t.same(await rows('SELECT * FROM bound'), [{ a: "'; DROP TABLE bound; --", b: 4 }])
})

t.test(
  'replace: the new rows stand for the old ones, also when the source is the table itself',
  async (t) => {
    await client.query(
      'CREATE TABLE swap (id int PRIMARY KEY, n int); INSERT INTO swap VALUES (1, 1), (2, 2), (3, 3)',
    )
    await run(fields('SELECT id, n * 10 AS n FROM swap WHERE id > 1', { table: 'swap', mode: 'replace' }))
    t.same(await rows('SELECT * FROM swap ORDER BY id'), [
      { id: 2, n: 20 },
      { id: 3, n: 30 },
    ])
    t.match(await run(fields('SELECT 1 AS id, 1 AS n WHERE false', { table: 'swap', mode: 'replace' })), {
      rows_transferred: 0,
      batches: 0,
      columns: ['id', 'n'],
    })
    t.same(await rows('SELECT * FROM swap'), [])
  },
)

t.test('replace: until it is done others see the old rows, and two at a time leave one result', async (t) => {
  await client.query('CREATE TABLE calm (id int); INSERT INTO calm VALUES (0)')
  await client.query('SELECT pg_advisory_lock(7)')
  const target = { table: 'calm', mode: 'replace' }
  // Waits for the lock after some rows have gone over.
  const query = `SELECT n AS id FROM generate_series(1, 3000) n
    WHERE n < 2900 OR (SELECT pg_advisory_xact_lock_shared(7) IS NOT NULL)`
  const first = run(fields(query, target, { batch_size: 100 }))
  await until(
    'the source to wait',
    async () =>
      (
        await rows(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%generate_series(1, 3000)%'`,
        )
      ).length === 1,
  )
  t.same(await rows('SELECT id FROM calm'), [{ id: 0 }], 'the old row is still there')
  const second = run(fields('SELECT n AS id FROM generate_series(1, 5) n', target))
  await until(
    'the second to wait for the first',
    async () =>
      (
        await rows(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'`,
        )
      ).length === 1,
  )
  await client.query('SELECT pg_advisory_unlock(7)')
  await Promise.all([first, second])
  t.same(await rows('SELECT count(*)::int AS n FROM calm'), [{ n: 5 }])
})

t.test('upsert: twice is as once; changed rows change, new ones come, others stay', async (t) => {
  await client.query(
    `CREATE TABLE stock (shop int, item text, n int, note text DEFAULT 'new', PRIMARY KEY (shop, item))`,
  )
  await client.query(`INSERT INTO stock VALUES (1, 'a', 1, 'kept'), (9, 'z', 9, 'old')`)
  const query = `SELECT * FROM (VALUES (1, 'a', 5), (1, 'b', 6)) v (shop, item, n)`
  const target = { table: 'stock', mode: 'upsert', key: ['shop', 'item'] }
  const expected = [
    { shop: 1, item: 'a', n: 5, note: 'kept' },
    { shop: 1, item: 'b', n: 6, note: 'new' },
    { shop: 9, item: 'z', n: 9, note: 'old' },
  ]
  for (const time of ['once', 'twice']) {
    t.match(await run(fields(query, target)), { rows_transferred: 2, target: { mode: 'upsert' } })
    t.same(await rows('SELECT * FROM stock ORDER BY shop, item'), expected, time)
  }
})

t.test('upsert: of several rows with one key the last counts, and a key alone is enough', async (t) => {
  await client.query(
    'CREATE TABLE last_one (id int PRIMARY KEY, noetl_row text); CREATE TABLE only_key (id int PRIMARY KEY)',
  )
  const query = `SELECT n % 3 AS id, 'v' || n AS noetl_row FROM generate_series(1, 3000) n ORDER BY n`
  await run(fields(query, { table: 'last_one', mode: 'upsert', key: 'id' }))
  t.same(await rows('SELECT * FROM last_one ORDER BY id'), [
    { id: 0, noetl_row: 'v3000' },
    { id: 1, noetl_row: 'v2998' },
    { id: 2, noetl_row: 'v2999' },
  ])
  for (const _ of [1, 2])
    await run(fields('SELECT 1 AS id', { table: 'only_key', mode: 'upsert', key: 'id' }))
  t.same(await rows('SELECT * FROM only_key'), [{ id: 1 }])
})

t.test(
  'upsert: a key that no index backs, is not sent or is null is refused, and nothing is written',
  async (t) => {
    await client.query('CREATE TABLE keyless (id int UNIQUE, other int)')
    const target = (key: string) => ({ table: 'keyless', mode: 'upsert', key })
    const query = 'SELECT n AS id, n AS other FROM generate_series(1, 10) n'
    t.match(await toolFailure(run(fields(query, target('other')))), { kind: 'schema', code: '42P10' })
    t.match(await toolFailure(run(fields(query, target('absent')))), {
      kind: 'schema',
      message: /key column "absent" gets no value; .* id, other/,
    })
    t.match(await toolFailure(run(fields(`${query} UNION ALL SELECT NULL, 1`, target('id')))), {
      kind: 'db_constraint',
      message: /row 11, column id: .* has no value/,
    })
    t.same(await rows('SELECT * FROM keyless'), [])
  },
)

t.test(
  'failure: a row in the middle that does not fit leaves the target as it was, in every mode',
  async (t) => {
    await client.query(
      `CREATE TABLE whole (id int PRIMARY KEY, age int CHECK (age < 1000)); INSERT INTO whole VALUES (1, 1), (2, 2)`,
    )
    const cases: [string, JsonObject][] = [
      [`CASE n WHEN 2500 THEN 'old' ELSE '7' END`, { kind: 'schema', code: '22P02' }],
      ['CASE n WHEN 2500 THEN 1000 ELSE 7 END', { kind: 'db_constraint', code: '23514' }],
      ['7 / (n - 2500)', { kind: 'schema', code: '22012' }],
    ]
    for (const mode of ['append', 'replace', 'upsert']) {
      for (const [age, expected] of cases) {
        const query = `SELECT n + 1 AS id, ${age} AS age FROM generate_series(10, 5000) n`
        const error = await toolFailure(
          run(fields(query, { table: 'whole', mode, key: 'id' }, { batch_size: 200 })),
        )
        t.match(error, expected, mode)
        const place = age.startsWith('7')
          ? /^source: division by zero/
          : mode === 'upsert' && age.includes('1000')
            ? /^target: /
            : /^target: row 2491/
        t.match(error.message, place)
        t.match(error.facets, { pg: { sqlstate: expected.code } })
      }
      t.same(await rows('SELECT * FROM whole ORDER BY id'), [
        { id: 1, age: 1 },
        { id: 2, age: 2 },
      ])
    }
    await noneLeft()
  },
)

t.test('failure: it quotes no row and names what is missing', async (t) => {
  await client.query('CREATE TABLE secret (word text PRIMARY KEY)')
  const twice = await toolFailure(
    run(fields(`SELECT 's3cret' AS word FROM generate_series(1, 2)`, { table: 'secret' })),
  )
  t.match(twice, { kind: 'db_constraint', code: '23505' })
  hides(t, twice, 's3cret', String(data.db_password))
  t.match(await toolFailure(run(fields('SELECT 1 AS n', { table: 'nowhere' }))), {
    kind: 'not_found',
    message: /no table nowhere .* "target.create: true"/,
  })
  t.match(await toolFailure(run(fields('SELECT 1 AS n', { table: 'no.where' }))), { kind: 'not_found' })
  t.match(await toolFailure(run(fields('SELECT 1 AS n', { table: 'secret' }))), {
    kind: 'schema',
    message: /no column "n"; it has: word/,
  })
  t.match(await toolFailure(run(fields('SELECT 1 AS word', { table: 'secret', mapping: { word: 'w' } }))), {
    kind: 'schema',
    message: /source: there is no column "w"; there are: word/,
  })
  t.match(await toolFailure(run(fields('SELECT 1 AS a, 2 AS a', { table: 'secret' }))), {
    message: /several columns "a"/,
  })
  t.match(
    await toolFailure(
      run(fields('SELECT 1 AS word', { table: 'secret', mapping: { word: 'word', WORD: 'word' } })),
    ),
    {
      message: /two fields go into the column "word"/,
    },
  )
  t.match(await toolFailure(run(fields('SELECT nonsense', { table: 'secret' }))), {
    kind: 'schema',
    code: '42703',
    message: /^source: /,
  })
  t.match(await toolFailure(run(fields('SELECT 1; SELECT 2', { table: 'secret' }))), {
    kind: 'schema',
    code: '42601',
  })
  t.match(await toolFailure(run(fields('SELECT word FROM nowhere', { table: 'secret' }))), { code: '42P01' })
})

t.test('source: it only reads', async (t) => {
  await client.query('CREATE TABLE moved (id int); INSERT INTO moved VALUES (1); CREATE TABLE mover (id int)')
  const error = await toolFailure(run(fields('DELETE FROM moved RETURNING id', { table: 'mover' })))
  t.match(error, { code: '25006', message: /^source: .*read-only transaction/ })
  t.same(await rows('SELECT * FROM moved'), [{ id: 1 }])
})

t.test(
  'create: the table is made after the columns of the source, and is gone again on failure',
  async (t) => {
    const query = `SELECT n::int AS id, n::bigint AS big, 1.50 AS price, 'x' AS name, now() AS at, '{"a": 1}'::json AS doc,
    ARRAY[1, 2] AS list, '\\x01'::bytea AS raw, true AS yes, current_date AS day FROM generate_series(1, 2) n`
    await run(fields(query, { table: 'public.made', create: true, mode: 'upsert', key: 'id' }))
    t.same(
      await rows(`SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
      WHERE attrelid = 'made'::regclass AND attnum > 0 ORDER BY attnum`),
      Object.entries({
        id: 'integer',
        big: 'bigint',
        price: 'numeric',
        name: 'text',
        at: 'timestamp with time zone',
        doc: 'jsonb',
        list: 'jsonb',
        raw: 'bytea',
        yes: 'boolean',
        day: 'date',
      }).map(([name, type]) => ({ name, type })),
    )
    t.match(await rows('SELECT price, list, doc FROM made'), [
      { price: '1.50', list: [1, 2], doc: { a: 1 } },
      {},
    ])
    await run(fields(query, { table: 'made', create: true, mode: 'append' })).catch(() => {})
    t.same(await rows('SELECT count(*)::int AS n FROM made'), [{ n: 2 }], 'its key is a primary key')
    const failing = fields('SELECT 1 / (n - 900) AS x FROM generate_series(1, 1000) n', {
      table: 'never',
      create: true,
    })
    await toolFailure(run({ ...failing, batch_size: 100 }))
    t.same(await rows(`SELECT to_regclass('never') AS never`), [{ never: null }])
    t.match(await run(fields('SELECT 1 AS a WHERE false', { table: 'empty_one', create: true })), {
      rows_transferred: 0,
    })
    t.same(await rows('SELECT a FROM empty_one'), [])
  },
)

t.test('memory: the source is read no faster than the target takes it', async (t) => {
  await client.query('CREATE TABLE slow_one (n int, got boolean, wide text)')
  const other = new pg.Client(url)
  await other.connect()
  t.teardown(() => other.end())
  await other.query('BEGIN; LOCK TABLE slow_one IN ACCESS EXCLUSIVE MODE')
  // Each row that the server makes takes a lock that others can count.
  const query = `SELECT n, pg_try_advisory_xact_lock(77, n) AS got, repeat('x', 1000) AS wide FROM generate_series(1, 4000) n`
  const running = run(fields(query, { table: 'slow_one' }, { batch_size: 100 }))
  const made = async () =>
    Number(
      (await rows(`SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND classid = 77`))[0]
        ?.n,
    )
  await until(
    'the target to wait',
    async () =>
      (
        await rows(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY %slow_one%'`,
        )
      ).length === 1,
  )
  let seen = { n: -1, times: 0 }
  await until('the source to stand still', async () => {
    const n = await made()
    seen = n === seen.n ? { n, times: seen.times + 1 } : { n, times: 0 }
    return seen.times === 20
  })
  t.ok(seen.n >= 100 && seen.n <= 500, `${seen.n} of 4000 rows were made while none could be written`)
  await other.query('COMMIT')
  t.match(await running, { rows_transferred: 4000, batches: 40 })
  t.same(await rows('SELECT count(*)::int AS n FROM slow_one WHERE got'), [{ n: 4000 }])
})

t.test('memory: a batch of big rows is cut short', async (t) => {
  await client.query('CREATE TABLE big_rows (t text)')
  const small = open(t, { maxBatchBytes: 100_000 })
  const query = `SELECT repeat('x', 60000) AS t FROM generate_series(1, 10)`
  t.match(await small(fields(query, { table: 'big_rows' })), { rows_transferred: 10, batches: 5 })
})

t.test('200,000 rows: all arrive, in batches of the size asked for', async (t) => {
  await client.query('CREATE TABLE many (id int PRIMARY KEY, name text, doc jsonb)')
  const query = `SELECT n AS id, repeat('x', n % 100) AS name, json_build_object('n', n) AS doc FROM generate_series(1, 200000) n`
  const result = await run(fields(query, { table: 'many', mode: 'replace' }, { batch_size: 2000 }))
  t.match(result, { rows_transferred: 200_000, batches: 100 })
  t.same(
    await rows(
      `SELECT count(*)::int AS n, sum(length(name))::int AS x, sum((doc->>'n')::bigint)::text AS s FROM many`,
    ),
    [{ n: 200_000, x: 9_900_000, s: '20000100000' }],
  )
})

for (const end of ['source', 'target'] as const) {
  t.test(`signal: a cancel reaches the server of the ${end}, and nothing is written`, async (t) => {
    const mark = `/* ${end} */`
    await client.query(`CREATE TABLE stopped_${end} (id int)`)
    const slow = `CREATE FUNCTION slow_${end}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$`
    if (end === 'target')
      await client.query(
        `${slow}; CREATE TRIGGER s BEFORE INSERT ON stopped_target FOR EACH ROW EXECUTE FUNCTION slow_target()`,
      )
    const query = end === 'source' ? `SELECT 1 AS id FROM pg_sleep(600) ${mark}` : `SELECT 1 AS id ${mark}`
    const controller = new AbortController()
    const running = run(fields(query, { table: `stopped_${end}` }), { signal: controller.signal }).catch(
      (e: unknown) => e,
    )
    const pids = await until('it to sleep', async () => {
      const found = await rows(
        `SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()`,
      )
      return found.length > 0 && found.map(({ pid }) => pid)
    })
    const reason = new CallAborted('cancelled', 'enough')
    controller.abort(reason)
    t.equal(await running, reason)
    await until(
      'the server to have stopped',
      async () => (await rows(`SELECT 1 FROM pg_stat_activity WHERE pid = ${pids[0]}`)).length === 0,
    )
    t.same(await rows(`SELECT * FROM stopped_${end}`), [])
    await noneLeft()
  })
}

t.test(
  'connection: one that breaks in the midst of COMMIT is told as unknown, and not to be repeated',
  async (t) => {
    await client.query('CREATE TABLE in_doubt (id int)')
    const proxy = createServer((near) => {
      const far = connect(Number(data.db_port), String(data.db_host))
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on('error', () => {})
        from.on('close', () => to.destroy())
      }
      far.pipe(near)
      near.on('data', (bytes) => {
        if (bytes.includes('COMMIT')) near.destroy()
        else far.write(bytes)
      })
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => proxy.once('listening', resolve))
    t.teardown(() => proxy.close())
    const auth = { ...data, db_port: (proxy.address() as AddressInfo).port }
    const failing = toolFailure(run(fields('SELECT 1 AS id', { table: 'in_doubt', auth })))
    t.match(await failing, {
      kind: 'db_connection',
      retryable: false,
      message: /^target: .*in the midst of COMMIT/,
    })
    await noneLeft()
  },
)

t.test('timeout: it ends the transfer as one that may be repeated', async (t) => {
  await client.query('CREATE TABLE late (id int)')
  const error = await toolFailure(
    run(fields('SELECT 1 AS id FROM pg_sleep(600)', { table: 'late' }, { timeout: 0.3 })),
  )
  t.match(error, { kind: 'timeout', retryable: true, message: /longer than 0.3 s/ })
  const reason = new CallAborted('deadline', 'late')
  const signal = AbortSignal.abort(reason)
  t.match(await toolFailure(run(fields('SELECT 1 AS id', { table: 'late' }), { signal })), {
    kind: 'timeout',
  })
  await noneLeft()
})

t.test('connection: one that breaks is a db_connection of its end, and nothing is written', async (t) => {
  await client.query('CREATE TABLE broken (id int)')
  const other = new pg.Client(url)
  await other.connect()
  t.teardown(() => other.end())
  await other.query('BEGIN; LOCK TABLE broken IN ACCESS EXCLUSIVE MODE')
  const asleep = `wait_event = 'PgSleep' AND query LIKE '%/* break */%'`
  const locked = `wait_event_type = 'Lock' AND query LIKE 'COPY %broken%'`
  for (const [end, which, query] of [
    ['source', asleep, 'SELECT 1 AS id FROM pg_sleep(600) /* break */'],
    ['target', locked, 'SELECT 1 AS id'],
  ] as const) {
    const failing = toolFailure(run(fields(query, { table: 'broken' })))
    await until(
      `the ${end} to wait`,
      async () => (await rows(`SELECT 1 FROM pg_stat_activity WHERE ${which}`)).length === 1,
    )
    await client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${which}`)
    t.match(await failing, { kind: 'db_connection', retryable: true, message: new RegExp(`^${end}: `) })
  }
  await other.query('COMMIT')
  t.same(await rows('SELECT * FROM broken'), [])
  await noneLeft()
})

t.test(
  'auth: an alias, a dict that names one, fields in place, a dsn and the default all connect',
  async (t) => {
    await client.query('CREATE TABLE known (id int)')
    for (const auth of ['pg', { credential: 'pg' }, { ...data }, { dsn: url }, null]) {
      await run(fields('SELECT 1 AS id', { table: 'known', auth }, { source: { auth } }))
    }
    t.same(await rows('SELECT count(*)::int AS n FROM known'), [{ n: 5 }])
    t.match(await toolFailure(run(fields('SELECT 1 AS id', { table: 'known', auth: 'absent' }))), {
      kind: 'auth',
    })
    t.match(await toolFailure(run(fields('SELECT 1 AS id', { table: 'known', auth: { user: 'x' } }))), {
      kind: 'auth',
      message: /"db_host"/,
    })
    await client.query(`CREATE ROLE noetl_transfer_guest LOGIN PASSWORD 'r1ght'`)
    t.teardown(() => client.query('DROP ROLE noetl_transfer_guest'))
    const guest = { ...data, db_user: 'noetl_transfer_guest' }
    const wrong = await toolFailure(
      run(fields('SELECT 1 AS id', { table: 'known', auth: { ...guest, db_password: 'wr0ng' } })),
    )
    t.match(wrong, { kind: 'auth', code: '28P01', message: /^target: .*noetl_transfer_guest@/ })
    hides(t, wrong, 'wr0ng', String(data.db_password))
    const denied = await toolFailure(
      run(fields('SELECT 1 AS id', { table: 'known', auth: { ...guest, db_password: 'r1ght' } })),
    )
    t.match(denied, { kind: 'auth', code: '42501' })
  },
)

t.test('close: what runs is stopped, and closing is safe twice', async (t) => {
  await client.query('CREATE TABLE closing (id int)')
  const { transferTool } = await import('../../../plugins/tool-transfer/tool.ts')
  const tool = transferTool()
  const { toolCall } = await import('../../support/tool-call.ts')
  const stored = { '': { type: 'postgres', data } }
  const running = toolFailure(
    tool.run(
      fields('SELECT 1 AS id FROM pg_sleep(600) /* closing */', { table: 'closing' }),
      toolCall({ stored }),
    ),
  )
  await until(
    'it to sleep',
    async () =>
      (
        await rows(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%/* closing */%'`,
        )
      ).length === 1,
  )
  await tool.close?.()
  await tool.close?.()
  t.match(await running, { kind: 'cancelled' })
  await noneLeft()
})

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CallAborted, Decimal, type Json, type JsonObject, type ToolCall } from '@noetl/core'
import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import type { DuckdbInput } from '../../../plugins/tool-duckdb/input.ts'
import { type DuckdbToolOptions, duckdbTool, ducklakeTool } from '../../../plugins/tool-duckdb/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'

const dataDir = await mkdtemp(join(tmpdir(), 'noetl-test-duckdb-'))
t.teardown(() => rm(dataDir, { recursive: true, force: true }))

const shared = duckdbTool({ dataDir })
t.teardown(() => shared.close?.())
const run = async (fields: DuckdbInput, call: Partial<ToolCall> = {}) =>
  (await shared.run(fields, toolCall(call))) as JsonObject
const fail = (fields: DuckdbInput, call: Partial<ToolCall> = {}) => toolFailure(run(fields, call))

function own(t: { teardown(fn: () => unknown): void }, options: DuckdbToolOptions) {
  const tool = duckdbTool({ dataDir, ...options })
  t.teardown(() => tool.close?.())
  return tool
}

/** Takes minutes unless it is interrupted. */
const LONG = 'SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE (a.range * b.range) % 7 = 3'

for (const { name, run } of conformanceCases({
  makeTool: () => duckdbTool({ dataDir }),
  works: {
    input: { query: 'SELECT 1 + 1 AS n' },
    check: (result) => t.match(result, { rows: [{ n: 2 }], row_count: 1 }),
  },
  fails: { input: { query: 'SELECT no_such_column' }, kind: 'client_error' },
  slow: { input: { query: LONG } },
  refused: { input: { query: 7 } },
})) {
  t.test(`duckdb conforms: ${name}`, run)
}

t.test('duckdb result: every statement as command_N, the last one at top level', async (t) => {
  const result = await run({
    command: `CREATE TABLE people (id int, name text); -- first; not a statement
      INSERT INTO people VALUES (1, 'a;b'), (2, 'c');
      UPDATE people SET name = upper(name);
      SELECT id, name FROM people ORDER BY id;`,
  })
  const rows = [
    { id: 1, name: 'A;B' },
    { id: 2, name: 'C' },
  ]
  t.same(result, {
    command_0: { status: 'success', rows: [], columns: [], row_count: 0 },
    command_1: { status: 'success', rows: [], columns: [], row_count: 2 },
    command_2: { status: 'success', rows: [], columns: [], row_count: 2 },
    command_3: { status: 'success', rows, columns: ['id', 'name'], row_count: 2 },
    rows,
    columns: ['id', 'name'],
    row_count: 2,
    affected_rows: 0,
  })
  t.match(await run({ command: 'CREATE TABLE a (x int); INSERT INTO a VALUES (1), (2)' }), {
    rows: [],
    row_count: 2,
    affected_rows: 2,
  })
  t.match(await run({ commands: ['SELECT 1 AS a -- no end', 'SELECT 2 AS a'] }), {
    command_0: { rows: [{ a: 1 }] },
    rows: [{ a: 2 }],
  })
  t.match(await run({ query: 'SELECT 1 AS a, 2 AS a' }), { columns: ['a', 'a:1'] })
})

const TYPES: [string, Json][] = [
  ['1::bigint', 1],
  ['9007199254740993::bigint', 9007199254740993n],
  ['170141183460469231731687303715884105727::hugeint', 170141183460469231731687303715884105727n],
  ['1.50::decimal(10,2)', 1.5],
  ['12345678901234567890.12::decimal(30,2)', new Decimal('12345678901234567890.12')],
  ['0.1234567890123456789::decimal(38,20)', new Decimal('0.12345678901234567890')],
  ["'nan'::double", null],
  ["'infinity'::float", null],
  ['true', true],
  ['NULL', null],
  ["timestamp '2026-01-02 03:04:05'", '2026-01-02T03:04:05'],
  ["timestamp '2026-01-02 03:04:05.678901'", '2026-01-02T03:04:05.678901'],
  ["timestamp '1960-01-02 03:04:05.5'", '1960-01-02T03:04:05.500'],
  ["timestamptz '2026-01-02 03:04:05+00'", '2026-01-02T03:04:05Z'],
  ["date '2026-01-02'", '2026-01-02'],
  ["time '03:04:05'", '03:04:05'],
  ["'550e8400-e29b-41d4-a716-446655440000'::uuid", '550e8400-e29b-41d4-a716-446655440000'],
  ["'hi'::blob", 'aGk='],
  ['[1, NULL, 3]', [1, null, 3]],
  ['array_value(1, 2)', [1, 2]],
  ["{'a': 1, 'b': [true]}", { a: 1, b: [true] }],
  ["map {'k': 1}", { k: 1 }],
  ['map {7: 1}', { '7': 1 }],
  [`'{"a": [1, 9007199254740993]}'::json`, { a: [1, 9007199254740993n] }],
  [`'{"n": 12345678901234567890.5}'::json`, { n: new Decimal('12345678901234567890.5') }],
  ["'x'::enum('x', 'y')", 'x'],
  ['union_value(num := 2)', 2],
]
for (const [expression, expected] of TYPES) {
  t.test(`duckdb type: ${expression}`, async (t) => {
    const { rows } = await run({ query: `SELECT ${expression} AS v` })
    t.same((rows as JsonObject[])[0]?.v, expected)
  })
}

t.test('duckdb type: now() needs no extension', async (t) => {
  const { rows } = await run({ query: 'SELECT now() AS t' })
  t.match((rows as JsonObject[])[0]?.t, /^2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
})

t.test('duckdb params: numbers with many digits compute with them', async (t) => {
  const n = new Decimal('12345678901234567890.123456789')
  t.same(
    (
      await run({
        query: 'SELECT ? + 1 AS a, ? AS b, ?::hugeint AS c',
        params: [n, 2n ** 80n, `${2n ** 90n}`],
      })
    ).rows,
    [{ a: new Decimal('12345678901234567891.123456789'), b: 2n ** 80n, c: 2n ** 90n }],
  )
  const doc = { n, id: 2n ** 60n + 1n, f: 1e18 }
  t.same((await run({ query: 'SELECT ?::json AS doc', params: [doc] })).rows, [{ doc }])
  t.same((await run({ query: 'SELECT ?::varchar AS long', params: [10n ** 50n] })).rows, [
    { long: `1${'0'.repeat(50)}` },
  ])
})

t.test('duckdb params: by place, by name, from input; lists and objects as JSON', async (t) => {
  t.match(await run({ query: 'SELECT ? + 1 AS a, ? AS b', params: [1, 'x'] }), { rows: [{ a: 2, b: 'x' }] })
  t.match(await run({ query: 'SELECT $n::int * 2 AS a', params: { n: 3 } }), { rows: [{ a: 6 }] })
  t.match(
    await run({ query: 'SELECT ($rows::json)[1].id::int AS a', input: { rows: [{ id: 1 }, { id: 5 }] } }),
    { rows: [{ a: 5 }] },
  )
  t.match(
    await run({
      command: 'CREATE TABLE a (x int); INSERT INTO a VALUES ($x); SELECT $x + x AS s FROM a',
      input: { x: 4 },
    }),
    { rows: [{ s: 8 }] },
  )
  t.match(await fail({ query: 'SELECT $missing', input: { other: 1 } }), {
    kind: 'client_error',
    message: /\$missing.*there are: other/,
  })
  t.match(await fail({ query: 'SELECT ?, ?', params: [1] }), { message: /a parameter 2.*1 values/ })
})

t.test('duckdb errors: kind, statement, what was done before', async (t) => {
  const failure = await fail({
    command: 'CREATE TABLE a (x int PRIMARY KEY); INSERT INTO a VALUES (1); INSERT INTO a VALUES (1)',
  })
  t.match(failure, {
    kind: 'db_constraint',
    message: /^command_2: Constraint Error/,
    result: { command_1: { row_count: 1 } },
  })
  t.match(await fail({ query: 'SELEC 1' }), { kind: 'client_error', message: /line 1.*syntax error/i })
  t.match(await fail({ query: 'SELECT * FROM nowhere' }), {
    kind: 'client_error',
    message: /command_0: Catalog Error: Table with name nowhere/,
  })
  t.match(await fail({ query: "SELECT * FROM read_csv('/no/such/file.csv')" }), { kind: 'storage_access' })
  t.match(await fail({ query: '   ' }), { kind: 'schema', message: /"query" is empty/ })
  t.match(await fail({ query: '-- nothing' }), { kind: 'schema', message: /only comments/ })
  t.match(await fail({}), { kind: 'schema', message: /needs SQL/ })
})

t.test('duckdb memory: a fresh database for each call', async (t) => {
  await run({ command: 'CREATE TABLE left_over (x int)' })
  t.match(await fail({ query: 'SELECT * FROM left_over' }), { message: /does not exist/ })
})

t.test('duckdb file: calls share it, side by side, and it is there for the next tool', async (t) => {
  const first = own(t, {})
  const database = 'shared.duckdb'
  await first.run({ database, command: 'CREATE TABLE n (x int)' }, toolCall())
  await Promise.all(
    Array.from({ length: 10 }, (_, x) =>
      first.run({ database, query: 'INSERT INTO n VALUES ($x)', input: { x } }, toolCall()),
    ),
  )
  await first.close?.()
  t.match(
    await own(t, {}).run(
      { database: join(dataDir, database), query: 'SELECT sum(x)::int AS s FROM n' },
      toolCall(),
    ),
    { rows: [{ s: 45 }] },
  )
})

t.test('duckdb file: two tools of one process have it open at once and see the same', async (t) => {
  const [one, other] = [own(t, { memoryLimit: '500MiB' }), own(t, { threads: 1 })]
  const database = 'both.duckdb'
  await one.run({ database, command: 'CREATE TABLE n (x int)' }, toolCall())
  for (const [x, tool] of [one, other, one, other].entries())
    await tool.run({ database, query: 'INSERT INTO n VALUES ($x)', input: { x } }, toolCall())
  for (const tool of [one, other])
    t.match(await tool.run({ database, query: 'SELECT sum(x)::int AS s FROM n' }, toolCall()), {
      rows: [{ s: 6 }],
    })
})

t.test('duckdb file: it is opened within the limits of the tool', async (t) => {
  const tool = own(t, { memoryLimit: '512MiB', spillLimit: '1GiB', threads: 1 })
  const query = `SELECT current_setting('memory_limit') AS memory, current_setting('threads')::int AS threads,
    current_setting('max_temp_directory_size') AS spill, current_setting('autoinstall_known_extensions') AS install`
  const seen = { memory: '512.0 MiB', threads: 1, spill: '1.0 GiB', install: false }
  for (const fields of [{ query }, { query, database: 'limits.duckdb' }])
    t.match(await tool.run(fields, toolCall()), { rows: [seen] })
})

t.test('duckdb script: SQL from elsewhere runs as it is, named in errors as the script', async (t) => {
  const path = join(dataDir, 'totals.sql')
  await writeFile(path, "CREATE TABLE a (x varchar);\nINSERT INTO a VALUES ('{{ x }}');\nSELECT x FROM a")
  t.match(await run({ script: { uri: path } }), { rows: [{ x: '{{ x }}' }], command_1: { row_count: 1 } })
  t.match(
    await run({ script: { source: { type: 'inline', code: 'SELECT $n::int AS n' } }, input: { n: 3 } }),
    {
      rows: [{ n: 3 }],
    },
  )
  t.match(await run({ query: 'SELECT 1 AS n', script: { uri: `${path}.no` } }), { rows: [{ n: 1 }] })
  t.match(await fail({ script: { uri: `${path}.no` } }), { kind: 'not_found' })
  t.match(await fail({ script: { source: { code: ' ' } } }), { kind: 'schema', message: /"script" is empty/ })
})

t.test('duckdb file: one that cannot be opened is told', async (t) => {
  t.match(await fail({ database: '/no/such/folder/x.duckdb', query: 'SELECT 1' }), {
    kind: 'storage_access',
    message: /cannot be opened/,
  })
})

t.test('duckdb limits: rows and bytes', async (t) => {
  const few = own(t, { maxRows: 10 })
  t.match(await few.run({ query: 'SELECT * FROM range(10)' }, toolCall()), { row_count: 10 })
  t.match(await toolFailure(few.run({ query: 'SELECT * FROM range(100000000)' }, toolCall())), {
    message: /more than 10 rows.*LIMIT/,
  })
  const small = own(t, { maxBytes: 1000 })
  t.match(
    await toolFailure(small.run({ query: "SELECT repeat('x', 600) AS x FROM range(100000000)" }, toolCall())),
    { message: /more than 1000 bytes/ },
  )
})

t.test('duckdb timeout and abort interrupt what runs', async (t) => {
  t.match(await fail({ query: LONG, timeout: 0.2 }), {
    kind: 'timeout',
    retryable: true,
    message: /longer than 0.2 s/,
  })
  const controller = new AbortController()
  const reason = new CallAborted('cancelled', 'enough')
  const running = run({ query: LONG }, { signal: controller.signal })
  running.catch(() => {})
  setImmediate(() => controller.abort(reason))
  await t.rejects(running, reason)
})

t.test('duckdb: the event loop goes on while a query works', async (t) => {
  const tool = own(t, {})
  const running = tool.run({ query: LONG, timeout: 0.5 }, toolCall()).catch((error: unknown) => error)
  let turns = 0
  let over = false
  void running.then(() => {
    over = true
  })
  while (!over) {
    await new Promise((resolve) => setImmediate(resolve))
    turns += 1
  }
  t.ok(turns > 100, `the loop turned ${turns} times`)
})

t.test(
  'duckdb attach: without its extension a database cannot be attached, and no password is shown',
  async (t) => {
    const stored = {
      pg: {
        type: 'postgres',
        data: { db_host: '127.0.0.1', db_port: 1, db_user: 'u', db_password: "s3cr'et", db_name: 'd' },
      },
    }
    for (const auth of ['pg', { pg: { type: 'postgres', credential: 'pg' } }]) {
      const failure = await fail({ query: 'SELECT 1', auth }, toolCall({ stored }))
      t.match(failure, { kind: 'storage_access', message: /"pg" \(postgres\) could not be attached/ })
      t.notMatch(failure.message, /s3cr/)
    }
    t.match(await fail({ query: 'SELECT 1', auth: { x: { type: 'nope' } } }), {
      kind: 'auth',
      message: /type "nope"/,
    })
  },
)

t.test('ducklake: a catalog that is not named, or not of postgres, is told', async (t) => {
  const lake = ducklakeTool({ dataDir })
  t.teardown(() => lake.close?.())
  const told = (fields: DuckdbInput, type = 's3') =>
    toolFailure(
      lake.run(
        fields,
        toolCall({ credentials: async (name) => ({ name, type, data: { password: 'sesame' } }) }),
      ),
    )
  t.match(await told({ query: 'SELECT 1' }), { kind: 'schema', message: /catalog_connection/ })
  t.match(await told({ query: 'SELECT 1', auth: 'bucket' }), {
    kind: 'auth',
    message: /"bucket" has the type "s3"/,
  })
})

t.test('ducklake: where its extension is not installed, DuckDB says so when the step runs', async (t) => {
  const home = process.env.HOME
  process.env.HOME = dataDir
  t.teardown(() => {
    if (home === undefined) delete process.env.HOME
    else process.env.HOME = home
  })
  const lake = ducklakeTool({ dataDir })
  t.teardown(() => lake.close?.())
  const failure = await toolFailure(
    lake.run(
      { query: 'SELECT 1', auth: 'pg', data_path: 'lake' },
      toolCall({ credentials: async (name) => ({ name, type: 'postgres', data: { password: 'sesame' } }) }),
    ),
  )
  t.match(failure, {
    kind: 'storage_access',
    message: /extension ducklake cannot be loaded: .*INSTALL ducklake/,
  })
  t.notMatch(failure.message, /sesame/)
})

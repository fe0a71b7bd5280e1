import pg from 'pg'
import t from 'tap'
import { duckdbWrite, postgresWrite, type Write } from '../../../core/playbook/seed-sql.ts'
import type { Json, JsonObject } from '../../../core/schemas/json.ts'
import { compileTemplate } from '../../../core/template/template.ts'
import { duckdbTool } from '../../../plugins/tool-duckdb/tool.ts'
import { testDatabase } from '../../support/postgres.ts'
import { toolCall } from '../../support/tool-call.ts'

const { url } = await testDatabase(t, { migrated: false })
const client = new pg.Client({ connectionString: url })
await client.connect()
t.teardown(() => client.end())

const duckdb = duckdbTool()
t.teardown(() => duckdb.close?.())

const write = (more: Partial<Write> = {}): Write => ({
  table: 't',
  columns: undefined,
  rows: 'input._rows',
  mode: 'append',
  key: [],
  ...more,
})

function rendered(sql: string, rows: Json[]): string {
  return compileTemplate(sql).renderText({
    lookup: (name) => (name === 'input' ? { _rows: rows } : undefined),
  })
}

/** Makes the table anew, writes the rows and gives what is in it. */
async function written(
  table: string,
  rows: Json[],
  more: Partial<Write> = {},
  before = '',
): Promise<JsonObject[]> {
  await client.query(`DROP TABLE IF EXISTS t; CREATE TABLE t (${table}); ${before}`)
  await client.query(rendered(postgresWrite(write(more)), rows), [JSON.stringify(rows)])
  return (await client.query<JsonObject>('SELECT * FROM t ORDER BY 1')).rows
}

t.test('sink SQL: each value comes to the type of its column', async (t) => {
  const row = {
    i: 1,
    n: 1.25,
    x: 'O\'Neil \\ "',
    b: true,
    j: { deep: [1, null, 'é'] },
    a: ['x', 'y"'],
    d: '2025-12-31',
    z: null,
  }
  t.strictSame(
    await written('i int, n float, x text, b boolean, j jsonb, a text[], d text, z int DEFAULT 5', [row]),
    [row],
  )
})

t.test(
  'sink SQL: columns that no row has get their defaults, those that some have null in the others',
  async (t) => {
    const rows = await written("id serial PRIMARY KEY, a int, b int DEFAULT 7, c text DEFAULT 'c'", [
      { a: 1 },
      { a: 2, b: 3 },
    ])
    t.strictSame(rows, [
      { id: 1, a: 1, b: null, c: 'c' },
      { id: 2, a: 2, b: 3, c: 'c' },
    ])
  },
)

t.test('sink SQL: a column that the table does not have is an error, not a loss', async (t) => {
  await t.rejects(written('a int', [{ a: 1, b: 2 }]), { code: '42703' })
})

t.test('sink SQL: names of columns and tables are quoted, whatever they hold', async (t) => {
  const name = `a"); DROP TABLE t; --`
  t.strictSame(
    await written(`"${name.replaceAll('"', '""')}" int, "select" int, "B b" int`, [
      { [name]: 1, select: 2, 'B b': 3 },
    ]),
    [{ [name]: 1, select: 2, 'B b': 3 }],
  )
  await client.query('DROP TABLE IF EXISTS "Odd ""name"""; CREATE TABLE "Odd ""name""" (a int)')
  const sql = postgresWrite(write({ table: 'Public."Odd ""name"""', columns: ['a'] }))
  await client.query(sql, ['[{"a":1}]'])
  t.strictSame((await client.query('SELECT * FROM "Odd ""name"""')).rows, [{ a: 1 }])
})

for (const columns of [undefined, ['id', 'n']]) {
  const known = columns === undefined ? 'known when it runs' : 'known before'
  t.test(`sink SQL: upsert changes rows of the same key and adds the others; columns ${known}`, async (t) => {
    const rows = await written(
      "id int PRIMARY KEY, n int, kept text DEFAULT 'kept'",
      [
        { id: 1, n: 10 },
        { id: 2, n: 20 },
      ],
      { mode: 'upsert', key: ['id'], columns },
      "INSERT INTO t VALUES (1, 1, 'mine')",
    )
    t.strictSame(rows, [
      { id: 1, n: 10, kept: 'mine' },
      { id: 2, n: 20, kept: 'kept' },
    ])
  })
  t.test(
    `sink SQL: replace leaves only the new rows, also those of keys that were there; columns ${known}`,
    async (t) => {
      const rows = await written(
        'id int PRIMARY KEY, n int',
        [
          { id: 1, n: 10 },
          { id: 3, n: 30 },
        ],
        { mode: 'replace', columns },
        'INSERT INTO t VALUES (1, 1), (2, 2)',
      )
      t.strictSame(rows, [
        { id: 1, n: 10 },
        { id: 3, n: 30 },
      ])
    },
  )
}

t.test('sink SQL: replace into an empty table, and upsert of nothing but the key', async (t) => {
  t.strictSame(await written('id int PRIMARY KEY', [{ id: 1 }], { mode: 'replace' }), [{ id: 1 }])
  t.strictSame(
    await written(
      'id int PRIMARY KEY',
      [{ id: 1 }, { id: 2 }],
      { mode: 'upsert', key: ['id'] },
      'INSERT INTO t VALUES (1)',
    ),
    [{ id: 1 }, { id: 2 }],
  )
})

t.test('sink SQL: fifty thousand rows are one statement', async (t) => {
  const rows = Array.from({ length: 50_000 }, (_, i) => ({
    id: i,
    a: i * 2,
    b: `row ${i}`,
    ...(i % 2 ? { c: true } : {}),
  }))
  const stored = await written('id int PRIMARY KEY, a int, b text, c boolean', rows)
  t.equal(stored.length, 50_000)
  t.strictSame(stored[49_999], { id: 49_999, a: 99_998, b: 'row 49999', c: true })
})

t.test('sink SQL: duckdb keeps types, nested values as JSON, defaults, and rows of a key', async (t) => {
  const rows: Json[] = [
    { id: 1, "it's": 'a\'b"c', n: 2.5, ok: true, at: '2025-12-31T10:00:00', j: { x: [1] }, l: [1, 2] },
    { id: 2, "it's": null, n: 3, ok: false, at: null, j: null, l: [] },
  ]
  for (const columns of [undefined, Object.keys(rows[0] as JsonObject)]) {
    const call = toolCall()
    const sql = rendered(duckdbWrite(write({ columns, mode: 'upsert', key: ['id'] })), rows)
    const result = await duckdb.run(
      {
        command: [
          `CREATE TABLE t (id INTEGER PRIMARY KEY, "it's" VARCHAR, n DOUBLE, ok BOOLEAN, "at" TIMESTAMP, j JSON, l INTEGER[], d INTEGER DEFAULT 9)`,
          `INSERT INTO t (id, n, d) VALUES (1, 0, 1)`,
          sql,
          'SELECT * FROM t ORDER BY id',
        ],
        params: { rows: JSON.stringify(rows) },
      },
      call,
    )
    t.match((result as { rows: Json }).rows, [
      {
        id: 1,
        "it's": 'a\'b"c',
        n: 2.5,
        ok: true,
        at: /^2025-12-31[T ]10:00:00/,
        j: { x: [1] },
        l: [1, 2],
        d: 1,
      },
      { id: 2, "it's": null, n: 3, ok: false, at: null, j: null, l: [], d: 9 },
    ])
  }
})

t.test('sink SQL: duckdb replaces in one transaction', async (t) => {
  const rows: Json[] = [{ id: 1, n: 2 }]
  const sql = rendered(duckdbWrite(write({ mode: 'replace' })), rows)
  const result = await duckdb.run(
    {
      command: [
        'CREATE TABLE t (id INTEGER, n INTEGER)',
        'INSERT INTO t VALUES (1, 1), (2, 2)',
        sql,
        'SELECT * FROM t',
      ],
      params: { rows: JSON.stringify(rows) },
    },
    toolCall(),
  )
  t.strictSame((result as { rows: Json }).rows, [{ id: 1, n: 2 }])
})

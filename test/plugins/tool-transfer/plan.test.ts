import type { JsonObject } from '@noetl/core'
import { Ajv } from 'ajv'
import t from 'tap'
import { input, type TransferInput } from '../../../plugins/tool-transfer/input.ts'
import { readPlan } from '../../../plugins/tool-transfer/plan.ts'

const plan = (fields: JsonObject) => readPlan(fields as TransferInput)
const source = { type: 'http', url: 'http://x' }
const target = { type: 'postgres', table: 'users' }

t.test('plan: without more it appends in batches of 1000, for ten minutes at most', async (t) => {
  t.same(plan({ source, target }), {
    source: { type: 'http', fields: source },
    target: {
      type: 'postgres',
      auth: '',
      database: '',
      table: ['users'],
      mode: 'append',
      key: [],
      create: false,
    },
    mapping: null,
    batchRows: 1000,
    seconds: 600,
  })
})

t.test('plan: fields that render to null or to text are as if they were as they should', async (t) => {
  const nulls = { ...target, mode: null, key: null, create: null, mapping: null, auth: null, database: null }
  t.same(plan({ source, target: nulls, mapping: null, batch_size: null }), plan({ source, target }))
  t.match(plan({ source, target, batch_size: '50', timeout: '2.5' }), { batchRows: 50, seconds: 2.5 })
})

const names: [string, string[]][] = [
  ['users', ['users']],
  ['public.users', ['public', 'users']],
  ['"a.b"."c""d"', ['a.b', 'c"d']],
  ['a b."C"', ['a b', 'C']],
]
for (const [name, parts] of names) {
  t.test(`plan: the table ${name} is ${parts.join(' and ')}`, async (t) => {
    t.same(plan({ source, target: { ...target, table: name } }).target.table, parts)
  })
}

const refused: [string, JsonObject, RegExp][] = [
  [
    'a source of an unknown type',
    { source: { type: 'mysql' }, target },
    /http, postgres or duckdb; seen: "mysql"/,
  ],
  [
    'a source of snowflake',
    { source: { type: 'snowflake', query: 'x' }, target },
    /does not read from Snowflake/,
  ],
  ['a source without SQL', { source: { type: 'postgres', query: ' ' }, target }, /"source.query"/],
  ['SQL with U+0000', { source: { type: 'postgres', query: 'a\0' }, target }, /U\+0000/],
  [
    'params by name of SQL',
    { source: { type: 'duckdb', query: 'x', params: { a: 1 } }, target },
    /must be a list/,
  ],
  [
    'auth of a duckdb source',
    { source: { type: 'duckdb', query: 'x', auth: 'pg' }, target },
    /takes no "auth"/,
  ],
  ['a target of http', { source, target: { type: 'http', url: 'x' } }, /all or nothing.*http tool/],
  [
    'a target of snowflake',
    { source, target: { type: 'snowflake', table: 'x' } },
    /does not write to Snowflake/,
  ],
  [
    'a target of an unknown type',
    { source, target: { type: 's3', table: 'x' } },
    /postgres or duckdb; seen: "s3"/,
  ],
  ['a target without a table', { source, target: { type: 'postgres' } }, /"target.table"/],
  ['a table with a dot too many', { source, target: { ...target, table: 'a.b.c' } }, /seen: "a.b.c"/],
  ['a table with half a quote', { source, target: { ...target, table: 'a"b' } }, /seen: "a"b"/],
  ['a duckdb target in memory', { source, target: { type: 'duckdb', table: 'x' } }, /"target.database"/],
  [
    'an unknown mode',
    { source, target: { ...target, mode: 'merge' } },
    /append, replace or upsert; seen: "merge"/,
  ],
  ['an upsert without a key', { source, target: { ...target, mode: 'upsert' } }, /"target.key"/],
]
for (const [name, fields, message] of refused) {
  t.test(`plan: ${name} is refused with what to do`, async (t) => {
    t.throws(() => plan(fields), { name: 'ToolError', kind: 'schema', message })
  })
}

t.test('plan: a mapping in the target wins over one beside it', async (t) => {
  const mapping = plan({ source, target: { ...target, mapping: { a: 'b' } }, mapping: { c: 'd' } }).mapping
  t.same(mapping, [{ column: 'a', field: 'b' }])
  t.same(plan({ source, target, mapping: { c: 'd' } }).mapping, [{ column: 'c', field: 'd' }])
})

t.test('input: its schema takes the fields and refuses what is no transfer', async (t) => {
  const fits = new Ajv().compile(input)
  const good: JsonObject[] = [
    { source, target },
    { source, target: { ...target, key: ['a'], mode: 'upsert', create: true }, batch_size: '10', timeout: 3 },
    {
      source: { ...source, params: { a: [1] }, json: [1], auth: { type: 'bearer' } },
      target,
      mapping: { a: 'b' },
    },
    { source: { type: 'postgres', query: 'x', params: [1, null] }, target, input: { a: 1 } },
  ]
  for (const fields of good) t.ok(fits(fields), JSON.stringify(fields))
  const bad: JsonObject[] = [
    { source },
    { source: 'x', target },
    { source, target, mapping: { a: 1 } },
    { source, target, batch_size: 0 },
    { source, target, batch_size: 1_000_000 },
    { source, target, timeout: -1 },
    { source, target: { ...target, key: 7 } },
  ]
  for (const fields of bad) t.notOk(fits(fields), JSON.stringify(fields))
})

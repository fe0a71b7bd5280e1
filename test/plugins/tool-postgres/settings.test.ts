import { Decimal, type JsonObject, ToolError } from '@noetl/core'
import t from 'tap'
import { kindOf } from '../../../plugins/tool-postgres/failures.ts'
import { mayLeaveState } from '../../../plugins/tool-postgres/session-state.ts'
import { settingsOf } from '../../../plugins/tool-postgres/settings.ts'
import { splitStatements } from '../../../plugins/tool-postgres/split-statements.ts'
import { parserOf } from '../../../plugins/tool-postgres/values.ts'

const expected = { host: 'h', port: 5433, user: 'u', password: 'p@ss', database: 'd', ssl: false }
const spellings: [name: string, data: JsonObject][] = [
  ['db_ fields', { db_host: 'h', db_port: 5433, db_user: 'u', db_password: 'p@ss', db_name: 'd' }],
  ['a port as text', { db_host: 'h', db_port: '5433', db_user: 'u', db_password: 'p@ss', db_name: 'd' }],
  ['plain fields', { host: 'h', port: 5433, user: 'u', password: 'p@ss', database: 'd' }],
  ['a dsn', { dsn: 'postgres://u:p%40ss@h:5433/d' }],
  ['a url', { url: 'postgresql://u:p%40ss@h:5433/d?sslmode=disable' }],
]
for (const [name, data] of spellings) {
  t.test(`settings: ${name} are read`, async (t) => {
    t.same(settingsOf(data, 'credential x'), expected)
  })
}

t.test('settings: sslmode says whether there is TLS and what is checked', async (t) => {
  const ssl = (sslmode: string) => settingsOf({ host: 'h', sslmode }, 'x').ssl
  t.equal(ssl('disable'), false)
  t.equal(ssl('prefer'), false)
  t.same(ssl('require'), { rejectUnauthorized: false })
  t.same(ssl('verify-full'), { rejectUnauthorized: true })
  t.match(ssl('verify-ca'), { rejectUnauthorized: true, checkServerIdentity: Function })
  t.same(settingsOf({ dsn: 'postgres://h/d?sslmode=require' }, 'x').ssl, { rejectUnauthorized: false })
})

const refused: [name: string, data: JsonObject, message: RegExp][] = [
  ['no host', { db_user: 'u', db_password: 's3cret' }, /misses "db_host" .* in credential x/],
  ['a dsn that is no URL', { dsn: 'host=h password=s3cret' }, /no URL that begins with postgres/],
  ['an unknown sslmode', { host: 'h', sslmode: 'maybe' }, /"maybe", not one of disable/],
]
for (const [name, data, message] of refused) {
  t.test(`settings: ${name} is a failure of kind auth that shows no secret`, async (t) => {
    try {
      settingsOf(data, 'credential x')
      t.fail('it was taken')
    } catch (error) {
      t.ok(error instanceof ToolError)
      t.match(error, { kind: 'auth', message })
      t.notMatch((error as Error).message, /s3cret/)
    }
  })
}

const kinds: [sqlstate: string, kind: string][] = [
  ['08006', 'db_connection'],
  ['57P01', 'db_connection'],
  ['53300', 'db_connection'],
  ['53100', 'storage_quota'],
  ['23505', 'db_constraint'],
  ['40P01', 'db_deadlock'],
  ['40001', 'db_deadlock'],
  ['57014', 'db_timeout'],
  ['55P03', 'db_timeout'],
  ['28P01', 'auth'],
  ['42501', 'auth'],
  ['42601', 'schema'],
  ['42P01', 'schema'],
  ['3D000', 'schema'],
  ['22012', 'tool_error'],
  ['P0001', 'tool_error'],
]
for (const [sqlstate, kind] of kinds) {
  t.test(`kind: SQLSTATE ${sqlstate} is ${kind}`, async (t) => {
    t.equal(kindOf(sqlstate), kind)
  })
}

const leaving: [sql: string, leaves: boolean][] = [
  ['SELECT 1', false],
  ['/* a */ -- SET\n (SELECT 1)', false],
  ['UPDATE t SET a = 1', false],
  ['with x as (select 1) select * from x', false],
  ['CREATE TABLE t (a int)', false],
  ['SET search_path = a', true],
  ["SELECT set_config('a.b', 'c', false)", true],
  ['CREATE TEMP TABLE t (a int)', true],
  ['SELECT 1 AS a INTO TEMPORARY t', true],
  ['SELECT pg_try_advisory_lock(1)', true],
  ['PREPARE p AS SELECT 1', true],
  ['LISTEN c', true],
  ['DO $$ BEGIN END $$', true],
  ['CALL p()', true],
  [`${'-'.repeat(5000)}\n1`, true],
]
for (const [sql, leaves] of leaving) {
  t.test(
    `state: ${sql.slice(0, 50)} ${leaves ? 'may leave' : 'leaves'} ${leaves ? 'some' : 'none'}`,
    async (t) => {
      t.equal(mayLeaveState(splitStatements(sql)[0]!), leaves)
    },
  )
}

t.test('values: numbers come with all their digits', async (t) => {
  t.equal(parserOf(20)('9007199254740991'), 9007199254740991)
  t.equal(parserOf(20)('9007199254740993'), 9007199254740993n)
  t.equal(parserOf(1700)('1.50'), 1.5)
  t.equal(parserOf(1700)('3'), 3)
  t.equal(parserOf(1700)('123456789012345678901'), 123456789012345678901n)
  t.equal(parserOf(1700)('1000000000000000000.00'), 1e18)
  t.same(parserOf(1700)('12345678901234567890.123456789'), new Decimal('12345678901234567890.123456789'))
  t.same(parserOf(1231)('{0.1234567890123456789,NULL}'), [new Decimal('0.1234567890123456789'), null])
  t.equal(parserOf(1700)('1'.repeat(1001)), '1'.repeat(1001))
  t.equal(parserOf(1700)('NaN'), 'NaN')
  t.equal(parserOf(701)('-Infinity'), '-Infinity')
  t.equal(parserOf(701)('1e+300'), 1e300)
})

t.test('values: timestamps are ISO text with the zone they came in', async (t) => {
  t.equal(parserOf(1114)('2026-01-02 03:04:05.123456'), '2026-01-02T03:04:05.123456')
  t.equal(parserOf(1184)('2026-01-02 03:04:05+00'), '2026-01-02T03:04:05+00:00')
  t.equal(parserOf(1184)('2026-01-02 03:04:05.5-03:30'), '2026-01-02T03:04:05.5-03:30')
  t.equal(parserOf(1184)('infinity'), 'infinity')
  t.equal(parserOf(1114)('0044-03-15 12:00:00 BC'), '0044-03-15T12:00:00 BC')
})

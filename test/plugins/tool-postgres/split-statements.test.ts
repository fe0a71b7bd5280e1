import fc from 'fast-check'
import t from 'tap'
import { splitStatements } from '../../../plugins/tool-postgres/split-statements.ts'

const texts = (sql: string) => splitStatements(sql).map((statement) => statement.text)

const rows: [name: string, sql: string, expected: string[]][] = [
  ['nothing is no statement', '', []],
  ['space is no statement', ' \n\t ', []],
  ['semicolons alone are no statement', ';;; ;', []],
  ['a line comment is no statement', '-- nothing; here', []],
  ['a block comment is no statement', '/* nothing; here */;', []],
  ['one without a semicolon', 'SELECT 1', ['SELECT 1']],
  ['one with a semicolon', 'SELECT 1;', ['SELECT 1']],
  ['two on one line', 'SELECT 1; SELECT 2', ['SELECT 1', 'SELECT 2']],
  ['empty ones between are skipped', 'SELECT 1;; -- x\n;SELECT 2;', ['SELECT 1', 'SELECT 2']],
  ['a semicolon in a string', "SELECT 'a;b'; SELECT 2", ["SELECT 'a;b'", 'SELECT 2']],
  ['a doubled quote', "SELECT 'it''s;'; SELECT 2", ["SELECT 'it''s;'", 'SELECT 2']],
  ['a string of quotes', "SELECT ''''; SELECT ';'", ["SELECT ''''", "SELECT ';'"]],
  ['an empty string', "SELECT ''; SELECT 2", ["SELECT ''", 'SELECT 2']],
  ['a backslash in a plain string is itself', "SELECT 'a\\'; SELECT 2", ["SELECT 'a\\'", 'SELECT 2']],
  ['an escaped quote in an E string', "SELECT E'a\\';b'; SELECT 2", ["SELECT E'a\\';b'", 'SELECT 2']],
  ['a small e too', "SELECT e'\\\\'; SELECT 2", ["SELECT e'\\\\'", 'SELECT 2']],
  ['a doubled quote in an E string', "SELECT E'''\\';'; SELECT 2", ["SELECT E'''\\';'", 'SELECT 2']],
  [
    'an E string goes on after a line break',
    "SELECT E'a'\n  'b\\';c'; SELECT 2",
    ["SELECT E'a'\n  'b\\';c'", 'SELECT 2'],
  ],
  ['a word that ends in e is no E string', "SELECT date'\\'; SELECT 2", ["SELECT date'\\'", 'SELECT 2']],
  ['a national string', "SELECT N'a;'; SELECT 2", ["SELECT N'a;'", 'SELECT 2']],
  ['an identifier in quotes', 'SELECT ";"";" FROM t; SELECT 2', ['SELECT ";"";" FROM t', 'SELECT 2']],
  ['a single quote in an identifier', `SELECT "it's"; SELECT 2`, [`SELECT "it's"`, 'SELECT 2']],
  ['a dollar-quoted body', 'DO $$ BEGIN a; b; END $$; SELECT 2', ['DO $$ BEGIN a; b; END $$', 'SELECT 2']],
  ['a tagged body', 'DO $x$ a; $$ b; $y$ $x$; SELECT 2', ['DO $x$ a; $$ b; $y$ $x$', 'SELECT 2']],
  ['quotes inside a body do not count', "DO $$ it's; $$; SELECT 2", ["DO $$ it's; $$", 'SELECT 2']],
  ['a tag of letters beyond ASCII', 'DO $ä$ a; $ä$; SELECT 2', ['DO $ä$ a; $ä$', 'SELECT 2']],
  ['tags differ by case', 'DO $a$ ; $A$ ; $a$; SELECT 2', ['DO $a$ ; $A$ ; $a$', 'SELECT 2']],
  ['parameters are no tags', 'SELECT $1; SELECT $2, $1', ['SELECT $1', 'SELECT $2, $1']],
  ['parameters side by side are no tag', 'SELECT $1$2; SELECT 3', ['SELECT $1$2', 'SELECT 3']],
  ['a dollar inside a name opens nothing', 'SELECT a$b$c; SELECT 2', ['SELECT a$b$c', 'SELECT 2']],
  ['a dollar on its own', 'SELECT $; SELECT 2', ['SELECT $', 'SELECT 2']],
  [
    'JSON in dollar quotes',
    'SELECT $${"a":";\'"}$$::jsonb; SELECT 2',
    ['SELECT $${"a":";\'"}$$::jsonb', 'SELECT 2'],
  ],
  ['a semicolon in a line comment', 'SELECT 1 -- a; b\n; SELECT 2', ['SELECT 1 -- a; b', 'SELECT 2']],
  ['a quote in a line comment', "SELECT 1 -- don't\n; SELECT 2", ["SELECT 1 -- don't", 'SELECT 2']],
  [
    'odd signs in a line comment',
    'SELECT 1; -- `$n::text::<udt>` $x$\nSELECT 2',
    ['SELECT 1', '-- `$n::text::<udt>` $x$\nSELECT 2'],
  ],
  ['a comment ended by a carriage return', 'SELECT 1 -- a\r; SELECT 2', ['SELECT 1 -- a', 'SELECT 2']],
  ['dashes right behind an operator', 'SELECT 1+--;\n2; SELECT 2', ['SELECT 1+--;\n2', 'SELECT 2']],
  ['a semicolon in a block comment', 'SELECT /* a; b */ 1; SELECT 2', ['SELECT /* a; b */ 1', 'SELECT 2']],
  [
    'nested block comments',
    'SELECT /* a /* b; */ c; */ 1; SELECT 2',
    ['SELECT /* a /* b; */ c; */ 1', 'SELECT 2'],
  ],
  ['a quote in a block comment', "/* don't; */ SELECT 1; SELECT 2", ["/* don't; */ SELECT 1", 'SELECT 2']],
  ['a comment sign in a string', "SELECT '--', '/*'; SELECT 2", ["SELECT '--', '/*'", 'SELECT 2']],
  ['a hint before a statement stays', '/*+ SeqScan(t) */ SELECT 1', ['/*+ SeqScan(t) */ SELECT 1']],
  [
    'semicolons in parentheses',
    'CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b); SELECT 2',
    ['CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b)', 'SELECT 2'],
  ],
  ['a closing parenthesis too many', 'SELECT 1); SELECT 2', ['SELECT 1)', 'SELECT 2']],
  [
    'the body of an SQL function',
    'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3',
    ['CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END', 'SELECT 3'],
  ],
  [
    'a CASE inside such a body',
    'create or replace procedure p() begin atomic select case when true then 1 end; select 2; end; select 3',
    [
      'create or replace procedure p() begin atomic select case when true then 1 end; select 2; end',
      'select 3',
    ],
  ],
  [
    'BEGIN and END of a transaction',
    'BEGIN; SELECT 1; END; SELECT 2',
    ['BEGIN', 'SELECT 1', 'END', 'SELECT 2'],
  ],
  [
    'a column called atomic',
    'SELECT 1 AS begin, atomic; SELECT 2',
    ['SELECT 1 AS begin, atomic', 'SELECT 2'],
  ],
  ['a string never closed runs to the end', "SELECT 'a; SELECT 2", ["SELECT 'a; SELECT 2"]],
  ['a body never closed runs to the end', 'DO $$ a; b', ['DO $$ a; b']],
  ['a comment never closed after a statement', 'SELECT 1; /* a; b', ['SELECT 1']],
  ['casts and slices', 'SELECT a[1:2]::text; SELECT 2', ['SELECT a[1:2]::text', 'SELECT 2']],
  ['numbers beside letters', "SELECT 1e5, 0xEf; SELECT 'x'", ['SELECT 1e5, 0xEf', "SELECT 'x'"]],
  ['a Windows line end', 'SELECT 1;\r\nSELECT 2;\r\n', ['SELECT 1', 'SELECT 2']],
]
for (const [name, sql, expected] of rows) {
  t.test(`split: ${name}`, async (t) => {
    t.same(texts(sql), expected)
  })
}

t.test('split: line and offset are those of the text it was cut from', async (t) => {
  const sql = '\n-- first\nSELECT 1;\n\n  SELECT\n2; SELECT 3'
  const statements = splitStatements(sql)
  t.same(
    statements.map((statement) => statement.line),
    [3, 5, 6],
  )
  for (const { text, offset } of statements) t.equal(sql.slice(offset, offset + text.length), text)
})

const content = fc.string({
  unit: fc.constantFrom(';', "'", '"', '$', '-', '/', '*', '\\', 'a', 'E', '(', ')', ' ', '\n'),
})
const tag = fc.constantFrom('', 'a', 'body', '_1')

/** Something that hides whatever is written inside it. */
const hidden = fc.oneof(
  content.map((text) => `'${text.replaceAll("'", "''")}'`),
  content.map((text) => `"${text.replaceAll('"', '""')}"`),
  content.map((text) => `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`),
  fc.tuple(tag, content).map(([name, text]) => `$${name}$${text.replaceAll('$', '')}$${name}$`),
  content.map((text) => `/*${text.replaceAll(/[*/]/g, '')}*/ 1`),
  content.map((text) => `--${text.replaceAll('\n', '')}\n1`),
)
const statement = fc
  .array(hidden, { minLength: 1, maxLength: 4 })
  .map((parts) => `SELECT ${parts.join(' , ')}`)

t.test('split: whatever is hidden never cuts a statement, whatever stands beside it', async () => {
  fc.assert(
    fc.property(fc.array(statement, { maxLength: 5 }), (statements) => {
      const got = texts(statements.join(';\n'))
      if (JSON.stringify(got) !== JSON.stringify(statements.map((text) => text.trim()))) {
        throw new Error(`cut as ${JSON.stringify(got)}`)
      }
    }),
    { numRuns: 500 },
  )
})

t.test(
  'split: no token of any text is lost, none comes twice, and each piece splits no further',
  async () => {
    fc.assert(
      fc.property(content, (sql) => {
        let at = 0
        for (const { text, offset } of splitStatements(sql)) {
          const between = sql.slice(at, offset)
          if (splitStatements(between).length > 0) throw new Error(`lost ${JSON.stringify(between)}`)
          if (sql.slice(offset, offset + text.length) !== text)
            throw new Error(`moved ${JSON.stringify(text)}`)
          if (texts(text).join('|') !== text) throw new Error(`${JSON.stringify(text)} splits again`)
          at = offset + text.length
        }
        const rest = sql.slice(at)
        if (splitStatements(rest).length > 0) throw new Error(`lost ${JSON.stringify(rest)}`)
      }),
      { numRuns: 2000 },
    )
  },
)

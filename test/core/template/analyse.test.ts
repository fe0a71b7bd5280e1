import fc from 'fast-check'
import t from 'tap'
import { analyse } from '../../../core/template/analyse.ts'

const mentioned = (source: string, as: 'template' | 'condition' = 'template') =>
  analyse(source, as).mentions.map(({ root, segments, guarded }) => [
    [root, ...segments].join('.'),
    ...(guarded ? ['guarded'] : []),
  ])

t.test('analyse: names are told with the offset where they stand', async (t) => {
  t.match(analyse('a {{ one.two }} b {{ 1 + three }}', 'template').mentions, [
    { root: 'one', segments: ['two'], at: 5 },
    { root: 'three', segments: [], at: 25 },
  ])
  t.match(analyse('ctx.n > 2', 'condition').mentions, [{ root: 'ctx', segments: ['n'], at: 0 }])
  t.same(analyse('ctx.n > 2', 'template').mentions, [], 'text without braces is no template')
})

t.test('analyse: names that a template binds itself are not told', async (t) => {
  t.same(mentioned('{% for x in rows if x.a %}{{ x }}{{ loop.index }}{% endfor %}'), [['rows']])
  t.same(mentioned('{% set y = z %}{{ y }}'), [['z']])
})

t.test('analyse: `is defined` and `| default` guard what they look at, and nothing else', async (t) => {
  t.same(mentioned('{{ a.b | default(c) }}'), [['a.b', 'guarded'], ['c']])
  t.same(mentioned('{{ (a or b) | int | d(0) }}'), [
    ['a', 'guarded'],
    ['b', 'guarded'],
  ])
  t.same(mentioned('{{ x if x is defined else y }}'), [['x', 'guarded'], ['x'], ['y']])
  t.same(mentioned('{{ x is not none }}'), [['x']])
})

for (const [source, message, at] of [
  ['{{ a b }}', 'unexpected "b"', 5],
  ['text\n  {{ a | }}', 'the name of a filter is missing', 12],
  ['{{ a }} {{ b.', '{{ is never closed with }}', 8],
  ['{{ [1 2] }}', 'expected ","', 6],
  ['{{ `x` }}', 'unexpected character "`"', 3],
  ['{% if a %}x', '{% endif %} is missing at the end', 0],
  ['{{ x }}{% fro a in b %}', '{% fro %} is not known here', 7],
  ["{{ a == 'b }}", 'a string is never closed', 8],
  ['{{ }}', 'an expression is missing at the end', 0],
  ['{# never', 'a comment is opened with {# and never closed', 0],
  ['x {{ and }}', 'unexpected "and"', 5],
] as const) {
  t.test(`analyse: ${source.replace('\n', '\\n')} says what is wrong and where`, async (t) => {
    t.match(analyse(source, 'template').problem, { message, at })
  })
}

t.test('analyse: filters, tests and functions that do not exist are told, others not', async (t) => {
  t.match(analyse('{{ a | tojsn }} {{ b is dfined }} {{ uuid() }}', 'template').unknown, [
    { kind: 'filter', name: 'tojsn', at: 7 },
    { kind: 'test', name: 'dfined', at: 24 },
    { kind: 'function', name: 'uuid', at: 37 },
  ])
  t.same(
    analyse('{{ a | tojson | title | d(1) }}{{ b is startingwith "x" }}{{ now() }}', 'template').unknown,
    [],
  )
})

t.test('analyse: a condition of literals has a value, any other has none', async (t) => {
  for (const [source, value] of [
    ['{{ false }}', false],
    ['false', false],
    ['', false],
    ['{{ 1 == 2 }}', false],
    ['{{ not none }}', true],
    ["{{ 'no' }}", false],
    ['{{ true }}\n', true],
    ['{{ now() }}', undefined],
    ['{{ x }}', undefined],
    ['{{ false }}{{ x }}', undefined],
    ['{{ 1 < "a" }}', undefined],
  ] as const) {
    t.equal(analyse(source, 'condition').constant, value, source)
  }
})

t.test('analyse: whatever the text, it ends and throws nothing', async (t) => {
  const piece = fc.constantFrom(
    ...[
      '{{',
      '}}',
      '{%',
      '%}',
      '{#',
      '#}',
      ' if ',
      ' for ',
      ' in ',
      ' else ',
      ' endif ',
      ' endfor ',
      ' set ',
    ],
    ...[
      'x',
      '.y',
      '[',
      ']',
      '(',
      ')',
      '|',
      ' is ',
      ' not ',
      "'",
      '"',
      '\\',
      '\n',
      '1',
      '-',
      '**',
      '~',
      ',',
      ':',
    ],
    ...[
      '__proto__',
      'constructor',
      'prototype',
      '.constructor("return this")()',
      ' default ',
      ' raw ',
      ' endraw ',
    ],
  )
  const text = fc.oneof(
    fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary' }),
  )
  fc.assert(
    fc.property(text, fc.constantFrom('template' as const, 'condition' as const), (source, as) => {
      const { problem } = analyse(source, as)
      return problem === undefined || (problem.at >= 0 && problem.at <= source.length)
    }),
    { numRuns: 2000 },
  )
  t.equal(
    analyse(`{{ ${'a+'.repeat(200_000)}a }}`, 'template').problem?.message,
    'it is nested too deeply or too long',
  )
  t.match(analyse('{{'.repeat(100_000), 'template').problem, { at: 0 })
})

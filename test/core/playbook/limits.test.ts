import t from 'tap'
import { isNoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { readDocument } from '../../../core/playbook/document.ts'
import type { Fault } from '../../../core/playbook/faults.ts'
import { PLAYBOOK_LIMITS } from '../../../core/schemas/playbook-limits.ts'

const HEAD = 'metadata: {path: p}\n'
const compile = (text: string) => compilePlaybook(text, { toolKinds: ['noop'] })

function refusal(work: () => unknown): {
  code: string
  status: number
  seen?: unknown
  limit?: unknown
  faults: Fault[]
} {
  try {
    work()
  } catch (error) {
    if (!isNoetlError(error)) throw error
    const details = error.details as unknown as { seen?: unknown; limit?: unknown; faults: Fault[] }
    return { code: error.code, status: error.statusCode, ...details }
  }
  throw new Error('it was taken')
}

t.test('limits: a text of too many bytes is refused before it is read', async (t) => {
  const told = refusal(() => compile(`${HEAD}[[[ no YAML at all${' '.repeat(PLAYBOOK_LIMITS.bytes)}`))
  t.match(told, { code: 'NOETL_ERR_PLAYBOOK_TOO_LARGE', status: 413, limit: 1_048_576, seen: /^\d{7} bytes/ })
  t.equal(
    refusal(() => compile(`# ${'ü'.repeat(PLAYBOOK_LIMITS.bytes / 2)}`)).code,
    'NOETL_ERR_PLAYBOOK_TOO_LARGE',
  )
})

t.test('limits: too many keys and values are refused at the first that is beyond', async (t) => {
  const text = `${HEAD}workload:\n  list:\n${'  - 1\n'.repeat(110_000)}workflow: [{step: start}]`
  t.match(
    refusal(() => compile(text)),
    {
      code: 'NOETL_ERR_PLAYBOOK_TOO_LARGE',
      status: 413,
      limit: 100_000,
      faults: [{ line: 100_000, column: 4 }],
    },
  )
  t.equal(
    refusal(() => compile(`a: [${'{},'.repeat(300_000)}]`)).code,
    'NOETL_ERR_PLAYBOOK_TOO_LARGE',
    'on the way',
  )
})

t.test('limits: what nests too deep is refused where it does, however it is written', async (t) => {
  for (const [name, text] of [
    ['lists', `a: ${'['.repeat(500_000)}`],
    ['mappings', `a: ${'{b: '.repeat(200_000)}`],
    ['dashes', `a:\n  ${'- '.repeat(400_000)}`],
    ['a depth within the stack', `a: ${'['.repeat(250)}${']'.repeat(250)}`],
    [
      'aliases',
      `a: &a [1]\n${Array.from({ length: 300 }, (_, i) => `k${i}: &k${i} [*${i === 0 ? 'a' : `k${i - 1}`}]`).join('\n')}`,
    ],
  ] as const) {
    const { code, faults } = refusal(() => compile(text))
    t.equal(code, 'NOETL_ERR_PLAYBOOK_YAML', name)
    t.match(faults[0]?.message, 'nested more than 200 levels', name)
  }
})

t.test('limits: a document is walked over once, whatever it is made of', async (t) => {
  const count = 30_000
  const keys = Array.from({ length: count }, (_, i) => `  k${i}: ${i}`).join('\n')
  t.equal(readDocument(`workload:\n${keys}`).visited, 1 + 1 + 1 + 2 * count, 'keys of one mapping')
  const named = Array.from({ length: count }, (_, i) => `- &a${i} x`).join('\n')
  t.equal(readDocument(`l:\n${named}\nm: *a0`).visited, 1 + 2 + count + 1 + 2, 'anchors')
  const aliases = '- *a\n'.repeat(20_000)
  t.equal(readDocument(`a: &a x\nl:\n${aliases}`).visited, 1 + 2 + 2 + 2 * 20_000, 'aliases')
})

t.test('limits: keys that are there twice are all told, each at its second place', async (t) => {
  const { code, faults } = refusal(() => readDocument('a: 1\nb: {c: 1, "c": 2}\na: 3'))
  t.equal(code, 'NOETL_ERR_PLAYBOOK_YAML')
  t.match(faults, [
    { line: 2, column: 11, message: /"c" is repeated/ },
    { line: 3, column: 1, message: /"a" is repeated/ },
  ])
})

t.test('YAML: merges, ordered mappings, sets and bytes come as they did', async (t) => {
  const { root } = readDocument(
    [
      'base: &base {a: 1, b: 2}',
      'more: &more {b: 3, c: 4}',
      'one: {<<: *base, b: 9}',
      'two: {b: 9, <<: [*base, *more]}',
      '"<<": text',
      '1: one',
      'null: none',
      '? {x: y}',
      ': odd',
    ].join('\n'),
  )
  t.same(root, {
    base: { a: 1, b: 2 },
    more: { b: 3, c: 4 },
    one: { a: 1, b: 9 },
    two: { b: 9, a: 1, c: 4 },
    '<<': 'text',
    1: 'one',
    '': 'none',
    '{x: y}': 'odd',
  })
  t.same(readDocument('%YAML 1.1\n---\no: !!omap [a: 1, b: 2]\nx: !!binary aGk=\ns: !!set {q, r}').root, {
    o: { a: 1, b: 2 },
    x: 'aGk=',
    s: { q: null, r: null },
  })
  t.match(
    refusal(() => readDocument('a: &a [1, *a]')),
    { code: 'NOETL_ERR_PLAYBOOK_YAML', faults: [{ line: 1, column: 11 }] },
  )
})

t.test('limits: more steps or arcs than are taken are a fault of the workflow', async (t) => {
  const steps = Array.from({ length: 2001 }, (_, i) => `- step: ${i === 0 ? 'start' : `s${i}`}`).join('\n')
  t.match(
    refusal(() => compile(`${HEAD}workflow:\n${steps}`)),
    {
      code: 'NOETL_ERR_PLAYBOOK_INVALID',
      faults: [{ path: 'workflow', message: 'there are 2001 steps; 2000 at most were expected' }],
    },
  )
  const names = ['start', ...Array.from({ length: 200 }, (_, i) => `s${i}`)]
  const full = names.map((name) => `- {step: ${name}, next: [${names.join(', ')}]}`).join('\n')
  t.match(
    refusal(() => compile(`${HEAD}workflow:\n${full}`)),
    {
      code: 'NOETL_ERR_PLAYBOOK_INVALID',
      faults: [
        { path: 'workflow', message: 'there are 40401 arcs between steps; 20000 at most were expected' },
      ],
    },
  )
})

t.test('limits: what was registered is read whatever its size', async (t) => {
  const steps = Array.from({ length: 3000 }, (_, i) => `- step: ${i === 0 ? 'start' : `s${i}`}`).join('\n')
  t.equal(compilePlaybook(`${HEAD}workflow:\n${steps}`).playbook.steps.length, 3000)
})

t.test('limits: a name of a step has 255 characters at most', async (t) => {
  const named = (name: string) => `${HEAD}workflow: [{step: start, next: "${name}"}, {step: "${name}"}]`
  t.match(
    refusal(() => compile(named('x'.repeat(256)))),
    {
      code: 'NOETL_ERR_PLAYBOOK_INVALID',
      faults: [
        {
          path: 'workflow[1].step',
          message: 'the name of a step has 256 characters; 255 at most were expected',
        },
      ],
    },
  )
  t.same(compile(named('x'.repeat(255))).warnings, [])
})

import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { stringify } from 'yaml'
import { isNoetlError } from '../../../core/errors.ts'
import { orderOf, targetsOf } from '../../../core/playbook/check-order.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { readDocument } from '../../../core/playbook/document.ts'
import type { Fault } from '../../../core/playbook/faults.ts'
import { graphOf } from '../../../core/playbook/graph.ts'
import { isObject, type Json } from '../../../core/schemas/json.ts'
import { describeTools } from '../../../core/tools/describe.ts'
import { BUILT_IN_TOOLS } from '../../../core/tools/describe-built-in.ts'
import { discoverPlugins } from '../../../core/tools/host.ts'

const manifests = await discoverPlugins({
  names: ['@noetl/tool-duckdb', '@noetl/tool-http', '@noetl/tool-postgres', '@noetl/tool-python'],
})
const { tools } = await describeTools({ manifests })
const toolKinds = tools.map(({ kind }) => kind)

const FIXTURES = new URL('../../fixtures/playbooks/', import.meta.url)
const SEED = `
metadata: {path: seed}
workload: {n: 1, list: [1, 2]}
workflow:
- step: start
  tool: {kind: python, code: "def main(input_data): return input_data"}
  args: {a: "{{ workload.n }}"}
  vars: {v: "{{ result }}"}
  case:
  - when: "{{ event.name == 'call.error' and error.retryable }}"
    then: {retry: {max_attempts: 3, delay: 1, backoff: exponential}}
  - when: "{{ event.name == 'call.done' }}"
    then: [{set: {s: "{{ result.x }}"}}, {collect: {from: result, into: all, mode: append}}, {sink: {tool: postgres, table: t, key: id, mode: upsert}}, {next: {step: each, args: {b: 2}}}]
  - else: {fail: {message: no}}
- step: each
  loop: {in: "{{ workload.list }}", iterator: item, mode: parallel}
  tool: {kind: http, url: "http://x/{{ item }}", sink: {tool: {kind: postgres, table: t}}}
  next: [{step: end}]
- {step: end}
`
const files = readdirSync(FIXTURES).filter((file) => file.endsWith('.yaml'))
const seeds = [SEED, ...files.map((file) => readFileSync(new URL(file, FIXTURES), 'utf8'))]
const documents = seeds.map((text) => readDocument(text).root as Json)

/** Servers take less unless they are told to take more; the work must stay in proportion all the same. */
const ROOMY = { bytes: 1e8, nodes: 1e6, steps: 10_000, arcs: 1e6 }

/** Compiles, and throws for anything but a refusal that says where; gives what it said. */
function said(text: string): Fault[] {
  try {
    return compilePlaybook(text, { toolKinds, tools, limits: ROOMY }).warnings
  } catch (error) {
    if (!isNoetlError(error) || !error.code.startsWith('NOETL_ERR_PLAYBOOK_')) throw error
    const { faults, warnings = [] } = error.details as unknown as { faults: Fault[]; warnings?: Fault[] }
    if (faults.length === 0) throw new Error('a refusal without a fault', { cause: error })
    return [...faults, ...warnings]
  }
}

/** Each has a place that is in the text. */
function placed(text: string): void {
  const lines = text.split(/\r\n|\n/)
  for (const { line, column, message } of said(text)) {
    const width = lines[line - 1]?.length
    if (message === '' || width === undefined || column < 1 || column > width + 1) {
      throw new Error(
        `${line}:${column} is not in the text, which has ${lines.length} lines: ${message}\n${text}`,
      )
    }
  }
}

const value: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    ...[
      null,
      true,
      false,
      0,
      -1,
      1.5,
      1e300,
      '',
      ' ',
      'x',
      '{{ x }}',
      '{{ x',
      '{{ a b }}',
      '{% if %}',
      '[1]',
      '{}',
    ],
    ...[
      [],
      {},
      [[]],
      [null],
      { kind: 'http' },
      { kind: 'workbook' },
      { step: 'start' },
      { when: 'x y' },
      { else: null },
    ],
    ...['__proto__', 'constructor', '{{ constructor.constructor("x")() }}', '{{ __proto__ }}', 'toString'],
  ),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
)
const key = fc.constantFrom(
  ...[
    'kind',
    'step',
    'tool',
    'next',
    'arcs',
    'when',
    'then',
    'else',
    'case',
    'loop',
    'in',
    'set',
    'spec',
    'policy',
    'rules',
  ],
  ...[
    'input',
    'args',
    'retry',
    'name',
    'url',
    'code',
    'sink',
    'react',
    'aside',
    'call',
    'collect',
    'into',
    'vars',
    'mode',
  ],
  ...['constructor', 'toString', 'hasOwnProperty', 'ctx.a', 'cxt.a', '<<', '0', ''],
)

/** One change somewhere in a document: a value dropped, replaced, put elsewhere, added, or a list turned round. */
interface Change {
  at: number
  how: 'drop' | 'replace' | 'move' | 'add' | 'turn'
  other: number
  key: string
  value: Json
}
const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('drop' as const, 'replace' as const, 'move' as const, 'add' as const, 'turn' as const),
  other: fc.nat(),
  key,
  value,
})

type Place = { parent: Json[] | { [key: string]: Json }; key: string | number }

function placesIn(value: Json): Place[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => [{ parent: value, key: i }, ...placesIn(item)])
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, item]) => [{ parent: value, key }, ...placesIn(item)])
}

const read = ({ parent, key }: Place): Json => (parent as { [key: string]: Json })[key] ?? null
function write({ parent, key }: Place, value: Json): void {
  ;(parent as { [key: string]: Json })[key] = value
}

function mutate(document: Json, changes: Change[]): Json {
  const root = structuredClone(document)
  for (const { at, how, other, key, value } of changes) {
    const places = placesIn(root)
    const place = places[at % places.length]
    if (place === undefined) continue
    const there = read(place)
    if (how === 'replace') write(place, structuredClone(value))
    else if (how === 'move') write(place, structuredClone(read(places[other % places.length]!)))
    else if (how === 'turn' && Array.isArray(there)) there.reverse()
    else if (how === 'add' && isObject(there)) there[key] = structuredClone(value)
    else if (Array.isArray(place.parent)) place.parent.splice(Number(place.key), 1)
    else delete place.parent[place.key]
  }
  return root
}

t.test('the playbooks that are changed below have no fault themselves', async (t) => {
  for (const text of seeds) t.same(said(text), [], text.slice(0, 80))
})

t.test(
  'however a playbook is changed, it is compiled or refused, and what is said has its place',
  async () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...documents),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        (document, changes) => placed(stringify(mutate(document, changes), { aliasDuplicateObjects: false })),
      ),
      { numRuns: 800 },
    )
  },
)

t.test('however the text of a playbook is cut and mixed, it is compiled or refused', async () => {
  const cut = fc.record({
    from: fc.nat(),
    length: fc.nat({ max: 60 }),
    put: fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.constantFrom(
        '\n',
        '  ',
        ': ',
        '- ',
        '{',
        '}',
        '[',
        ']',
        '&a ',
        '*a',
        '!!set ',
        '|',
        '>',
        '"',
        "'",
        '#',
        '---\n',
        '? ',
        '\t',
        '{{',
        '}}',
      ),
    ),
  })
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(cut, { minLength: 1, maxLength: 5 }), (text, cuts) => {
      let mixed = text
      for (const { from, length, put } of cuts) {
        const at = from % mixed.length
        mixed = mixed.slice(0, at) + put + mixed.slice(at + length)
      }
      return placed(mixed)
    }),
    { numRuns: 1500 },
  )
})

t.test('whatever YAML it is, it is compiled or refused', async () => {
  const any = fc.oneof(
    fc.string({ unit: 'binary' }),
    (fc.jsonValue() as fc.Arbitrary<Json>).map((json) => stringify(json)),
  )
  fc.assert(
    fc.property(any, (text) => {
      said(text)
    }),
    { numRuns: 1500 },
  )
})

t.test('whatever template it is, it is compiled, and reaches nothing', async (t) => {
  const piece = fc.constantFrom(
    ...[
      '{{',
      '}}',
      '{%',
      '%}',
      '{#',
      '#}',
      'if',
      'for x in',
      'endif',
      'endfor',
      'set',
      '|',
      'default',
      'is',
      'defined',
      'not',
    ],
    ...[
      'a',
      '.b',
      '["c"]',
      '(',
      ')',
      '__proto__',
      '.constructor',
      '.prototype',
      'ctx',
      'steps.start',
      "'",
      '"',
      '\\',
      '\n',
      '**',
      '~',
    ],
  )
  const template = fc.oneof(
    fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(' ')),
    fc.string({ unit: 'binary' }),
  )
  fc.assert(
    fc.property(template, fc.constantFrom('result', 'when', 'in', 'set', 'workload'), (text, where) => {
      const [result, when, list, set, workload] = ['result', 'when', 'in', 'set', 'workload'].map((name) =>
        name === where ? text : 'x',
      )
      const step = {
        step: 'start',
        tool: { kind: 'noop', result },
        loop: { in: list },
        set: { 'ctx.x': set },
        next: { arcs: [{ step: 'start', when }] },
      }
      return placed(stringify({ metadata: { path: 'p' }, workload: { w: workload }, workflow: [step] }))
    }),
    { numRuns: 1500 },
  )
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
  t.same(Object.keys(Object.prototype), [])
})

t.test('names that every object has are names like others', async (t) => {
  const text = `metadata: {path: p}
workflow:
- {step: start, tool: {kind: http, url: a, toString: 1, constructor: 2, hasOwnProperty: 3}, set: {constructor.x: 1}}
- {step: constructor, tool: {kind: noop, result: "{{ toString }}{{ valueOf.x }}{{ ctx.constructor }}{{ steps.toString }}"}}
`
  const messages = said(text).map(({ message }) => message)
  for (const part of [
    'has no field "toString"',
    'has no field "constructor"',
    '"toString" is set nowhere',
    '"valueOf" is set nowhere',
    'no step "toString"',
    '"constructor" is no scope',
  ]) {
    t.ok(
      messages.some((message) => message.includes(part)),
      part,
    )
  }
  t.equal(
    BUILT_IN_TOOLS.some(({ kind }) => kind === 'constructor'),
    false,
  )
})

t.test('order: what can precede what is what the graph reaches, cycles included', async () => {
  const edges = fc.array(fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 11 })), { maxLength: 30 })
  fc.assert(
    fc.property(edges, (list) => {
      const workflow = Array.from({ length: 12 }, (_, i) => ({
        step: i === 0 ? 'start' : `s${i}`,
        next: {
          arcs: list
            .filter(([from]) => from === i)
            .map(([, to]) => ({ step: to === 0 ? 'start' : `s${to}` })),
        },
      }))
      const { playbook } = compilePlaybook(stringify({ metadata: { path: 'p' }, workflow }))
      const [precedes, graph] = [orderOf(playbook), graphOf(playbook)]
      const names = playbook.steps.map(({ name }) => name)
      return names.every((a) => names.every((b) => precedes(a, b) === graph.reaches(a, b)))
    }),
    { numRuns: 300 },
  )
})

t.test(
  'size: thousands of steps in a row, each naming the first, the last and one that is none, are looked at',
  async (t) => {
    const count = 3000
    const workflow = Array.from({ length: count }, (_, i) => ({
      step: i === 0 ? 'start' : `step_${i}`,
      tool: { kind: 'noop', result: `{{ start }}{{ step_${count - 1} }}{{ step_none_${i} }}` },
      ...(i + 1 < count ? { next: { arcs: [{ step: `step_${i + 1}` }] } } : {}),
    }))
    const warnings = said(stringify({ metadata: { path: 'p' }, workflow }))
    t.equal(warnings.length, 101)
    t.match(warnings.at(-1)?.message, /there are \d+ more warnings/)
    const { playbook } = compilePlaybook(stringify({ metadata: { path: 'p' }, workflow }))
    t.same([...targetsOf(playbook.steps[0]!)], ['step_1'])
    t.ok(orderOf(playbook)('start', `step_${count - 1}`))
  },
)

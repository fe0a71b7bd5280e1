import t from 'tap'
import type { NoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { describeDocument } from '../../../core/playbook/describe.ts'
import type { Fault } from '../../../core/playbook/faults.ts'
import { nearest } from '../../../core/playbook/faults.ts'
import { Decimal } from '../../../core/schemas/numbers.ts'

const KINDS = ['http', 'noop', 'python']

function fails(text: string): NoetlError {
  try {
    compilePlaybook(text, { toolKinds: KINDS })
  } catch (error) {
    return error as NoetlError
  }
  throw new Error('the playbook was expected to have faults')
}
const faultsOf = (text: string) => (fails(text).details as unknown as { faults: Fault[] }).faults

/** A playbook with one step `start` whose body is given. */
const one = (body: string) =>
  `apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {path: p}\nworkflow:\n  - step: start\n    ${body}\n`
const step = (body: string) => compilePlaybook(one(body)).playbook.steps[0]!

t.test('YAML: a fault of the text has a code, line and column', async (t) => {
  const error = fails('metadata:\n  path: p\nworkflow: [1, 2\nx: y')
  t.equal(error.code, 'NOETL_ERR_PLAYBOOK_YAML')
  t.equal(error.statusCode, 400)
  t.match(error.message, /line 4, column 1/)
  t.match(error.details, { line: 4, column: 1 })
})

for (const [name, text] of [
  ['a list at the top', '- a'],
  ['nothing', ''],
  ['a text', 'hello'],
  ['two keys of one name', 'a: 1\na: 2'],
  ['a NUL', 'a: "x\0"'],
  ['a second document', 'a: 1\n---\nb: 2'],
  ['an unknown alias', 'a: *b'],
  [
    'aliases that grow without end',
    `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]`,
  ],
  ['a nesting without end', '['.repeat(20_000)],
] as const) {
  t.test(`YAML: ${name} is refused`, async (t) => t.equal(fails(text).code, 'NOETL_ERR_PLAYBOOK_YAML'))
}

const FAULTS: [string, string, string, Partial<Fault>][] = [
  ['no path', 'workflow: [{step: start}]', 'metadata.path is missing', { line: 1 }],
  [
    'another kind',
    'kind: Subscription\nmetadata: {path: p}\nworkflow: [{step: start}]',
    'kind is "Subscription"',
    { line: 1, path: 'kind' },
  ],
  [
    'another apiVersion',
    'apiVersion: v1\nmetadata: {path: p}\nworkflow: [{step: start}]',
    'apiVersion is "v1"',
    { line: 1 },
  ],
  ['no workflow', 'metadata: {path: p}', 'workflow must be a list', {}],
  [
    'no start',
    'metadata: {path: p}\nworkflow: [{step: strat}]',
    'there is no step "start", where a playbook begins',
    { suggestion: 'strat' },
  ],
  [
    'a step twice',
    'metadata: {path: p}\nworkflow:\n- step: start\n- step: start',
    'step "start" is there already, in line 3',
    { line: 4, column: 3 },
  ],
  [
    'a step without a name',
    'metadata: {path: p}\nworkflow:\n- step: start\n- tool: {kind: noop}',
    'a step needs a name',
    { line: 4 },
  ],
  [
    'an arc to nowhere',
    `${one('next: {arcs: [{step: edn}]}')}  - step: end`,
    'step "start" leads to "edn", which is no step',
    { line: 6, suggestion: 'end', path: 'workflow[0].next.arcs[0].step' },
  ],
  [
    'a tool of an unknown kind',
    one('tool: {kind: pyton}'),
    'step "start" uses the tool kind "pyton", which no plugin brings; there are: http, noop, python',
    { line: 6, suggestion: 'python' },
  ],
  ['a tool without a kind', one('tool: {code: x}'), 'the tool of step "start" has no "kind"', {}],
  ['a tool that is a text', one('tool: python'), 'must be a mapping with "kind"', {}],
  [
    'a router of an unknown mode',
    one('next: {spec: {mode: exclusiv}, arcs: []}'),
    'mode is "exclusiv"',
    { suggestion: 'exclusive' },
  ],
  ['arcs that are no list', one('next: {arcs: {step: start}}'), 'arcs must be a list', {}],
  [
    'a rule of an unknown action',
    one('tool: {kind: noop, spec: {policy: {rules: [{when: true, then: {do: retyr}}]}}}'),
    '"do: retyr" is unknown',
    { suggestion: 'retry' },
  ],
  [
    'an unknown backoff',
    one('tool: {kind: noop, spec: {policy: {rules: [{when: true, then: {do: retry, backoff: exp}}]}}}'),
    '"backoff: exp" is unknown',
    {},
  ],
  [
    'a jump without a target',
    one('tool: [{kind: noop, spec: {policy: {rules: [{when: true, then: {do: jump}}]}}}]'),
    '"do: jump" needs',
    {},
  ],
  [
    'a jump to nowhere',
    one(
      'tool: [{name: abc, kind: noop, spec: {policy: {rules: [{when: true, then: {do: jump, to: abd}}]}}}]',
    ),
    '"jump to: abd" names no tool',
    { suggestion: 'abc' },
  ],
  [
    'two tools of one name',
    one('tool: [{name: a, kind: noop}, {name: a, kind: noop}]'),
    'two tools named "a"',
    {},
  ],
  ['a loop without a list', one('loop: {iterator: x}'), 'a loop needs "in', {}],
  [
    'a loop of an unknown mode',
    one('loop: {in: [1], spec: {mode: paralel}}'),
    'mode is "paralel"',
    { suggestion: 'parallel' },
  ],
  [
    'a width that is no number',
    one('loop: {in: [1], spec: {max_in_flight: many}}'),
    'max_in_flight is "many"',
    {},
  ],
  ['set that is a list', one('set: [a]'), 'set must be a mapping', {}],
  [
    'a workload that is a list',
    'metadata: {path: p}\nworkload: [1]\nworkflow: [{step: start}]',
    'workload must be a mapping',
    { line: 2 },
  ],
  [
    'an action outside of a case',
    one('collect: {into: x}'),
    '"collect" of step "start" has its place in a case',
    {},
  ],
  [
    'an unknown final step',
    'metadata: {path: p}\nexecutor: {spec: {final_step: bey}}\nworkflow: [{step: start}, {step: bye}]',
    'there is no step "bey"',
    { suggestion: 'bye' },
  ],
]
for (const [name, text, message, about] of FAULTS) {
  t.test(`faults: ${name} is told with its place`, async (t) => {
    const [fault] = faultsOf(text)
    t.match(fault?.message, message)
    t.match(fault, about)
  })
}

t.test('faults: all are told at once, in a message and as data', async (t) => {
  const error = fails(
    'metadata: {path: p}\nworkflow:\n- step: start\n  tool: {kind: x}\n  next: {arcs: [{step: y}]}\n- step: start',
  )
  t.equal(error.code, 'NOETL_ERR_PLAYBOOK_INVALID')
  t.equal(error.statusCode, 422)
  t.equal((error.details as unknown as { faults: Fault[] }).faults.length, 3)
  t.match(error.message, /line 4, column \d+ .*\n.*line \d/)
})

t.test('warnings: unknown keys, steps that nothing leads to, templates that do not parse', async (t) => {
  const { warnings } = compilePlaybook(
    `${one('nxt: end\n    tool: {kind: noop, result: "{{ a b }}"}')}  - step: lost`,
    { toolKinds: KINDS },
  )
  t.match(warnings, [
    { message: '"nxt" is not known here and is ignored', suggestion: 'next', line: 6 },
    { message: /step "start": The template does not parse/, line: 7, column: 38 },
    { message: 'no step leads to "lost"; it never runs', line: 8 },
  ])
})

t.test('registered text is read again without asking which tools there are', async (t) => {
  t.equal(compilePlaybook(one('tool: {kind: gone}')).playbook.steps[0]?.tasks[0]?.kind, 'gone')
})

t.test('path: metadata.path, path, metadata.name, name, in this order; a leading slash stays', async (t) => {
  t.equal(describeDocument('metadata: {path: /a/b, name: n}\npath: c').path, '/a/b')
  t.equal(describeDocument('metadata: {name: n}\npath: c').path, 'c')
  t.equal(describeDocument('metadata: {name: n}\nname: m').path, 'n')
  t.equal(describeDocument('name: m').path, 'm')
})

t.test('dialect: seed by case, args, vars, sink or any next that is no router', async (t) => {
  const dialect = (body: string) => compilePlaybook(`${one(body)}  - step: end`).playbook.dialect
  t.equal(dialect('next: end'), 'seed')
  t.equal(dialect('next: [{step: end}]'), 'seed')
  t.equal(dialect('args: {a: 1}'), 'seed')
  t.equal(dialect('vars: {a: 1}'), 'seed')
  t.equal(dialect('next: {arcs: [{step: end}]}'), 'current')
  t.equal(dialect('tool: {kind: noop, args: {a: 1}}'), 'current')
})

t.test('seed dialect: of two steps of one name the first wins, with a warning', async (t) => {
  const { playbook, warnings } = compilePlaybook(
    'metadata: {path: p}\nworkflow:\n- {step: start, next: a}\n- {step: a, desc: one}\n- {step: a, desc: two}',
  )
  t.equal(playbook.steps[1]?.description, 'one')
  t.match(warnings, [{ message: /is there already/ }])
})

t.test(
  'tool: spec fields are merged under the tool, policy is not; credential is auth; args lie under input',
  async (t) => {
    const [task] = step(
      'tool: {kind: http, url: u, credential: c, args: {a: 1, b: 1}, input: {b: 2}, spec: {url: x, method: POST, policy: {rules: []}}}',
    ).tasks
    t.match(task, { label: 'task_0', config: { url: 'u', method: 'POST', auth: 'c' }, input: { a: 1, b: 2 } })
    t.notHas(task?.config, 'policy')
    t.notHas(task?.config, 'credential')
  },
)

t.test('tool: a list may have its labels as keys', async (t) => {
  t.match(step('tool: [{fetch: {kind: http, url: u}}, {kind: noop}]').tasks, [
    { label: 'fetch', kind: 'http' },
    { label: 'task_1' },
  ])
})

t.test('tool: the old retry block is a rule', async (t) => {
  t.match(step('tool: {kind: http, retry: {max_attempts: 4, initial_delay: 2}}').tasks[0]?.rules, [
    { do: 'retry', attempts: 4, delay: 2 },
  ])
})

t.test('loop: seed and current spelling, defaults', async (t) => {
  t.match(step('loop: {in: "{{ x }}", iterator: i, mode: async}').loop, {
    mode: 'parallel',
    maxInFlight: 8,
    iterator: 'i',
  })
  t.match(step('loop: {in: [1]}').loop, { mode: 'sequential', maxInFlight: 1, iterator: 'item' })
  t.match(step('loop: {in: [1], spec: {mode: parallel, max_in_flight: 3}}').loop, { maxInFlight: 3 })
})

t.test('numbers: they keep all their digits', async (t) => {
  const { workload } = compilePlaybook(
    `metadata: {path: p}
workload: {id: 9007199254740993123, n: 42, f: 1.5, yes: yes, d: 0.1234567890123456789, e: 1e18, long: 12345678901234567890.5, huge: 1e400, inf: .inf}
workflow: [{step: start}]`,
  ).playbook
  t.strictSame(
    { ...workload },
    {
      id: 9007199254740993123n,
      n: 42,
      f: 1.5,
      yes: 'yes',
      d: new Decimal('0.1234567890123456789'),
      e: 1e18,
      long: new Decimal('12345678901234567890.5'),
      huge: '1e400',
      inf: null,
    },
  )
})

t.test('names: __proto__ is a key like any other, and reaches nothing', async (t) => {
  const { workload } = compilePlaybook(
    'metadata: {path: p}\nworkload: {__proto__: {polluted: true}, a: 1}\nworkflow: [{step: start}]',
  ).playbook
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
  t.same(Object.keys(workload), ['__proto__', 'a'])
})

t.test('nearest: few, close and without regard to case', async (t) => {
  t.same(nearest('helo_world', ['hello_world', 'other']), ['hello_world'])
  t.same(nearest('hello_world', ['tests/fixtures/playbooks/hello_world']), [
    'tests/fixtures/playbooks/hello_world',
  ])
  t.same(nearest('zzz', ['abc', 'def']), [])
  t.same(nearest('foo', ['now', 'job']), [], 'of three letters two may not differ')
  t.same(nearest('nwo', ['now']), ['now'])
})

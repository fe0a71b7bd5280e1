import t from 'tap'
import type { NoetlError } from '../../../core/errors.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import type { Fault } from '../../../core/playbook/faults.ts'
import type { Playbook, Step } from '../../../core/schemas/playbook.ts'

/** A playbook whose step `start` has the given body, with steps `a` and `b` behind it. */
const text = (body: string, rest = '') =>
  `metadata: {path: p}\nworkload: {w: 1}\n${rest}workflow:\n- step: start\n${body.trim().replace(/^/gm, '  ')}\n- {step: a}\n- {step: b}\n`

function compile(body: string, rest = ''): Playbook {
  return compilePlaybook(text(body, rest)).playbook
}

const one = (body: string) => compile(body).steps[0]!
const clause = (then: string, when = "{{ event.name == 'call.done' }}") =>
  one(`tool: {kind: noop}\ncase:\n- {when: "${when}", then: ${then}}\n`)

/** What a part of `start` comes to. */
const RULES: [string, string, (step: Step) => unknown, unknown][] = [
  [
    'next: x is an arc',
    'next: a',
    (s) => s.next,
    { mode: 'exclusive', arcs: [{ step: 'a', set: {}, args: {} }] },
  ],
  [
    'next: [x, y] are arcs that are all taken',
    'next: [a, b]',
    (s) => s.next,
    {
      mode: 'inclusive',
      arcs: [
        { step: 'a', set: {}, args: {} },
        { step: 'b', set: {}, args: {} },
      ],
    },
  ],
  [
    'next: [{step}] of one is exclusive, with its arguments',
    'next: [{step: a, args: {x: 1}}]',
    (s) => s.next,
    { mode: 'exclusive', arcs: [{ step: 'a', set: {}, args: { x: 1 } }] },
  ],
  ['args of a step are its input', 'args: {x: 1}\ninput: {y: 2}', (s) => s.input, { x: 1, y: 2 }],
  ['vars are set after the tool', 'vars: {x: "{{ result }}"}', (s) => s.set, { 'ctx.x': '{{ result }}' }],
  [
    'a loop has its mode beside it; async is parallel; its result is the last round',
    'tool: {kind: noop}\nloop: {in: "{{ w }}", iterator: i, mode: async}\nnext: a',
    (s) => [s.loop, s.loopResult],
    [{ in: '{{ w }}', iterator: 'i', mode: 'parallel', maxInFlight: 8 }, 'last'],
  ],
  [
    'postgres gives rows',
    'tool: {kind: postgres, query: SELECT 1}\nnext: a',
    (s) => s.tasks,
    [
      {
        label: 'task_0',
        kind: 'postgres',
        config: { query: 'SELECT 1' },
        input: {},
        set: {},
        rules: [],
        rows: true,
      },
    ],
  ],
  ['duckdb gives rows', 'tool: {kind: duckdb, query: x}\nnext: a', (s) => s.tasks[0]?.rows, true],
  ['python does not', 'tool: {kind: python, code: x}\nnext: a', (s) => s.tasks[0]?.rows, undefined],
  [
    'a secret keeps its name',
    'tool: {kind: secrets, provider: env, name: KEY}\nnext: a',
    (s) => [s.tasks[0]?.label, s.tasks[0]?.config],
    ['task_0', { provider: 'env', name: 'KEY' }],
  ],
  [
    'a tool has its own sink behind it',
    'tool: {kind: noop, sink: {table: t, args: {x: 1}}}\nnext: a',
    (s) => [s.pipeline, s.tasks.map(({ label, kind, aside }) => [label, kind, aside])],
    [
      false,
      [
        ['task_0', 'noop', undefined],
        ['sink_0', 'postgres', true],
      ],
    ],
  ],
  [
    'iterator is a loop over its task',
    'args: {k: 1}\ntool: {kind: iterator, collection: "{{ w }}", element: e, mode: async, concurrency: 3, task: {kind: noop, result: 1}, args: {x: "{{ e }}"}}',
    (s) => [s.loop, s.tasks, s.input],
    [
      { in: '{{ w }}', iterator: 'e', mode: 'parallel', maxInFlight: 3 },
      [{ label: 'task_0', kind: 'noop', config: { result: 1 }, input: {}, set: {}, rules: [] }],
      { k: 1, x: '{{ e }}' },
    ],
  ],
  [
    'iterator with the loop of its step, and a task written as a step is',
    'loop: {in: [1], iterator: e}\ntool: {kind: iterator, task: {tool: {kind: noop}, args: {x: 1}}}\nnext: a',
    (s) => [s.loop?.iterator, s.loop?.in, s.tasks[0]?.kind, s.tasks[0]?.input],
    ['e', [1], 'noop', { x: 1 }],
  ],
  [
    'playbooks over a list calls one playbook for each element',
    'tool: {kind: playbooks, path: sub/p, in: "{{ w }}", iterator: e, args: {x: "{{ e }}"}}\nnext: a',
    (s) => [s.loop, s.tasks[0]?.kind, s.tasks[0]?.config, s.tasks[0]?.input],
    [
      { in: '{{ w }}', iterator: 'e', mode: 'sequential', maxInFlight: 1 },
      'playbook',
      { path: 'sub/p' },
      { x: '{{ e }}' },
    ],
  ],
  [
    'playbooks with a loop of the step is a playbook in it',
    'loop: {in: [1], iterator: e}\ntool: {kind: playbooks, path: sub/p, return_step: r}\nnext: a',
    (s) => [s.loop?.in, s.tasks[0]?.kind, s.tasks[0]?.config],
    [[1], 'playbook', { path: 'sub/p', return_step: 'r' }],
  ],
  [
    'playbooks by name calls each of them with its own arguments',
    'tool: {kind: playbooks, playbooks: [x/y, {path: z, args: {n: 1}}]}\nnext: a',
    (s) => [s.loop?.in, s.tasks[0]?.config],
    [
      [
        { path: 'x/y', args: null },
        { path: 'z', args: { n: 1 } },
      ],
      {
        path: '{{ playbook.path if playbook is mapping else playbook }}',
        payload: '{{ playbook.args if playbook is mapping else none }}',
      },
    ],
  ],
]

for (const [name, body, part, expected] of RULES) {
  t.test(`seed: ${name}`, async (t) => {
    t.strictSame(part(compile(body, 'dialect: seed\n').steps[0]!), expected)
  })
}

/** What the action of a clause comes to, as a reaction to the call. */
const ACTIONS: [string, string, object][] = [
  ['next: x', '{next: a}', { next: [{ step: 'a', args: {} }] }],
  ['next: {step, args}', '{next: {step: a, args: {x: 1}}}', { next: [{ step: 'a', args: { x: 1 } }] }],
  [
    'next with args beside it',
    '{next: [a, {step: b, args: {x: 2}}], args: {x: 1, y: 1}}',
    {
      next: [
        { step: 'a', args: { x: 1, y: 1 } },
        { step: 'b', args: { x: 2, y: 1 } },
      ],
    },
  ],
  [
    'a list of next',
    '[{next: a}, {next: b}]',
    {
      next: [
        { step: 'a', args: {} },
        { step: 'b', args: {} },
      ],
    },
  ],
  ['a name alone', 'a', { next: [{ step: 'a', args: {} }] }],
  ['{step, args} alone', '{step: a, args: {x: 1}}', { next: [{ step: 'a', args: { x: 1 } }] }],
  ['an empty next, which leads nowhere', '{next: []}', { next: [] }],
  [
    'set, whatever the name',
    '{set: {x: 1, vars.y: 2, ctx.z: 3, workload.v: 4}}',
    { set: { 'ctx.x': 1, 'ctx.y': 2, 'ctx.z': 3, 'ctx.v': 4 } },
  ],
  [
    'collect of a path',
    '{collect: {from: result.items, into: vars.all, mode: extend}}',
    { collect: [{ into: 'all', from: '{{ result.items }}', mode: 'extend' }] },
  ],
  [
    'collect of a template',
    '{collect: {from: "{{ result.a ~ 1 }}", into: all}}',
    { collect: [{ into: 'all', from: '{{ result.a ~ 1 }}', mode: 'append' }] },
  ],
  [
    'collect of a known name',
    '{collect: {from: w, into: all}}',
    { collect: [{ into: 'all', from: '{{ w }}', mode: 'append' }] },
  ],
  [
    'collect of a word',
    '{collect: {from: word, into: all}}',
    { collect: [{ into: 'all', from: 'word', mode: 'append' }] },
  ],
  [
    'collect of a value',
    '{collect: {from: {k: 1}, into: all}}',
    { collect: [{ into: 'all', from: { k: 1 }, mode: 'append' }] },
  ],
  [
    'collect of the result, when nothing is said',
    '{collect: {into: all}}',
    { collect: [{ into: 'all', from: '{{ result }}', mode: 'append' }] },
  ],
  [
    'call of several',
    '{call: [a, {step: b, args: {x: 1}}]}',
    {
      calls: [
        { step: 'a', args: {} },
        { step: 'b', args: { x: 1 } },
      ],
    },
  ],
  [
    'several actions in one mapping',
    '{set: {x: 1}, call: a, next: b}',
    { set: { 'ctx.x': 1 }, calls: [{ step: 'a', args: {} }], next: [{ step: 'b', args: {} }] },
  ],
]

for (const [name, then, expected] of ACTIONS) {
  t.test(`seed action: ${name}`, async (t) => {
    const { onCall, onEnter, onExit } = clause(then)
    const nothing = { set: {}, collect: [], calls: [], next: null }
    t.strictSame(onCall, [{ when: "{{ event.name == 'call.done' }}", ...nothing, ...expected }])
    t.strictSame([onEnter, onExit], [[], []])
  })
}

/** Where a clause is looked at, by its condition. */
const MOMENTS: [string, 'onEnter' | 'onCall' | 'onExit'][] = [
  ["{{ event.name == 'step.enter' }}", 'onEnter'],
  ["{{ 'step.enter' == event.name and w }}", 'onEnter'],
  ["event.name == 'step.enter'", 'onEnter'],
  ["{{ event.name == 'step.exit' }}", 'onExit'],
  ["{{ event.name == 'step.exit' and error is defined }}", 'onExit'],
  ["{{ event.name in ['call.done', 'step.exit'] }}", 'onCall'],
  ["{{ event.name == 'call.done' }}", 'onCall'],
  ["{{ event.name != 'step.enter' }}", 'onCall'],
  ["{{ event.name not in ['step.enter', 'step.exit'] }}", 'onCall'],
  ['{{ result.ok }}', 'onCall'],
  ['{{ error is defined }}', 'onCall'],
  ['{{ loop.done }}', 'onCall'],
]

for (const [when, list] of MOMENTS) {
  t.test(`seed moment: ${when} is looked at ${list}`, async (t) => {
    const step = clause('{set: {x: 1}}', when)
    t.equal(step[list].length, 1)
    t.equal(step.onEnter.length + step.onCall.length + step.onExit.length, 1)
  })
}

t.test('seed moment: else comes with the clauses before it; no when is always', async (t) => {
  const step = one('tool: {kind: noop}\ncase: [{when: "{{ w }}", then: a}, {else: b}]')
  t.match(step.onCall, [{ when: '{{ w }}' }, { next: [{ step: 'b' }] }])
  t.notHas(step.onCall[1], 'when')
  t.match(one('case: [{when: "{{ event.name == \'step.exit\' }}", then: a}, {else: {then: b}}]').onExit, [
    {},
    { next: [{ step: 'b' }] },
  ])
  t.notHas(one('case: [{then: a}]').onCall[0], 'when')
  t.notHas(one('case: {when: , then: a}').onCall[0], 'when')
  t.match(one('case: [{when: true, then: a}]').onCall[0], { when: true })
})

/** Rules that the clauses of a case make for its tool. */
const FAILS = '{{ error is defined }}'
const POLICIES: [string, string, object[]][] = [
  [
    'retry',
    `[{when: "${FAILS}", then: {retry: {max_attempts: 4, delay: 2, backoff: exponential}}}]`,
    [{ when: FAILS, do: 'retry', attempts: 4, delay: 2, backoff: 'exponential', set: {} }],
  ],
  [
    'retry with what is usual',
    `[{when: "${FAILS}", then: {retry: true}}]`,
    [{ do: 'retry', attempts: 3, delay: 1, backoff: 'none' }],
  ],
  ['retry with a number', `[{when: "${FAILS}", then: {retry: 5}}]`, [{ do: 'retry', attempts: 5 }]],
  ['retry: false is none', `[{when: "${FAILS}", then: {retry: false}}]`, []],
  [
    'retry with a factor',
    `[{when: "${FAILS}", then: {retry: {attempts: 2, initial_delay: 3, backoff: 2}}}]`,
    [{ do: 'retry', attempts: 2, delay: 3, backoff: 'exponential' }],
  ],
  [
    'retry with a condition of its own',
    `[{when: "${FAILS}", then: {retry: {when: "{{ error.status == 500 }}"}}}]`,
    [{ when: '{{ (error is defined) and (error.status == 500) }}', do: 'retry' }],
  ],
  [
    'fail',
    '[{when: "{{ result.bad }}", then: {fail: {message: "{{ result.bad }}"}}}]',
    [{ when: '{{ result.bad }}', do: 'fail', message: '{{ result.bad }}' }],
  ],
  ['fail with a text alone', '[{when: "{{ w }}", then: {fail: no}}]', [{ do: 'fail', message: 'no' }]],
  [
    'result',
    '[{when: "{{ w }}", then: {result: {from: result.x}}}]',
    [{ when: '{{ w }}', do: 'continue', result: '{{ result.x }}' }],
  ],
  [
    'clauses before one that is a rule, each of which leaves the outcome as it is',
    `[{when: "{{ result.a }}", then: {next: a}}, {when: "${FAILS}", then: {retry: true}}]`,
    [
      { do: 'fail', set: {} },
      { when: '{{ result.a }}', do: 'continue', set: {} },
      { when: FAILS, do: 'retry' },
    ],
  ],
  [
    'at step.exit, where the event is that of the call still',
    `[{when: "{{ event.name == 'step.exit' and error is defined }}", then: {retry: true}}]`,
    [{ when: "{{ 'step.exit' == 'step.exit' and error is defined }}", do: 'retry' }],
  ],
]

for (const [name, written, expected] of POLICIES) {
  t.test(`seed rules: ${name}`, async (t) => {
    const [task] = one(`tool: {kind: noop}\ncase: ${written}`).tasks
    t.equal(task?.rules.length, expected.length)
    t.match(task?.rules, expected)
  })
}

t.test("seed rules: the tool's own come first", async (t) => {
  const [task] = one(
    'tool: {kind: noop, retry: {max_attempts: 2}}\ncase: [{when: "{{ w }}", then: {fail: no}}]',
  ).tasks
  t.match(task?.rules, [{ do: 'retry' }, { do: 'fail' }])
})

t.test('seed: a clause for the end of a loop that does more than route is a step between', async (t) => {
  const { steps } = compile(`
loop: {in: [1], iterator: i}
tool: {kind: noop}
case:
- {when: "{{ loop.done }}", then: [{set: {x: 1}}, {next: [a, b]}]}
- {when: "{{ loop.done and w }}", then: [{call: a}]}
next: b`)
  t.strictSame(
    steps.map(({ name }) => name),
    ['start', 'start:done', 'start:done_1', 'a', 'b'],
  )
  t.match(steps[0]?.onCall, [
    { when: "{{ (event.name == 'loop.done') }}", set: {}, next: [{ step: 'start:done' }] },
    { when: "{{ (event.name == 'loop.done') and w }}", next: [{ step: 'start:done_1' }] },
  ])
  t.match(steps[1], {
    set: { 'ctx.x': 1 },
    next: { mode: 'inclusive', arcs: [{ step: 'a' }, { step: 'b' }] },
  })
  t.match(steps[2], { onCall: [{ calls: [{ step: 'a' }], next: null }], next: { arcs: [{ step: 'b' }] } })
})

/** `dialect` of a file, by what its steps have. */
const DIALECTS: [string, Playbook['dialect']][] = [
  ['case: []', 'seed'],
  ['args: {}', 'seed'],
  ['vars: {}', 'seed'],
  ['sink: {table: t, args: {x: 1}}', 'seed'],
  ['next: a', 'seed'],
  ['next: [a]', 'seed'],
  ['next: {step: a}', 'seed'],
  ['next: {arcs: [{step: a}]}', 'current'],
  ['next: {spec: {mode: inclusive}, arcs: []}', 'current'],
  ['tool: {kind: noop, args: {x: 1}}', 'current'],
  ['set: {x: 1}', 'current'],
]
for (const [body, dialect] of DIALECTS) {
  t.test(`seed: a step with "${body}" makes its file ${dialect}`, async (t) => {
    t.equal(compile(body).dialect, dialect)
  })
}

t.test('seed: what the file says of its dialect counts more than how it looks', async (t) => {
  t.equal(compile('next: a', 'dialect: current\n').dialect, 'current')
  t.equal(compile('set: {x: 1}', 'dialect: seed\n').dialect, 'seed')
})

/** Mistakes, with what they are told as. */
const FAULTS: [string, string, Partial<Fault>][] = [
  [
    'case: [{then: {next: aa}}]',
    'step "start" leads to "aa", which is no step',
    { line: 5, suggestion: 'a' },
  ],
  ['case: [{then: {call: {step: c}}}]', 'step "start" leads to "c", which is no step', { line: 5 }],
  ['case: [x]', 'a clause of "case" must be a mapping {when, then}', { path: 'workflow[0].case[0]' }],
  ['case: [{then: 1}]', 'an action must be a mapping such as {next: <step>}', {}],
  ['case: [{then: {nxt: a}}]', '"nxt" is no action of a case', { suggestion: 'next' }],
  ['case: [{then: {next: {args: {}}}}]', 'a target needs "step: <name>"', {}],
  ['case: [{then: {next: 5.5}}]', 'a target must be the name of a step', {}],
  ['case: [{then: {set: [x]}}]', 'set must be a mapping', {}],
  ['case: [{then: {collect: {from: x}}}]', '"collect" needs "into: <name>"', {}],
  ['case: [{then: {collect: x}}]', '"collect" must be {from, into', {}],
  ['case: [{then: {collect: {into: x, mode: apend}}}]', 'mode is "apend"', { suggestion: 'append' }],
  ['tool: {kind: noop}\ncase: [{then: {retry: {backoff: expo}}}]', '"backoff: expo" is unknown', {}],
  ['case: [{then: {sink: 5}}]', 'must be a mapping such as {tool: postgres', {}],
  ['sink: {mode: append}', 'needs "table: <name>"', {}],
  ['sink: {table: t, mode: upsert}', 'mode: upsert of the sink of step "start" needs "key', {}],
  ['sink: {table: t, mode: upser, key: id}', 'mode is "upser"', { suggestion: 'upsert' }],
  ['sink: {table: t, args: {"{{ x }}": 1}}', 'may hold no template', {}],
  ['sink: {table: t, args: {}}', 'writes no columns', {}],
  ['call: a', '"call" of step "start" has its place in a case', { path: 'workflow[0].call' }],
  [
    'loop: {in: [1], iterator: i}\ntool: {kind: noop}\ncase: [{when: "{{ loop.done }}", then: {result: {from: vars.x}}}]',
    '"result" is of one call; at the end of a loop use',
    {},
  ],
  [
    'tool: {kind: noop}\ncase: [{when: "{{ event.name == \'step.enter\' }}", then: {retry: true}}]',
    '"retry" repeats a call; as a step is entered there is none',
    {},
  ],
  ['tool: {kind: iterator, in: [1]}', 'a tool of kind iterator needs "task', {}],
]
for (const [body, message, about] of FAULTS) {
  t.test(`seed faults: ${message}`, async (t) => {
    try {
      compilePlaybook(text(body), { toolKinds: ['noop', 'postgres'] })
      t.fail('a fault was expected')
    } catch (error) {
      const [fault] = ((error as NoetlError).details as unknown as { faults: Fault[] }).faults
      t.match(fault?.message, message)
      t.match(fault, about)
    }
  })
}

t.test('seed faults: a sink of a kind that no plugin brings', async (t) => {
  t.throws(() => compilePlaybook(text('sink: {tool: postgrs, table: t}'), { toolKinds: ['postgres'] }), {
    message: /the sink of step "start" is of the kind "postgrs".*Did you mean "postgres"/s,
  })
})

t.test(
  'seed: of two steps of one name the first counts, and what only the other has is a warning',
  async (t) => {
    const { playbook, warnings } = compilePlaybook(
      text('next: a').replace('- {step: b}', '- {step: a, case: [{then: b}]}\n- {step: b}'),
    )
    t.strictSame(
      playbook.steps.map(({ name }) => name),
      ['start', 'a', 'b'],
    )
    t.match(warnings, [{ message: /step "a" is there already, in line/ }])
  },
)

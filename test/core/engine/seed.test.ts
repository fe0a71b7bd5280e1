import t from 'tap'
import type { Json, JsonObject } from '../../../core/schemas/json.ts'
import { type Gives, simulate } from '../../support/simulate.ts'

interface Case {
  name: string
  /** Steps, as YAML. Of `a`, `b` and `c` those that are not written are there without anything. */
  steps: string
  workload?: JsonObject
  gives?: Gives
  /** Which open command ends next, of so many. */
  pick?: (open: number) => number
  status?: 'COMPLETED' | 'FAILED'
  error?: string
  entered: string[]
  ctx?: Record<string, Json>
  results?: Record<string, Json>
  /** Arguments with which a step's command was issued last. */
  args?: Record<string, Json>
}

const failing = new Error('it broke')

const CASES: Case[] = [
  // The way on.
  {
    name: 'next as a name leads there',
    steps: '- {step: start, tool: {kind: noop}, next: a}',
    entered: ['start', 'a'],
  },
  {
    name: 'next as a list of names leads to all of them',
    steps: '- {step: start, tool: {kind: noop}, next: [a, b]}',
    entered: ['start', 'a', 'b'],
  },
  {
    name: 'next as a list of {step} leads to all of them, with what it hands over',
    steps: `
- {step: start, tool: {kind: noop}, next: [{step: a, args: {n: 1}}, {step: b}]}
- {step: a, tool: {kind: noop}}`,
    entered: ['start', 'a', 'b'],
    args: { a: { n: 1 } },
  },
  {
    name: 'a step that two lead to waits for both, and runs once',
    steps: `
- {step: start, tool: {kind: noop}, next: [a, b]}
- {step: a, tool: {kind: noop}, next: c}
- {step: b, tool: {kind: noop}, next: c}
- {step: c, tool: {kind: noop}}`,
    entered: ['start', 'a', 'b', 'c'],
  },
  {
    name: 'a case routes on the result',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ result.kind == 'x' }}", then: {next: a}}
  - {when: "{{ result.kind == 'y' }}", then: {next: b}}
  next: c`,
    gives: { start: { kind: 'y' } },
    entered: ['start', 'b'],
  },
  {
    name: "the step's own next is followed when no clause matches",
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ result.kind == 'x' }}", then: {next: a}}]
  next: c`,
    gives: { start: { kind: 'z' } },
    entered: ['start', 'c'],
  },
  {
    name: "the step's own next is followed when the clause that matches does not route",
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ result.n > 1 }}", then: {set: {big: true}}}]
  next: c`,
    gives: { start: { n: 2 } },
    entered: ['start', 'c'],
    ctx: { big: true },
  },
  {
    name: 'of several clauses that hold the first is taken',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ result.n > 1 }}", then: {next: a}}
  - {when: "{{ result.n > 0 }}", then: {next: b}}`,
    gives: { start: { n: 2 } },
    entered: ['start', 'a'],
  },
  {
    name: 'a clause that holds keeps those behind it from theirs, whatever they do',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ result.n > 1 }}", then: {set: {seen: 1}}}
  - {when: "{{ result.n > 0 }}", then: {next: b}}
  next: c`,
    gives: { start: { n: 2 } },
    entered: ['start', 'c'],
    ctx: { seen: 1 },
  },
  {
    name: 'else is for what no clause took',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ result.n > 5 }}", then: {next: a}}
  - else: {next: b}
  next: c`,
    gives: { start: { n: 2 } },
    entered: ['start', 'b'],
  },
  {
    name: 'several targets are all led to',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'call.done' }}", then: {next: [a, {step: b, args: {x: 1}}]}}]`,
    entered: ['start', 'a', 'b'],
  },
  {
    name: 'several next actions of one clause are all led to',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'call.done' }}", then: [{next: a}, {next: b}]}]`,
    entered: ['start', 'a', 'b'],
  },
  {
    name: 'then may be a name alone, or a list of them',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ result.n }}", then: a}]
- step: a
  case: [{then: [b, c]}]`,
    gives: { start: { n: 1 } },
    entered: ['start', 'a', 'b', 'c'],
  },
  {
    name: 'arguments of a target are evaluated where the flow leaves',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ result.n }}", then: {next: {step: a, args: {twice: "{{ result.n * 2 }}"}}}}]
- {step: a, tool: {kind: noop}}`,
    gives: { start: { n: 7 } },
    entered: ['start', 'a'],
    args: { a: { twice: 14 } },
  },
  {
    name: 'step.exit is as good a moment to route as any',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'step.exit' and result.ok }}", then: {next: a}}]
  next: b`,
    gives: { start: { ok: true } },
    entered: ['start', 'a'],
  },
  {
    name: 'step.exit comes after the call: what a clause of the call set is there',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ event.name == 'call.done' }}", then: {set: {n: "{{ result.n }}"}}}
  - {when: "{{ event.name == 'step.exit' and vars.n == 3 }}", then: {next: a}}
  - {when: "{{ event.name == 'step.exit' }}", then: {next: b}}`,
    gives: { start: { n: 3 } },
    entered: ['start', 'a'],
    ctx: { n: 3 },
  },
  {
    name: 'else behind a clause of step.exit waits for it',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ event.name == 'step.exit' and result.ok }}", then: {next: a}}
  - else: {next: b}`,
    gives: { start: { ok: true } },
    entered: ['start', 'a'],
  },
  {
    name: 'a step without a tool routes on what led to it',
    steps: `
- {step: start, tool: {kind: noop}, next: a}
- step: a
  case:
  - {when: "{{ result.n == 1 }}", then: {next: b}}
  next: c`,
    gives: { start: { n: 1 } },
    entered: ['start', 'a', 'b'],
  },
  {
    name: 'a loop of steps by a case ends when the case says so',
    steps: `
- {step: start, vars: {n: 0}, next: a}
- step: a
  tool: {kind: noop}
  case:
  - when: "{{ event.name == 'step.exit' and vars.n < 3 }}"
    then: [{set: {n: "{{ vars.n + 1 }}"}}, {next: a}]
  next: b`,
    entered: ['start', 'a', 'a', 'a', 'a', 'b'],
    ctx: { n: 3 },
  },
  // Errors.
  {
    name: 'an error that a clause routes does not fail the execution',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ error is defined }}", then: {next: a}}]
  next: b`,
    gives: { start: failing },
    entered: ['start', 'a'],
  },
  {
    name: 'an error by its event, with its text handed over',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'call.error' }}", then: {next: {step: a, args: {why: "{{ error.message }}"}}}}]
- {step: a, tool: {kind: noop}}`,
    gives: { start: failing },
    entered: ['start', 'a'],
    args: { a: { why: 'it broke' } },
  },
  {
    name: 'an error that no clause names fails the execution',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ result.n == 1 }}", then: {next: a}}]
  next: b`,
    gives: { start: failing },
    status: 'FAILED',
    error: 'it broke',
    entered: ['start'],
  },
  {
    name: 'leaving the step does not catch an error by itself',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'step.exit' }}", then: {next: a}}]`,
    gives: { start: failing },
    status: 'FAILED',
    error: 'it broke',
    entered: ['start'],
  },
  {
    name: 'leaving the step catches an error where the clause looks at it',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'step.exit' and error is defined }}", then: {next: a}}]`,
    gives: { start: failing },
    entered: ['start', 'a'],
  },
  {
    name: 'a clause that notes an error and does not route leaves it uncaught',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ error is defined }}", then: {set: {why: "{{ error.message }}"}}}]
  next: b`,
    gives: { start: failing },
    status: 'FAILED',
    error: 'it broke',
    entered: ['start'],
    ctx: { why: 'it broke' },
  },
  {
    name: 'a retry that is over leaves the error to the clause behind it',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ error is defined }}", then: {retry: {max_attempts: 3}}}
  - {when: "{{ error is defined }}", then: {next: a}}`,
    gives: { start: failing },
    entered: ['start', 'a'],
  },
  {
    name: 'a retry that is over may have its own way on',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ error is defined }}", then: [{retry: {max_attempts: 3}}, {next: a}]}
  next: b`,
    gives: { start: failing },
    entered: ['start', 'a'],
  },
  // Values.
  {
    name: 'vars are set after success, and read as vars, workload and bare',
    steps: `
- {step: start, tool: {kind: noop}, vars: {n: "{{ result.n }}"}, next: a}
- step: a
  case: [{when: "{{ vars.n == 4 and workload.n == 4 and n == 4 and ctx.n == 4 }}", then: {next: b}}]`,
    workload: { n: 1 },
    gives: { start: { n: 4 } },
    entered: ['start', 'a', 'b'],
    ctx: { n: 4 },
  },
  {
    name: 'vars are not set after an error',
    steps: `
- step: start
  tool: {kind: noop}
  vars: {n: 1}
  case: [{when: "{{ error is defined }}", then: {next: a}}]`,
    gives: { start: failing },
    entered: ['start', 'a'],
    ctx: {},
  },
  {
    name: 'set writes the same bag under any of its names',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - then: {set: {a1: 1, vars.a2: 2, ctx.a3: 3, workload.a4: 4}}
  next: a`,
    entered: ['start', 'a'],
    ctx: { a1: 1, a2: 2, a3: 3, a4: 4 },
  },
  {
    name: 'a value that is set is there for the targets of the same clause',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{then: [{set: {n: "{{ result.n + 1 }}"}}, {next: {step: a, args: {seen: "{{ vars.n }}"}}}]}]
- {step: a, tool: {kind: noop}}`,
    gives: { start: { n: 1 } },
    entered: ['start', 'a'],
    args: { a: { seen: 2 } },
    ctx: { n: 2 },
  },
  {
    name: 'collect appends to a list, and makes one where there is none',
    steps: `
- {step: start, tool: {kind: noop}, case: [{then: {collect: {from: result.n, into: all}}}], next: a}
- {step: a, tool: {kind: noop}, case: [{then: {collect: {from: "{{ result.n }}", into: vars.all}}}], next: b}`,
    gives: { start: { n: 1 }, a: { n: 2 } },
    entered: ['start', 'a', 'b'],
    ctx: { all: [1, 2] },
  },
  {
    name: 'collect with extend adds each element, and what is no list as one',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - then:
    - collect: {from: result.items, into: all, mode: extend}
    - collect: {from: result.one, into: all, mode: extend}
    - collect: {from: result.items, into: lists}
  next: a`,
    gives: { start: { items: [1, 2], one: 3 } },
    entered: ['start', 'a'],
    ctx: { all: [1, 2, 3], lists: [[1, 2]] },
  },
  // Loops.
  {
    name: 'a sequential loop collects each round once, in order, and the last once',
    steps: `
- step: start
  loop: {in: [1, 2, 3], iterator: n}
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'call.done' }}", then: {collect: {from: result.n, into: all}}}]
  next: a`,
    gives: { start: ({ index }) => ({ n: (index ?? 0) * 10 }) },
    entered: ['start', 'a'],
    ctx: { all: [0, 10, 20] },
    results: { start: { n: 20 } },
  },
  {
    name: 'a parallel loop collects each round once, in the order in which they end',
    steps: `
- step: start
  loop: {in: [1, 2, 3], iterator: n, mode: async}
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'call.done' }}", then: {collect: {from: n, into: all}}}]
  next: a`,
    pick: (open) => open - 1,
    entered: ['start', 'a'],
    ctx: { all: [3, 2, 1] },
  },
  {
    name: 'collect at step.exit happens once for each round too',
    steps: `
- step: start
  loop: {in: [1, 2, 3], iterator: n}
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'step.exit' }}", then: {collect: {from: "{{ n + loop_index }}", into: all}}}]
  next: a`,
    entered: ['start', 'a'],
    ctx: { all: [1, 3, 5] },
  },
  {
    name: 'the way on of a clause is taken at the end of the loop, not with each round',
    steps: `
- step: start
  loop: {in: [1, 2, 3], iterator: n}
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'call.done' }}", then: [{collect: {from: n, into: all}}, {next: a}]}]
  next: b`,
    entered: ['start', 'a'],
    ctx: { all: [1, 2, 3] },
  },
  {
    name: 'loop.done routes, and does not take the last round from the clause that collects',
    steps: `
- step: start
  loop: {in: [1, 2, 3], iterator: n}
  tool: {kind: noop}
  case:
  - {when: "{{ loop.done }}", then: {next: a}}
  - {when: "{{ event.name == 'call.done' }}", then: {collect: {from: n, into: all}}}
  next: b`,
    entered: ['start', 'a'],
    ctx: { all: [1, 2, 3] },
  },
  {
    name: 'loop.done as an event routes as well',
    steps: `
- step: start
  loop: {in: [1, 2], iterator: n, mode: parallel}
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'loop.done' }}", then: {next: a}}]
  next: b`,
    entered: ['start', 'a'],
  },
  {
    name: 'loop.done together with another event routes at the end',
    steps: `
- step: start
  loop: {in: [1, 2], iterator: n}
  tool: {kind: noop}
  case:
  - {when: "{{ event.name == 'step.exit' and loop.done }}", then: {next: a}}
  - {when: "{{ event.name == 'step.exit' }}", then: {collect: {from: n, into: all}}}
  next: b`,
    entered: ['start', 'a'],
    ctx: { all: [1, 2] },
  },
  {
    name: 'what a clause of loop.done sets and calls is done once, after all rounds',
    steps: `
- step: start
  loop: {in: [1, 2, 3], iterator: n, mode: parallel}
  tool: {kind: noop}
  case:
  - {when: "{{ event.name == 'call.done' }}", then: {collect: {from: n, into: all}}}
  - when: "{{ loop.done }}"
    then: [{set: {count: "{{ vars.all | length }}"}}, {collect: {from: "{{ vars.count }}", into: counts}}, {call: b}, {next: a}]
- {step: a, tool: {kind: noop}, case: [{when: "{{ vars.count == 3 }}", then: {next: c}}]}`,
    pick: (open) => open - 1,
    entered: ['start', 'start:done', 'a', 'b', 'c'],
    ctx: { all: [3, 2, 1], count: 3, counts: [3] },
  },
  {
    name: 'a clause of loop.done that does not route leaves that to the step',
    steps: `
- step: start
  loop: {in: [1, 2], iterator: n}
  tool: {kind: noop}
  case: [{when: "{{ loop.done }}", then: {set: {over: true}}}]
  next: a
- {step: a, tool: {kind: noop}, case: [{when: "{{ result.n == 1 }}", then: {next: b}}]}`,
    gives: { start: ({ index }) => ({ n: index }), a: { n: 1 } },
    entered: ['start', 'start:done', 'a', 'b'],
    ctx: { over: true },
  },
  {
    name: 'a loop over nothing is done at once',
    steps: `
- step: start
  loop: {in: [], iterator: n}
  tool: {kind: noop}
  case: [{when: "{{ loop.done }}", then: {next: a}}]
  next: b`,
    entered: ['start', 'a'],
  },
  {
    name: 'the result of a loop is that of the last round',
    steps: `
- {step: start, loop: {in: [1, 2, 3], iterator: n, mode: parallel}, tool: {kind: noop}, next: a}
- step: a
  case: [{when: "{{ start == 20 and start.data == 20 and result == 20 }}", then: {next: b}}]`,
    gives: { start: ({ index }) => (index ?? 0) * 10 },
    entered: ['start', 'a', 'b'],
    results: { start: 20 },
  },
  {
    name: 'a round that fails is routed at the end of the loop by the error',
    steps: `
- step: start
  loop: {in: [1, 2, 3], iterator: n, mode: parallel}
  tool: {kind: noop}
  case:
  - {when: "{{ error is defined }}", then: {next: a}}
  - {when: "{{ event.name == 'call.done' }}", then: {collect: {from: n, into: all}}}
  next: b`,
    gives: { start: ({ index }) => (index === 1 ? failing : {}) },
    entered: ['start', 'a'],
    ctx: { all: [1, 3] },
  },
  {
    name: 'rounds that call a step beside issue it once for each',
    steps: `
- step: start
  loop: {in: [1, 2], iterator: n}
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'call.done' }}", then: {call: {step: b, args: {n: "{{ n }}"}}}}]
  next: a
- {step: b, tool: {kind: noop}}`,
    entered: ['start', 'b', 'b', 'a'],
    args: { b: { n: 2 } },
  },
  {
    name: 'a kind of its own for loops is a loop',
    steps: `
- step: start
  tool: {kind: iterator, collection: [1, 2], element: n, task: {kind: noop}}
  case: [{when: "{{ event.name == 'call.done' }}", then: {collect: {from: n, into: all}}}]
  next: a`,
    entered: ['start', 'a'],
    ctx: { all: [1, 2] },
  },
  // Steps beside the flow.
  {
    name: 'a call goes on from its own next, and the caller does not wait for it',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{then: {call: b}}]
  next: a
- {step: a, tool: {kind: noop}}
- {step: b, tool: {kind: noop}, next: c}
- {step: c, tool: {kind: noop}}`,
    entered: ['start', 'a', 'b', 'c'],
  },
  {
    name: 'a step that is called and led to runs twice',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{then: [{call: a}, {next: a}]}]
- {step: a, tool: {kind: noop}}`,
    entered: ['start', 'a', 'a'],
  },
  {
    name: 'several calls at once, with arguments',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{then: {call: [{step: a, args: {to: c}}, b]}}]
- {step: a, tool: {kind: noop}, next: c}`,
    entered: ['start', 'a', 'b', 'c'],
    args: { a: { to: 'c' } },
  },
  // Entering.
  {
    name: 'what is set as a step is entered is there for its tool and its routes',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ event.name == 'step.enter' }}", then: {set: {began: true, n: "{{ (vars.n | default(0)) + 1 }}"}}}
  - {when: "{{ vars.began }}", then: {next: a}}`,
    entered: ['start', 'a'],
    ctx: { began: true, n: 1 },
  },
  {
    name: 'a call as a step is entered goes beside it',
    steps: `
- step: start
  tool: {kind: noop}
  case: [{when: "{{ event.name == 'step.enter' }}", then: {call: b}}]
  next: a
- {step: a, tool: {kind: noop}}
- {step: b, tool: {kind: noop}}`,
    entered: ['start', 'b', 'a'],
  },
  {
    name: 'routing as a step is entered goes elsewhere',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ event.name == 'step.enter' and workload.skip }}", then: {next: a}}
  - {when: "{{ event.name == 'call.done' }}", then: {next: b}}
  next: c`,
    workload: { skip: true },
    entered: ['start', 'a'],
    ctx: { '_enter:start': 0 },
  },
  {
    name: 'a condition on entering that does not hold changes nothing',
    steps: `
- step: start
  tool: {kind: noop}
  case:
  - {when: "{{ event.name == 'step.enter' and workload.skip }}", then: {next: a}}
  - {when: "{{ event.name == 'call.done' }}", then: {next: b}}`,
    workload: { skip: false },
    entered: ['start', 'b'],
    ctx: { '_enter:start': null },
  },
]

for (const { name, steps, workload = {}, gives = {}, pick, ...expected } of CASES) {
  t.test(`seed: ${name}`, async (t) => {
    const written = steps.trim()
    const missing = ['a', 'b', 'c'].filter(
      (step) => !new RegExp(`^- \\{?step: ${step}\\b`, 'm').test(written),
    )
    const source = `metadata: {path: p}\ndialect: seed\nworkflow:\n${written}\n${missing.map((step) => `- {step: ${step}}\n`).join('')}`
    const run = simulate(source, { gives, workload, ...(pick === undefined ? {} : { pick }) })
    t.equal(run.status, expected.status ?? 'COMPLETED')
    t.equal(run.error, expected.error ?? null)
    t.strictSame(run.entered, expected.entered)
    if (expected.ctx !== undefined) t.strictSame(run.ctx, expected.ctx)
    for (const [step, args] of Object.entries(expected.args ?? {})) {
      const issued = run.events.findLast(
        (event) => event.event_type === 'command.issued' && event.node_name === step,
      )
      t.strictSame(issued?.context?.args, args)
    }
    for (const [step, result] of Object.entries(expected.results ?? {}))
      t.strictSame(run.results[step], result)
  })
}

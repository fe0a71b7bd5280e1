import t from 'tap'
import { simulate } from '../../support/simulate.ts'

t.test(
  'set: a step sets ctx before its arcs are looked at, and an arc sets before the target begins',
  async (t) => {
    const run = simulate(
      `metadata: {path: p}
workload: {limit: 2}
workflow:
- step: start
  tool: {kind: noop}
  set: {ctx.n: "{{ start.n }}", bare: "{{ limit }}"}
  next:
    arcs:
    - {step: a, when: "{{ ctx.n == 2 and bare == 2 }}", set: {ctx.way: left}}
    - {step: b}
- step: a
  tool: {kind: noop}
  next: {arcs: [{step: c, when: "{{ way == 'left' }}"}]}
- {step: b}
- {step: c}`,
      { gives: { start: { n: 2 } } },
    )
    t.same(run.entered, ['start', 'a', 'c'])
    t.same(run.ctx, { n: 2, bare: 2, way: 'left' })
  },
)

t.test('set: all right-hand sides of one block see the state before the block', async (t) => {
  const run = simulate(`metadata: {path: p}
workflow:
- step: start
  tool: {kind: noop}
  set: {ctx.a: 1, ctx.b: 2}
  next: {arcs: [{step: swap}]}
- step: swap
  tool: {kind: noop}
  set: {ctx.a: "{{ ctx.b }}", ctx.b: "{{ ctx.a }}", iter.x: 1, step.y: 2}`)
  t.same(run.ctx, { a: 2, b: 1 })
})

t.test('set: values keep their type, and large ones come back whole', async (t) => {
  const big = 'x'.repeat(5000)
  const run = simulate(
    `metadata: {path: p}
workflow:
- step: start
  tool: {kind: noop}
  set: {ctx.list: "{{ start.list }}", ctx.zero: "{{ start.zero }}", ctx.nothing: "{{ start.nothing }}", ctx.big: "{{ start.big }}"}
  next: {arcs: [{step: a}]}
- step: a
  tool: {kind: noop}
  set: {ctx.length: "{{ ctx.big | length }}"}`,
    { gives: { start: { list: [1, '2'], zero: 0, nothing: null, big } } },
  )
  t.same(run.ctx, { list: [1, '2'], zero: 0, nothing: null, big, length: 5000 })
  t.ok(JSON.stringify(run.state).length < 1500, 'the state holds no large value')
})

t.test('set: a step whose set cannot be evaluated fails', async (t) => {
  const run = simulate(`metadata: {path: p}
workflow:
- {step: start, tool: {kind: noop}, set: {ctx.a: "{{ 1 / 0 }}"}}`)
  t.equal(run.status, 'FAILED')
  t.match(run.error ?? '', /cannot be evaluated/)
})

t.test('result: at the entry of a step it is the result of the one that led there', async (t) => {
  const run = simulate(
    `metadata: {path: p}
workflow:
- step: start
  tool: {kind: noop}
  next: {arcs: [{step: router}]}
- step: router
  next: {arcs: [{step: a, when: "{{ result.n == 7 }}"}]}
- {step: a}`,
    { gives: { start: { n: 7 } } },
  )
  t.same(run.entered, ['start', 'router', 'a'])
})

t.test('admit: a step that is refused is skipped and its branch ends', async (t) => {
  const run = simulate(`metadata: {path: p}
workload: {open: false}
workflow:
- step: start
  tool: {kind: noop}
  next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: b}]}
- step: a
  spec: {policy: {admit: {rules: [{when: "{{ open }}", then: {allow: true}}, {else: {then: {allow: false}}}]}}}
  tool: {kind: noop}
  next: {arcs: [{step: end}]}
- {step: b, tool: {kind: noop}, next: {arcs: [{step: end}]}}
- {step: end, tool: {kind: noop}}`)
  t.same(run.entered, ['start', 'b', 'end'])
  t.equal(run.events.filter((event) => event.event_type === 'step.skipped').length, 1)
  t.equal(run.status, 'COMPLETED')
})

t.test('args: what an arc hands over goes with the command', async (t) => {
  const run = simulate(
    `metadata: {path: p}
workflow:
- step: start
  tool: {kind: noop}
  next: {arcs: [{step: a, args: {id: "{{ start.id }}"}}]}
- {step: a, tool: {kind: noop}}`,
    { gives: { start: { id: '9007199254740993123' } } },
  )
  const issued = run.events.find((event) => event.event_type === 'command.issued' && event.node_name === 'a')
  t.same(issued?.context?.args, { id: '9007199254740993123' })
})

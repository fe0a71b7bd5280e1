import t from 'tap'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { simulate } from '../../support/simulate.ts'

const playbook = (workflow: string) => `metadata: {path: p}\nworkflow:\n${workflow}`
const warnings = (workflow: string) =>
  compilePlaybook(playbook(workflow), { toolKinds: ['noop'] }).warnings.map(
    ({ path, message }) => `${path}: ${message}`,
  )

t.test('cycles: steps without tools that go round without an end fail their execution', async (t) => {
  const ran = simulate(
    playbook(`- {step: start, next: {arcs: [{step: a}]}}
- {step: a, set: {ctx.n: "{{ (ctx.n | default(0)) + 1 }}"}, next: {arcs: [{step: b}]}}
- {step: b, next: {arcs: [{step: a}]}}`),
  )
  t.equal(ran.status, 'FAILED')
  t.match(ran.error, /entered 10000 steps, the last of them without a tool between/)
  t.equal(ran.entered.length, 10_000)
})

t.test('cycles: rounds with a tool in them go on for more steps than that', async (t) => {
  const row = Array.from(
    { length: 300 },
    (_, i) => `- {step: s${i}, next: {arcs: [{step: s${i + 1}}]}}`,
  ).join('\n')
  const ran = simulate(
    playbook(`- {step: start, next: {arcs: [{step: s0}]}}
${row}
- {step: s300, tool: {kind: noop}, set: {ctx.n: "{{ (ctx.n | default(0)) + 1 }}"}, next: {arcs: [{step: s0, when: "{{ ctx.n < 40 }}"}]}}`),
  )
  t.equal(ran.status, 'COMPLETED')
  t.equal(ran.entered.length, 1 + 40 * 301)
  t.equal(ran.state.idle, undefined)
})

t.test('cycles: loops over nothing are steps without a tool', async (t) => {
  const ran = simulate(
    `executor: {spec: {max_steps: 50}}\n${playbook('- {step: start, loop: {in: []}, tool: {kind: noop}, next: {arcs: [{step: start}]}}')}`,
  )
  t.match(ran, { status: 'FAILED', error: /entered 50 steps/ })
})

t.test('cycles: one that nothing can end is told where it begins', async (t) => {
  t.same(warnings('- {step: start, next: {arcs: [{step: start}]}}'), [
    'workflow[0]: step "start" leads to itself without an end: it has no tool, and no arc that leads elsewhere',
  ])
  t.same(
    warnings(`- {step: start, tool: {kind: noop}, next: {arcs: [{step: a}]}}
- {step: a, next: {arcs: [{step: b, when: "{{ ctx.x is defined }}"}, {step: b}]}}
- {step: b, next: {arcs: [{step: a, when: "{{ true }}"}]}}`),
    [
      'workflow[1]: steps a, b lead to each other without an end: none has a tool, and no arc leads elsewhere',
    ],
  )
})

t.test('cycles: one that has a tool, a way out, or a condition is not told', async (t) => {
  for (const workflow of [
    '- {step: start, tool: {kind: noop}, next: {arcs: [{step: start}]}}',
    '- {step: start, next: {arcs: [{step: end, when: "{{ workload.x is defined }}"}, {step: start}]}}\n- {step: end}',
    '- {step: start, next: {arcs: [{step: start, when: "{{ workload.x is defined }}"}]}}',
    '- {step: start, spec: {policy: {admit: {rules: [{when: "{{ workload.x is defined }}", then: {allow: false}}]}}}, next: {arcs: [{step: start}]}}',
  ]) {
    t.same(warnings(workflow), [], workflow)
  }
})

t.test('a turn over thousands of runs leaves what it began from as it was', async (t) => {
  const names = Array.from({ length: 500 }, (_, i) => `s${i}`)
  const fan = `- {step: start, next: [${names.join(', ')}]}\n${names.map((name) => `- {step: ${name}, tool: {kind: noop}, next: end}`).join('\n')}\n- {step: end, tool: {kind: noop}}`
  const first = simulate(playbook(fan))
  const other = simulate(playbook(fan), { pick: (open) => open - 1 })
  t.equal(first.entered.length, 502)
  t.same(first.entered.toSorted(), other.entered.toSorted())
  t.same(first.state, { ...other.state, last: first.state.last })
})

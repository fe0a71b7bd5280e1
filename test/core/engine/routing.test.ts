import t from 'tap'
import { type Gives, simulate } from '../../support/simulate.ts'

/** Steps as `name -> targets`; conditions after `?`. `[mode]` in front of the targets. */
function playbook(steps: Record<string, string>, extra = ''): string {
  const workflow = Object.entries(steps).map(([name, next]) => {
    const mode = next.startsWith('[inclusive]') ? 'inclusive' : 'exclusive'
    const arcs = next
      .replace('[inclusive]', '')
      .split('|')
      .map((arc) => arc.trim())
      .filter((arc) => arc !== '')
      .map((arc) => {
        const [step, when] = arc.split('?').map((part) => part.trim())
        return { step, ...(when === undefined ? {} : { when: `{{ ${when} }}` }) }
      })
    const tool = name.startsWith('_') ? {} : { tool: { kind: 'noop' } }
    return JSON.stringify({
      step: name,
      ...tool,
      ...(arcs.length > 0 ? { next: { spec: { mode }, arcs } } : {}),
    })
  })
  return `metadata: {path: p}\n${extra}\nworkflow:\n${workflow.map((step) => `- ${step}`).join('\n')}`
}

interface Case {
  name: string
  steps: Record<string, string>
  gives?: Gives
  extra?: string
  entered: string[]
  status?: string
  error?: string
}

const CASES: Case[] = [
  { name: 'a single step ends the run', steps: { start: '' }, entered: ['start'] },
  {
    name: 'a chain runs in order',
    steps: { start: 'a', a: 'b', b: 'end', end: '' },
    entered: ['start', 'a', 'b', 'end'],
  },
  {
    name: 'exclusive takes the first arc that matches',
    steps: { start: 'a ? false | b ? true | c', a: '', b: '', c: '' },
    entered: ['start', 'b'],
  },
  {
    name: 'a bare last arc is the default',
    steps: { start: 'a ? false | c', a: '', c: '' },
    entered: ['start', 'c'],
  },
  {
    name: 'inclusive takes every arc that matches',
    steps: { start: '[inclusive] a ? true | b ? false | c', a: '', b: '', c: '' },
    entered: ['start', 'a', 'c'],
  },
  {
    name: 'arcs of which none matches end the branch',
    steps: { start: 'a ? false', a: '' },
    entered: ['start'],
  },
  {
    name: 'a step without tools only routes',
    steps: { start: '_r', _r: 'a', a: '' },
    entered: ['start', '_r', 'a'],
  },
  {
    name: 'when sees the own result by step name',
    steps: { start: 'a ? start.n == 2 | b', a: '', b: '' },
    gives: { start: { n: 2 } },
    entered: ['start', 'a'],
  },
  {
    name: 'when sees the result of an earlier step',
    steps: { start: 'a', a: 'b ? start.n == 2', b: '' },
    gives: { start: { n: 2 } },
    entered: ['start', 'a', 'b'],
  },
  {
    name: 'when sees .data of a result without that key',
    steps: { start: 'a ? start.data.n == 2', a: '' },
    gives: { start: { n: 2 } },
    entered: ['start', 'a'],
  },
  {
    name: 'event.name is call.done after success',
    steps: { start: "a ? event.name == 'call.done'", a: '' },
    entered: ['start', 'a'],
  },
  {
    name: 'a join waits for both branches and runs once',
    steps: { start: '[inclusive] a | b', a: 'end', b: 'end', end: '' },
    entered: ['start', 'a', 'b', 'end'],
  },
  {
    name: 'a join of branches of different length runs once, last',
    steps: { start: '[inclusive] a | b', a: 'x', x: 'y', y: 'end', b: 'end', end: '' },
    entered: ['start', 'a', 'b', 'x', 'y', 'end'],
  },
  {
    name: 'a branch that was never taken is not waited for',
    steps: { start: 'a | b', a: 'end', b: 'end', end: '' },
    entered: ['start', 'a', 'end'],
  },
  {
    name: 'a branch that ends without an arc does not hold a join up',
    steps: { start: '[inclusive] a | b', a: 'end ? false', b: 'end', end: '' },
    entered: ['start', 'a', 'b', 'end'],
  },
  {
    name: 'a cycle goes round until its condition ends it',
    steps: { start: 'a', a: 'a ? a.n < 3 | end', end: '' },
    gives: { a: ({ times }) => ({ n: times }) },
    entered: ['start', 'a', 'a', 'a', 'end'],
  },
  {
    name: 'a back edge does not make a join',
    steps: { start: 'a', a: 'b', b: 'a ? b.n < 2 | end', end: '' },
    gives: { b: ({ times }) => ({ n: times }) },
    entered: ['start', 'a', 'b', 'a', 'b', 'end'],
  },
  {
    name: 'two tokens for one step that waits become one',
    steps: { start: '[inclusive] a | b | c', a: 'j', b: 'j', c: 'j', j: 'end', end: '' },
    entered: ['start', 'a', 'b', 'c', 'j', 'end'],
  },
  {
    name: 'nested joins each run once',
    steps: {
      start: '[inclusive] a | b',
      a: '[inclusive] c | d',
      b: 'j2',
      c: 'j1',
      d: 'j1',
      j1: 'j2',
      j2: '',
    },
    entered: ['start', 'a', 'b', 'c', 'd', 'j1', 'j2'],
  },
  {
    name: 'an error that nothing catches fails the run',
    steps: { start: 'a', a: '' },
    gives: { start: new Error('boom') },
    entered: ['start'],
    status: 'FAILED',
    error: 'boom',
  },
  {
    name: 'an arc with a true condition of its own catches an error',
    steps: { start: "a ? event.name == 'call.error' | b", a: '', b: '' },
    gives: { start: new Error('boom') },
    entered: ['start', 'a'],
  },
  {
    name: 'an arc whose condition is false does not catch',
    steps: { start: "a ? event.name == 'call.done' | b", a: '', b: '' },
    gives: { start: new Error('boom') },
    entered: ['start'],
    status: 'FAILED',
    error: 'boom',
  },
  {
    name: 'a caught error can be read',
    steps: { start: "a ? error.message == 'boom'", a: '' },
    gives: { start: new Error('boom') },
    entered: ['start', 'a'],
  },
  {
    name: 'error is undefined after success',
    steps: { start: 'a ? error is defined | b', a: '', b: '' },
    entered: ['start', 'b'],
  },
  {
    name: 'on_error: continue follows arcs as after success',
    steps: { start: 'a', a: '' },
    extra: 'executor: {spec: {on_error: continue}}',
    gives: { start: new Error('boom') },
    entered: ['start', 'a'],
  },
  {
    name: 'a failure lets running steps end and starts no new ones',
    steps: { start: '[inclusive] a | b', a: 'x', b: 'y', x: '', y: '' },
    gives: { a: new Error('boom') },
    entered: ['start', 'a', 'b'],
    status: 'FAILED',
    error: 'boom',
  },
  {
    name: 'the entry step can be named',
    steps: { first: 'a', a: '' },
    extra: 'executor: {spec: {entry_step: first}}',
    entered: ['first', 'a'],
  },
  {
    name: 'the final step runs last, whatever led to it',
    steps: { start: 'a', a: '', bye: '' },
    extra: 'executor: {spec: {final_step: bye}}',
    entered: ['start', 'a', 'bye'],
  },
  {
    name: 'the final step runs after a failure too, and the run is FAILED',
    steps: { start: 'a', a: '', bye: '' },
    extra: 'executor: {spec: {final_step: bye}}',
    gives: { start: new Error('boom') },
    entered: ['start', 'bye'],
    status: 'FAILED',
    error: 'boom',
  },
  {
    name: 'a condition that cannot be evaluated fails its step',
    steps: { start: 'a ? 1 / 0', a: '' },
    entered: ['start'],
    status: 'FAILED',
  },
  {
    name: 'when: a text condition follows the truth rules',
    steps: { start: "a ? 'no' | b ? 'yes'", a: '', b: '' },
    entered: ['start', 'b'],
  },
]

for (const { name, steps, gives, extra, entered, status = 'COMPLETED', error } of CASES) {
  t.test(`routing: ${name}`, async (t) => {
    const run = simulate(playbook(steps, extra), gives === undefined ? {} : { gives })
    t.same(run.entered, entered)
    t.equal(run.status, status)
    if (error !== undefined) t.equal(run.error, error)
    if (status === 'COMPLETED') t.equal(run.error, null)
  })
}

t.test(
  'routing: a step that routes through thousands of others without tools gives way and goes on',
  async (t) => {
    const steps: Record<string, string> = { start: '_0' }
    for (let i = 0; i < 1000; i++) steps[`_${i}`] = i < 999 ? `_${i + 1}` : ''
    const run = simulate(playbook(steps))
    t.equal(run.status, 'COMPLETED')
    t.equal(run.entered.length, 1001)
  },
)

t.test('routing: forms of next in the first dialect', async (t) => {
  const source = (next: string) => `metadata: {path: p}
workflow:
- {step: start, tool: {kind: noop}, next: ${next}}
- {step: a, tool: {kind: noop}, next: end}
- {step: b, tool: {kind: noop}, next: end}
- {step: end, tool: {kind: noop}}`
  t.same(simulate(source('a')).entered, ['start', 'a', 'end'])
  t.same(simulate(source('{step: b}')).entered, ['start', 'b', 'end'])
  t.same(simulate(source('[a, b]')).entered, ['start', 'a', 'b', 'end'])
  t.same(simulate(source('[{step: a}, {step: b}]')).entered, ['start', 'a', 'b', 'end'])
  t.same(simulate(source("[{when: '{{ false }}', then: [{step: a}]}, {else: [{step: b}]}]")).entered, [
    'start',
    'b',
    'end',
  ])
  t.same(simulate(source("[{when: '{{ true }}', then: [a, b]}, {else: end}]")).entered, [
    'start',
    'a',
    'b',
    'end',
  ])
})

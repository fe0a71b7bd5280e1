import t from 'tap'
import type { Json } from '../../../core/schemas/json.ts'
import { type Gives, simulate } from '../../support/simulate.ts'

function looped(list: string, spec: string, extra = ''): string {
  return `metadata: {path: p}
workload: {items: [a, b, c], object: {x: 1, y: 2}, text: "[1, 2]", n: 3, none: null}
workflow:
- step: start
  loop: {in: ${JSON.stringify(list)}, iterator: it, spec: ${spec}}
  tool: {kind: noop}
  ${extra}
  next: {arcs: [{step: done, when: "{{ event.name == 'loop.done' }}"}, {step: other}]}
- {step: done, tool: {kind: noop}}
- {step: other, tool: {kind: noop}}`
}

const byIndex: Gives = { start: ({ index }) => ({ i: index }) as Json }

const LISTS: [string, string, number][] = [
  ['a list of the workload', '{{ items }}', 3],
  ['an object gives pairs', '{{ object }}', 2],
  ['a whole number counts', '{{ n }}', 3],
  ['a text with JSON is read', '{{ text }}', 2],
  ['an empty list has no iteration and is done all the same', '{{ [] }}', 0],
]
for (const [name, list, total] of LISTS) {
  for (const mode of ['sequential', 'parallel']) {
    t.test(`loop: ${name} (${mode})`, async (t) => {
      const run = simulate(looped(list, `{mode: ${mode}}`), { gives: byIndex })
      t.equal(run.status, 'COMPLETED')
      t.same(run.entered, ['start', 'done'])
      const results = Array.from({ length: total }, (_, i) => ({ i }))
      t.same(run.results.start, { results, data: results, stats: { total, success: total, failed: 0 } })
      t.equal(run.events.filter((event) => event.event_type === 'loop.done').length, 1)
    })
  }
}

t.test('loop: null fails the step and says what was expected', async (t) => {
  const run = simulate(looped('{{ none }}', '{mode: parallel}'))
  t.equal(run.status, 'FAILED')
  t.match(run.error ?? '', /loop.in of step "start" gave null; a list/)
})

t.test('loop: a number that cannot be counted to fails the step and says which can', async (t) => {
  for (const number of ['10000001', '-3', '2.5']) {
    const run = simulate(looped(`{{ ${number} }}`, '{mode: parallel}'))
    t.equal(run.status, 'FAILED')
    t.match(
      run.error ?? '',
      `gave ${number}; a list, an object or a whole number from 0 to 1000000 was expected`,
    )
  }
})

t.test('loop: sequential has one in flight, parallel as many as it may', async (t) => {
  t.equal(simulate(looped('{{ n }}', '{mode: sequential}')).widest, 1)
  t.equal(simulate(looped('{{ n }}', '{mode: parallel, max_in_flight: 2}')).widest, 2)
  t.equal(simulate(looped('{{ n }}', '{mode: parallel}')).widest, 3)
  t.equal(simulate(looped('{{ 20 }}', '{mode: parallel, max_in_flight: 1}')).widest, 1)
})

t.test('loop: results are in the order of the list whatever the order of their ends', async (t) => {
  const run = simulate(looped('{{ 20 }}', '{mode: parallel, max_in_flight: 6}'), {
    gives: byIndex,
    pick: (open) => open - 1,
  })
  const { results } = run.results.start as { results: { i: number }[] }
  t.same(
    results.map(({ i }) => i),
    Array.from({ length: 20 }, (_, i) => i),
  )
})

t.test(
  'loop: a failing iteration of a parallel loop lets the others end, is counted and fails the step',
  async (t) => {
    const gives: Gives = { start: ({ index }) => (index === 1 ? new Error('no b') : { i: index }) }
    const run = simulate(looped('{{ items }}', '{mode: parallel, max_in_flight: 2}'), { gives })
    t.same((run.results.start as { stats: Json }).stats, { total: 3, success: 2, failed: 1 })
    t.same(run.entered, ['start', 'done'], 'an arc with a condition of its own catches it')
  },
)

t.test('loop: a failing iteration of a sequential loop stops it', async (t) => {
  const gives: Gives = { start: ({ index }) => (index === 1 ? new Error('no b') : { i: index }) }
  const source = looped('{{ items }}', '{mode: sequential}').replace(/next: .*/, '')
  const run = simulate(source, { gives })
  t.equal(run.status, 'FAILED')
  t.equal(run.error, 'no b')
  t.equal(run.events.filter((event) => event.event_type === 'command.issued').length, 2)
})

t.test('loop: one in which all iterations fail ends', async (t) => {
  const run = simulate(looped('{{ items }}', '{mode: parallel}').replace(/next: .*/, ''), {
    gives: { start: new Error('x') },
  })
  t.equal(run.status, 'FAILED')
  t.same((run.results.start as { stats: Json }).stats, { total: 3, success: 0, failed: 3 })
})

t.test('loop: the state keeps numbers, never the items', async (t) => {
  const run = simulate(looped('{{ big }}', '{mode: parallel}'), {
    workload: { big: Array.from({ length: 2000 }, (_, i) => `item ${i}`) },
    pick: (open) => open - 1,
  })
  t.equal(run.status, 'COMPLETED')
  const issued = run.events.filter(
    (event) => event.event_type === 'command.issued' && event.node_name === 'start',
  )
  t.equal(issued.length, 2000)
  t.ok(issued.every((event) => JSON.stringify(event).length < 600))
})

t.test('loop: set sees the loop result', async (t) => {
  const run = simulate(
    looped(
      '{{ items }}',
      '{mode: parallel}',
      'set: {ctx.count: "{{ start.stats.total }}", ctx.last: "{{ start.data[2].i }}"}',
    ),
    { gives: byIndex },
  )
  t.same(run.ctx, { count: 3, last: 2 })
})

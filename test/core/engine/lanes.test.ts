import t from 'tap'
import { decide, nothingYet } from '../../../core/engine/decide.ts'
import { learn } from '../../../core/engine/known.ts'
import { makePlan } from '../../../core/engine/plan.ts'
import { type PoolRule, poolsBy } from '../../../core/engine/pools.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { printPlaybook } from '../../../core/playbook/print.ts'

const ABOUT = { catalogId: '1', path: 'reports/daily', version: 1 }
const plan = (workflow: string, head = '') =>
  makePlan(
    compilePlaybook(`metadata: {path: reports/daily}\n${head}\nworkflow:\n${workflow}`).playbook,
    ABOUT,
  )

/** Lanes and pools of the commands of a run, in the order in which they are issued. */
function placesOf(
  made: ReturnType<typeof plan>,
  about: { lane?: string; rules?: PoolRule[] } = {},
): string[] {
  let id = 1
  const env = {
    ...{ now: '2026-01-01T00:00:00.000Z', lane: 'normal', effectOf: () => 'pure' as const },
    newId: () => String(++id),
    poolOf: poolsBy(about.rules ?? []),
  }
  const meta = about.lane === undefined ? {} : { lane: about.lane }
  let known = nothingYet('1', null, {})
  let decision = decide(made, known, [{ type: 'start', workload: {}, meta }], env)
  const places: string[] = []
  while (decision.commands.length > 0) {
    const [command] = decision.commands
    places.push(`${command!.node_name}:${command!.lane}/${command!.pool}`)
    known = learn(known, decision.state, decision.events)
    decision = decide(
      made,
      known,
      [
        {
          ...{
            type: 'report',
            command_id: command!.queue_id,
            step: command!.node_name,
            worker_id: 'w',
            attempt: 1,
          },
          started_at: null,
          outcome: {
            ...{ status: 'ok', result: 1, error: null, set: {} },
            meta: { calls: [], facets: {}, duration_ms: 1 },
          },
        } as never,
      ],
      env,
    )
  }
  return places
}

const TWO = `- {step: start, tool: {kind: noop}, next: {arcs: [{step: end}]}}
- {step: end, tool: {kind: noop}}`

t.test('lane: what nobody names is normal, and a start says it for all', async (t) => {
  t.same(placesOf(plan(TWO)), ['start:normal/', 'end:normal/'])
  t.same(placesOf(plan(TWO), { lane: 'low' }), ['start:low/', 'end:low/'])
})

t.test('lane: a step wins over the run, and an arc over the step', async (t) => {
  const made = plan(`- {step: start, tool: {kind: noop}, spec: {lane: high}, next: {arcs: [{step: mid}]}}
- {step: mid, tool: {kind: noop}, next: {arcs: [{step: end, spec: {lane: urgent}}]}}
- {step: end, tool: {kind: noop}, spec: {lane: high}}`)
  t.same(placesOf(made, { lane: 'low' }), ['start:high/', 'mid:low/', 'end:urgent/'])
  t.same([...made.lanes].sort(), ['high', 'urgent'])
})

t.test('lane: an arc gives it to every round of a loop', async (t) => {
  const made = plan(`- {step: start, next: {arcs: [{step: each, spec: {lane: low}}]}}
- {step: each, loop: {in: [1, 2], iterator: n, spec: {mode: sequential}}, tool: {kind: noop}}`)
  t.same(placesOf(made), ['each:low/', 'each:low/'])
})

t.test('lane: it is printed as it was read, and what is no name is a fault', async (t) => {
  const text = `metadata: {path: p}
executor: {spec: {lane: low}}
workflow:
- {step: start, tool: {kind: noop}, spec: {lane: high}, next: {arcs: [{step: end, spec: {lane: high}}]}}
- {step: end, tool: {kind: noop}}`
  const { playbook } = compilePlaybook(text)
  t.match(playbook, { lane: 'low', steps: [{ lane: 'high', next: { arcs: [{ lane: 'high' }] } }, {}] })
  const again = compilePlaybook(printPlaybook(playbook)).playbook
  t.same(
    { ...again, steps: again.steps.map((step) => ({ ...step, line: 0 })) },
    { ...playbook, steps: playbook.steps.map((step) => ({ ...step, line: 0 })) },
  )
  t.throws(() => compilePlaybook(text.replace('lane: low', 'lane: "{{ x }}"')), {
    message: /a name of letters/,
  })
})

t.test('lane: one that is not there is a fault where it is written, with the near one', async (t) => {
  const text = `metadata: {path: p}
workflow:
- {step: start, tool: {kind: noop}, spec: {lane: hihg}}`
  t.doesNotThrow(() => compilePlaybook(text))
  t.throws(() => compilePlaybook(text, { toolKinds: ['noop'], lanes: ['high', 'normal'] }), {
    message: /line 3.*lane "hihg" is unknown; there is high, normal\..*high/s,
  })
  t.throws(() => compilePlaybook(text, { toolKinds: ['noop'], lanes: ['normal'] }), {
    message: /noetlctl plugins install @noetl\/lanes/,
  })
})

t.test('pool: the first rule of kind, step and path that holds says it', async (t) => {
  const rules = [
    { step: 'end', path: 'reports/', pool: 'reports' },
    { kind: 'noop', pool: 'small' },
  ]
  t.same(placesOf(plan(TWO), { rules }), ['start:normal/small', 'end:normal/reports'])
  t.same(placesOf(plan(TWO), { rules: [{ path: 'other/', pool: 'x' }] }), ['start:normal/', 'end:normal/'])
})

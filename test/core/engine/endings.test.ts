import t from 'tap'
import { type Decision, decide, type Input, nothingYet, type Report } from '../../../core/engine/decide.ts'
import { type Known, learn } from '../../../core/engine/known.ts'
import { makePlan } from '../../../core/engine/plan.ts'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import type { Outcome } from '../../../core/schemas/command.ts'

const meta = { duration_ms: 1, calls: 1, facets: {} }
const outcomes: Record<string, Outcome> = {
  ok: { status: 'ok', error: null, result: 1, set: {}, meta },
  waiting: {
    ...{ status: 'waiting', error: null, result: null, set: {}, meta, resume: {} },
    child: { path: 'child', version: null, payload: {}, return_step: null, timeout_seconds: null },
  },
  retrying: {
    ...{ status: 'retrying', error: null, result: null, set: {}, meta },
    resume: {},
    delay_seconds: 9,
  },
}
const endings: Input[] = [
  { type: 'cancel', reason: 'enough' },
  { type: 'finalize', status: 'COMPLETED', error: null },
]

/** An execution of a loop whose first iteration is under way, and what its report leads to beside an end. */
function decideTogether(outcome: Outcome, ending: Input): Decision {
  const { playbook } = compilePlaybook(`metadata: {path: p}
workflow: [{step: start, loop: {in: [1, 2, 3], iterator: x, spec: {mode: sequential}}, tool: {kind: noop}}]`)
  const plan = makePlan(playbook, { catalogId: '1', path: 'p', version: 1 })
  let id = 100
  const env = {
    ...{ now: '2026-01-01T00:00:00.000Z', lane: 'normal' },
    newId: () => String(++id),
    effectOf: () => 'pure' as const,
  }
  const nothing = nothingYet('100', null, {})
  const started = decide(plan, nothing, [{ type: 'start', workload: {}, meta: {} }], env)
  const known: Known = { ...learn(nothing, started.state, started.events), status: 'RUNNING', revision: 1 }
  const command_id = started.commands[0]!.queue_id
  const about = {
    type: 'report',
    command_id,
    step: 'start',
    worker_id: 'w',
    attempt: 1,
    started_at: null,
  } as const
  const report: Report = { ...about, outcome }
  return decide(plan, known, [report, ending], env)
}

for (const [name, outcome] of Object.entries(outcomes)) {
  for (const ending of endings) {
    t.test(
      `endings: ${ending.type} decided together with a report that says ${name} leaves nothing to do`,
      async (t) => {
        const { status, taken, commands, children } = decideTogether(outcome, ending)
        t.not(status, 'RUNNING')
        t.same(taken, [true, true])
        t.same(commands, [], 'no command is put into the queue of an execution that has ended')
        t.same(children, [], 'nothing is begun that it would wait for')
      },
    )
  }
}

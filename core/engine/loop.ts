import type { CallError } from '../schemas/command.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { issueCommand } from './enter.ts'
import type { StepPlan } from './plan.ts'
import { finishStep } from './route.ts'
import type { Turn } from './turn.ts'

/** Begins a loop: the list is taken now, once, and kept in the `loop.started` event. */
export function startLoop(turn: Turn, planned: StepPlan, items: Json[], final: JsonObject): void {
  const id = turn.env.newId(turn.state.last)
  turn.tell({
    event_type: 'loop.started',
    event_id: id,
    node_id: id,
    node_name: planned.step.name,
    node_type: 'loop',
    context: { items },
    meta: { total: items.length, mode: planned.step.loop!.mode, ...final },
  })
  continueLoop(turn, id)
}

/** Issues what fits into the window, or ends the loop when nothing is under way and nothing is to come. */
export function continueLoop(turn: Turn, runId: string): void {
  const run = turn.state.runs[runId]!
  const planned = turn.plan.step(run.step)
  if (run.loop === undefined || planned === undefined) return
  const { mode, maxInFlight } = planned.step.loop!
  const stopped = turn.state.failure !== undefined || (mode === 'sequential' && run.loop.error !== undefined)
  let open = Object.keys(run.open).length
  if (!stopped) {
    for (let index = run.loop.issued; index < run.loop.total && open < maxInFlight; index++, open++) {
      const { previous, args } = run
      issueCommand(turn, planned, {
        run: {
          id: runId,
          index,
          ...(previous === undefined ? {} : { previous }),
          ...(args === undefined ? {} : { args }),
        },
      })
    }
  }
  if (open === 0) endLoop(turn, runId, run.loop.total, run.loop.error ?? null)
}

function endLoop(turn: Turn, runId: string, total: number, error: CallError | null): void {
  const iterations = total === 0 ? [] : turn.iterations(runId)
  const results = iterations.map((iteration) => iteration.result)
  const failed = iterations.filter((iteration) => !iteration.ok).length
  turn.tell({
    event_type: 'loop.done',
    node_id: runId,
    node_name: turn.state.runs[runId]!.step,
    node_type: 'loop',
    status: error === null ? 'ok' : 'error',
    result: { results, data: results, stats: { total, success: results.length - failed, failed } },
  })
  finishStep(turn, runId, error, { facets: {}, meta: {} })
}

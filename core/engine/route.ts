import type { CallError } from '../schemas/command.ts'
import type { State, Token } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { outputOf } from '../template/output.ts'
import { type Scope, StepResult } from '../template/template.ts'
import { enterStep } from './enter.ts'
import type { Plan, StepPlan } from './plan.ts'
import { failureOf } from './problem.ts'
import { isResult, type Turn } from './turn.ts'

/** Steps without tools that one turn goes through before it lets others have theirs. */
const INLINE_STEPS = 200

/** Begins all that may begin, then ends the execution if nothing is left to do. */
export function drain(turn: Turn): void {
  for (let entered = 0; turn.status === 'RUNNING'; entered++) {
    if (turn.state.failure !== undefined) break
    const token = turn.state.held.find((held) => !mustWait(turn.plan, turn.state, held))
    if (token === undefined) break
    if (entered >= INLINE_STEPS) {
      turn.more = true
      return
    }
    enterStep(turn, token)
  }
  if (turn.status !== 'RUNNING' || Object.keys(turn.state.runs).length > 0) return
  const { failure } = turn.state
  const final = turn.plan.playbook.finalStep
  if (final !== undefined && turn.state.final !== true && turn.plan.step(final) !== undefined) {
    enterStep(turn, { step: final, args: {} }, { final: true })
    drain(turn)
    return
  }
  if (failure !== undefined) turn.end('FAILED', failure.error, { step: failure.step })
  else turn.end('COMPLETED', null, {})
}

/**
 * The join rule: a token of a step with several predecessors waits while something else that is active or
 * pending can still reach that step, unless the step itself leads back to it.
 */
export function mustWait(plan: Plan, state: State, token: Token): boolean {
  if (plan.graph.predecessors(token.step).length < 2) return false
  const blocks = (other: string) =>
    other !== token.step && plan.graph.reaches(other, token.step) && !plan.graph.reaches(token.step, other)
  return (
    Object.values(state.runs).some((run) => blocks(run.step)) || state.held.some((held) => blocks(held.step))
  )
}

/** What is told of a call beside its result. */
export interface CallFacts {
  facets: JsonObject
  meta: JsonObject
}

/**
 * A step run has its result: applies the step's `set`, picks arcs, hands tokens on. An error that no arc
 * with a `when` of its own catches fails the execution, unless the playbook says `on_error: continue`.
 */
export function finishStep(turn: Turn, runId: string, error: CallError | null, facts: CallFacts): void {
  const run = turn.state.runs[runId]!
  const planned = turn.plan.step(run.step)
  if (planned === undefined) return
  const result = ownResult(turn, runId)
  const lenient = turn.plan.playbook.onError === 'continue'
  const extras = namesAfter(planned, result, error, facts)
  let failed = error
  let set: JsonObject = {}
  let arcs: { token: Token; set: JsonObject }[] = []
  try {
    const previous = result?.at ?? run.previous
    const scopeWith = (values: JsonObject): Scope =>
      turn.scope(extras, { set: values, ...(previous === undefined ? {} : { previous }) })
    if (failed === null || lenient) set = ctxValues(planned.set().render(scopeWith({})))
    arcs = pickArcs(planned, scopeWith(set), failed === null || lenient).map((arc) => ({
      set: ctxValues(arc.set().render(scopeWith(set))),
      token: {
        step: arc.step,
        args: arc.args().render(scopeWith(set)) as JsonObject,
        from: run.step,
        ...(previous === undefined ? {} : { previous }),
      },
    }))
  } catch (problem) {
    failed = failureOf(problem)
    set = {}
    arcs = []
  }
  const caught = failed !== null && (arcs.length > 0 || lenient)
  const sets = Object.assign({}, set, ...arcs.map((arc) => arc.set)) as JsonObject
  const next = arcs.map((arc) => arc.token)
  turn.tell({
    event_type: 'step.exit',
    node_id: runId,
    node_name: run.step,
    status: failed === null ? 'ok' : 'error',
    context: {
      ...(Object.keys(sets).length > 0 ? { set: sets } : {}),
      ...(next.length > 0 ? { next: next as unknown as Json } : {}),
    },
    meta: {
      ...(caught ? { caught } : {}),
      ...(planned.arcs.length > 0 && next.length === 0 && failed === null ? { no_match: true } : {}),
    },
    ...(failed === null ? {} : { error: failed as unknown as Json }),
  })
}

interface OwnResult {
  at: string
  /** Type of the event that holds it: what `event.name` is in arcs. */
  told: string
  value: Json
}

/** The result that this run told in this turn, if it has one: a step without tools has none. */
function ownResult(turn: Turn, runId: string): OwnResult | undefined {
  const event = turn.events.findLast((event) => event.node_id === runId && isResult(event))
  return event && { at: event.event_id, told: event.event_type, value: event.result ?? null }
}

function namesAfter(
  planned: StepPlan,
  own: OwnResult | undefined,
  error: CallError | null,
  facts: CallFacts,
): Record<string, unknown> {
  const { step } = planned
  const result = own?.value
  const name = own?.told ?? (error === null ? 'call.done' : 'call.error')
  const output = outputOf({ result: result ?? null, error, ...facts })
  return {
    event: { name, step: step.name, payload: { result: result ?? null, error: error as unknown as Json } },
    output,
    outcome: output,
    ...(error === null ? {} : { error }),
    ...(result === undefined ? {} : { result: new StepResult(result), response: new StepResult(result) }),
  }
}

function pickArcs(planned: StepPlan, scope: Scope, succeeded: boolean): StepPlan['arcs'] {
  const matches = (arc: StepPlan['arcs'][number]) =>
    arc.when === undefined ? succeeded : arc.when().test(scope)
  if (planned.step.next.mode === 'inclusive') return planned.arcs.filter(matches)
  const first = planned.arcs.find(matches)
  return planned.arcs.filter(
    (arc) => arc === first || (first?.group !== undefined && arc.group === first.group),
  )
}

/** Values by ctx name: a bare name means the same as `ctx.` there; `iter.` and `step.` end with the step. */
export function ctxValues(rendered: Json): JsonObject {
  const values: JsonObject = {}
  for (const [key, value] of Object.entries(rendered as JsonObject)) {
    if (key.startsWith('iter.') || key.startsWith('step.')) continue
    values[key.startsWith('ctx.') ? key.slice(4) : key] = value
  }
  return values
}

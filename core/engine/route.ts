import { makeError } from '../errors.ts'
import type { CallError } from '../schemas/command.ts'
import type { LoopRun, State, Token } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { lay } from '../schemas/put.ts'
import { outputOf } from '../template/output.ts'
import type { Scope, StepResult } from '../template/template.ts'
import { enterStep } from './enter.ts'
import type { Plan, ReactionPlan, StepPlan } from './plan.ts'
import { callError, failureOf } from './problem.ts'
import { react } from './react.ts'
import { isResult, type Turn } from './turn.ts'
import { ctxValues } from './values.ts'

/** Steps without tools that one turn goes through before it lets others have theirs. */
const INLINE_STEPS = 40

/** Steps that an execution may enter one after the other without a command between: more is a cycle without end. */
const IDLE_STEPS = 10_000
/** Steps that an execution may enter in all. */
const MAX_STEPS = 1_000_000

/** Begins all that may begin, then ends the execution if nothing is left to do. */
export function drain(turn: Turn): void {
  const { finalStep: final } = turn.plan.playbook
  const isLast = (step: string) => step === final && turn.state.final !== true
  for (let entered = 0; turn.status === 'RUNNING'; entered++) {
    if (isStopped(turn)) break
    const token = turn.state.held.find((held) => !isLast(held.step) && !mustWait(turn.plan, turn.state, held))
    if (token === undefined) break
    if (entered >= INLINE_STEPS) {
      turn.more = true
      return
    }
    const { idle = 0, done } = turn.state
    const { maxSteps } = turn.plan.playbook
    if (idle >= (maxSteps ?? IDLE_STEPS) || done >= (maxSteps ?? MAX_STEPS)) {
      const count = Math.max(done, idle)
      const how =
        maxSteps === undefined && idle >= IDLE_STEPS ? ', the last of them without a tool between' : ''
      const message = makeError('NOETL_ERR_EXECUTION_STEPS', [count, how]).message
      turn.end('FAILED', callError('NOETL_ERR_EXECUTION_STEPS', message), { step: token.step })
      return
    }
    enterStep(turn, token)
  }
  if (turn.status !== 'RUNNING' || Object.keys(turn.state.runs).length > 0) return
  const { failure } = turn.state
  if (final !== undefined && isLast(final) && turn.plan.step(final) !== undefined) {
    // What led there by an arc has waited for all the rest.
    const reached = turn.state.held.find((held) => held.step === final)
    enterStep(turn, reached ?? { step: final, args: {} }, { final: true })
    drain(turn)
    return
  }
  if (failure !== undefined) turn.end('FAILED', failure.error, { step: failure.step })
  else turn.end('COMPLETED', null, {})
}

/** True when an error that nothing caught lets nothing new begin. */
export function isStopped({ state, plan }: Turn): boolean {
  return state.failure !== undefined && plan.playbook.onError !== 'continue'
}

/**
 * The join rule: a token of a step with several predecessors waits while something else that is active or
 * pending can still reach that step along arcs that lead on. Arcs that close a cycle do not count: a step does
 * not wait for itself, and since the arcs that lead on form no ring, no two tokens wait for each other.
 */
export function mustWait(plan: Plan, state: State, token: Token): boolean {
  if (token.aside || plan.graph.predecessors(token.step).length < 2) return false
  const blocks = (other: string) => plan.graph.leadsOn(other, token.step)
  return (
    Object.values(state.runs).some((run) => blocks(run.step)) || state.held.some((held) => blocks(held.step))
  )
}

/** What is told of a call beside its result. */
export interface CallFacts {
  facets: JsonObject
  meta: JsonObject
  /** Values that `step.*` names were given. */
  step?: JsonObject
}

/**
 * A step run has its result: applies the step's `set`, takes its reactions, picks arcs, hands tokens on.
 * An error that nothing with a `when` of its own catches fails the execution, unless the playbook says
 * `on_error: continue`, or `park` is there to leave it for a person.
 */
export function finishStep(
  turn: Turn,
  runId: string,
  error: CallError | null,
  facts: CallFacts,
  park?: () => void,
): void {
  const run = turn.state.runs[runId]!
  const planned = turn.plan.step(run.step)
  if (planned === undefined) return
  let failed = error
  let left: Left = { set: {}, next: [], calls: [], caught: false }
  try {
    left = leaveStep(turn, runId, error, facts)
  } catch (problem) {
    failed = failureOf(problem)
  }
  if (park !== undefined && failed !== null && failed === error && !left.caught) {
    park()
    return
  }
  const tokens = [...left.next, ...left.calls]
  const dead = planned.arcs.length > 0 && left.next.length === 0 && failed === null
  if (dead && turn.plan.playbook.noNextIsError && !planned.step.next.quiet) {
    failed = callError('NOETL_ERR_NO_NEXT', makeError('NOETL_ERR_NO_NEXT', [run.step]).message)
  }
  // With `on_error: continue` it is the last step that says how the run went.
  const recovers = failed === null && turn.state.failure !== undefined && !isStopped(turn)
  turn.tell({
    event_type: 'step.exit',
    node_id: runId,
    node_name: run.step,
    status: failed === null ? 'ok' : 'error',
    context: {
      ...(Object.keys(left.set).length > 0 ? { set: left.set } : {}),
      ...(tokens.length > 0 ? { next: tokens as unknown as Json } : {}),
    },
    meta: {
      ...(left.caught ? { caught: true } : {}),
      ...(dead ? { no_match: true } : {}),
      ...(recovers ? { recovers } : {}),
    },
    ...(failed === null ? {} : { error: failed as unknown as Json }),
  })
}

/** What leaving a step comes to. */
interface Left {
  set: JsonObject
  next: Token[]
  calls: Token[]
  /** It failed, and the run goes on all the same. */
  caught: boolean
}

function leaveStep(turn: Turn, runId: string, error: CallError | null, facts: CallFacts): Left {
  const run = turn.state.runs[runId]!
  const planned = turn.plan.step(run.step)!
  const own = ownResult(turn, runId)
  const told = own?.told ?? (error === null ? 'call.done' : 'call.error')
  const previous = own?.at ?? run.previous
  const followed = error === null || turn.plan.playbook.onError === 'continue'
  const about = {
    from: run.step,
    previous,
    ctx: (name: string) => turn.ctx(name),
  }
  const scopeOf = (event: string, over: JsonObject) => {
    const more = { ...run.args, ...(run.loop === undefined ? {} : { loop: doneLoop(run.loop) }) }
    const names = namesAfter(planned, own?.value, error, { ...facts, event, at: turn.env.now, more })
    if (run.loop !== undefined && planned.step.loopResult === 'last') nameLast(turn, names, run.loop, planned)
    return (set: JsonObject) =>
      turn.scope(names, { set: { ...over, ...set }, ...(previous === undefined ? {} : { previous }) })
  }
  let set = followed ? ctxValues(planned.set().render(scopeOf(told, {})({}))) : {}
  const calls: Token[] = []
  let next: Token[] | null = null
  // A loop has reacted to each of its iterations; only the way on is left to say. After an error a reaction
  // counts as an arc does: only with a condition, and on leaving only with one that looks at the outcome.
  const open = (reactions: ReactionPlan[], event: string) =>
    reactions.filter(
      ({ next, when }) =>
        (run.loop === undefined || next !== null) &&
        (followed ||
          (when !== undefined && (event !== 'step.exit' || looksAtOutcome(when().roots, run.step)))),
    )
  for (const [reactions, events] of [
    [planned.onCall, run.loop === undefined ? [told] : [told, error === null ? 'call.done' : 'call.error']],
    [planned.onExit, ['step.exit']],
  ] as const) {
    for (const event of events) {
      const over = set
      const reacted = react(open(reactions, event), { ...about, scopeWith: scopeOf(event, over) })
      if (reacted === undefined) continue
      if (run.loop === undefined) {
        set = { ...set, ...reacted.set }
        calls.push(...reacted.calls)
      }
      next ??= reacted.next
      break
    }
  }
  if (next === null) {
    const scope = scopeOf(told, set)
    const arcs = pickArcs(planned, scope({}), followed).map((arc) => ({
      set: ctxValues(arc.set().render(scope({}))),
      token: {
        step: arc.step,
        args: arc.args().render(scope({})) as JsonObject,
        from: run.step,
        ...(previous === undefined ? {} : { previous }),
        ...(arc.lane === undefined ? {} : { lane: arc.lane }),
      },
    }))
    next = arcs.map(({ token }) => token)
    set = { ...set }
    lay(set, ...arcs.map((arc) => arc.set))
  }
  turn.bound(set)
  return { set, next, calls, caught: error !== null && next.length > 0 }
}

function looksAtOutcome(roots: ReadonlySet<string>, step: string): boolean {
  return ['error', 'output', 'outcome', 'result', 'response', step].some((name) => roots.has(name))
}

/** In the first dialect a loop's end is the event of its last round: its element is still there, for who looks. */
function nameLast(turn: Turn, names: Record<string, unknown>, loop: LoopRun, { step }: StepPlan): void {
  const get = () => turn.items(loop.at).at(-1) ?? null
  for (const name of ['item', step.loop!.iterator]) {
    Object.defineProperty(names, name, { enumerable: true, configurable: true, get })
  }
  names.loop_index = loop.total - 1
}

/** What `loop` is when all iterations are done. */
function doneLoop({ total }: LoopRun): JsonObject {
  return { index: total - 1, first: total === 1, last: true, length: total, done: true }
}

interface OwnResult {
  at: string
  /** Type of the event that holds it: what `event.name` is in arcs. */
  told: string
  value: StepResult
}

/** The result that this run told in this turn, if it has one: a step without tools has none. */
function ownResult(turn: Turn, runId: string): OwnResult | undefined {
  const event = turn.events.findLast((event) => event.node_id === runId && isResult(event))
  return event && { at: event.event_id, told: event.event_type, value: turn.result(event.event_id) }
}

/** Names that are visible once a call has ended. A large result is put together only where one looks at it. */
export function namesAfter(
  planned: StepPlan,
  result: StepResult | undefined,
  error: CallError | null,
  facts: CallFacts & { event: string; at: string; more?: Record<string, unknown> },
): Record<string, unknown> {
  const { facets, meta } = facts
  const value = () => result?.value ?? null
  const output = () => outputOf({ result: value(), error, facets, meta })
  const payload = Object.defineProperty({ error }, 'result', { enumerable: true, get: value })
  const names = {
    ...facts.more,
    step: facts.step ?? {},
    event: { name: facts.event, step: planned.step.name, timestamp: facts.at, payload },
    ...(error === null ? {} : { error }),
    ...(result === undefined ? {} : { result, response: result }),
  }
  for (const name of ['output', 'outcome']) {
    Object.defineProperty(names, name, { enumerable: true, get: output })
  }
  return names
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

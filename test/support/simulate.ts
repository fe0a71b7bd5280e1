import { decide, nothingYet } from '../../core/engine/decide.ts'
import { fold, NOTHING } from '../../core/engine/fold.ts'
import { type Known, learn } from '../../core/engine/known.ts'
import { makePlan, type Plan } from '../../core/engine/plan.ts'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import { type CallError, makeCallError, type Outcome } from '../../core/schemas/command.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { State, Status } from '../../core/schemas/execution.ts'
import type { Json, JsonObject } from '../../core/schemas/json.ts'

/** A run of a playbook through the pure engine, with outcomes made up instead of tools. */
export interface Simulation {
  status: Status
  error: string | null
  state: State
  events: Event[]
  /** Steps in the order in which their commands were issued or they were entered without one. */
  entered: string[]
  /** Newest result by step. */
  results: Record<string, Json>
  ctx: Record<string, Json>
  /** Most commands open at once. */
  widest: number
}

/** What a step's tool gives: a value, an Error, or a function of the iteration and the scope of the run. */
export type Gives = Record<
  string,
  Json | Error | ((at: { index: number | null; times: number }) => Json | Error)
>

export interface SimulateOptions {
  gives?: Gives
  workload?: JsonObject
  /** Picks which open command ends next, of so many. Default: the oldest. */
  pick?: (open: number) => number
  maxTurns?: number
}

export function simulate(source: string, options: SimulateOptions = {}): Simulation {
  const { playbook } = compilePlaybook(source)
  return simulatePlan(makePlan(playbook, { catalogId: '1', path: playbook.path, version: 1 }), options)
}

export function simulatePlan(plan: Plan, options: SimulateOptions = {}): Simulation {
  const { gives = {}, pick = () => 0, maxTurns = 20_000 } = options
  const workload: JsonObject = { ...plan.playbook.workload, ...options.workload }
  let id = 100
  const env = {
    now: '2026-01-01T00:00:00.000Z',
    newId: () => String(++id),
    lane: 'normal',
    effectOf: () => 'idempotent' as const,
  }
  let known: Known = nothingYet('100', null, workload)
  const events: Event[] = []
  const open: { command_id: string; step: string; index: number | null }[] = []
  const times = new Map<string, number>()
  let error: CallError | null = null
  let widest = 0

  const apply = (input: Parameters<typeof decide>[2][number]) => {
    const decision = decide(plan, known, [input], env)
    events.push(...decision.events)
    error = decision.error ?? error
    known = { ...learn(known, decision.state, decision.events), status: decision.status, revision: 1 }
    for (const [runId] of known.iterations) known.iterations.delete(runId)
    for (const run of Object.keys(decision.state.runs)) known.iterations.set(run, iterationsOf(events, run))
    for (const event of decision.events) {
      if (event.event_type === 'command.issued') {
        open.push({
          command_id: event.event_id,
          step: event.node_name ?? '',
          index: event.current_index ?? null,
        })
      }
    }
    widest = Math.max(widest, open.length)
    return decision
  }

  let decision = apply({ type: 'start', workload, meta: {} })
  for (let turn = 0; known.status === 'RUNNING'; turn++) {
    if (turn > maxTurns) throw new Error(`no end after ${maxTurns} turns`)
    if (decision.more) {
      decision = apply({ type: 'continue' })
      continue
    }
    const command = open.splice(Math.min(pick(open.length), open.length - 1), 1)[0]
    if (command === undefined) throw new Error('RUNNING with nothing open')
    const seen = (times.get(command.step) ?? 0) + 1
    times.set(command.step, seen)
    decision = apply({
      type: 'report',
      command_id: command.command_id,
      step: command.step,
      worker_id: 'w',
      attempt: 1,
      started_at: null,
      outcome: outcomeOf(gives[command.step], { index: command.index, times: seen }),
    })
  }
  const results: Record<string, Json> = {}
  for (const [step, result] of known.results) if (result !== null) results[step] = result.result
  return {
    status: known.status,
    error: (error as CallError | null)?.message ?? null,
    state: known.state,
    events,
    entered: events
      .filter((event) => ['command.issued', 'loop.started'].includes(event.event_type) || isInline(event))
      .filter((event) => event.current_index === undefined)
      .map((event) => event.node_name ?? ''),
    results,
    ctx: Object.fromEntries(
      Object.entries(known.state.ctx).map(([name, value]) => [
        name,
        'v' in value ? value.v : valueAt(events, value.at, name),
      ]),
    ),
    widest,
  }
}

/** The state that the events alone give. */
export function replay(events: Event[]): State {
  return events.reduce(fold, NOTHING)
}

function isInline(event: Event): boolean {
  return event.event_type === 'step.enter' && event.node_id === event.event_id
}

function valueAt(events: Event[], id: string, name: string): Json {
  const set = events.find((event) => event.event_id === id)?.context?.set as JsonObject | undefined
  return set?.[name] ?? null
}

function iterationsOf(events: Event[], run: string) {
  return events
    .filter(
      (event) =>
        event.node_id === run && event.current_index !== undefined && /^call\./.test(event.event_type),
    )
    .map((event) => ({
      index: event.current_index!,
      ok: event.event_type === 'call.done',
      result: event.result ?? null,
    }))
    .sort((a, b) => a.index - b.index)
}

function outcomeOf(given: Gives[string] | undefined, at: { index: number | null; times: number }): Outcome {
  const value = typeof given === 'function' ? given(at) : (given ?? { ok: true })
  const meta = { duration_ms: 1, calls: 1, facets: {} }
  if (value instanceof Error) {
    return {
      status: 'error',
      error: makeCallError({ kind: 'tool_error', message: value.message }),
      result: null,
      set: {},
      meta,
    }
  }
  return { status: 'ok', error: null, result: value, set: {}, meta }
}

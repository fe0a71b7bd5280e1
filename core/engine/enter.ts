import { makeError } from '../errors.ts'
import { MAX_IN_FLIGHT } from '../playbook/loop.ts'
import type { CallError } from '../schemas/command.ts'
import type { Token } from '../schemas/execution.ts'
import { isObject, type Json, type JsonObject, parseJson } from '../schemas/json.ts'
import { EFFECTS, type Effect } from '../schemas/playbook.ts'
import { type CommandTrace, childTraceparent, type Trace } from '../schemas/trace.ts'
import type { Scope } from '../template/template.ts'
import { startLoop } from './loop.ts'
import type { StepPlan } from './plan.ts'
import { failureOf } from './problem.ts'
import { type Reacted, react } from './react.ts'
import { finishStep } from './route.ts'
import type { Turn } from './turn.ts'

const NO_FACTS = { facets: {}, meta: {} }

/** A token may go on: admits the step, then routes through it, starts its loop or issues its command. */
export function enterStep(turn: Turn, token: Token, options: { final?: true } = {}): void {
  const planned = turn.plan.step(token.step)
  if (planned === undefined) return
  const scope = scopeAt(turn, planned, token)
  const meta: JsonObject = {
    ...(options.final ? { final: true } : {}),
    ...(token.aside ? { aside: true } : {}),
  }
  try {
    const refused = planned.admit.find((rule) => rule.when === undefined || rule.when().test(scope({})))
    if (refused?.allow === false) {
      turn.tell({ event_type: 'step.skipped', node_name: token.step, status: 'skipped', meta })
      return
    }
    const reacted = react(planned.onEnter, {
      scopeWith: scope,
      ctx: (name) => turn.ctx(name),
      from: token.step,
      previous: token.previous,
    })
    if (reacted !== undefined) {
      turn.bound(reacted.set)
      tellReaction(turn, token.step, reacted)
    }
    if (planned.step.loop !== undefined)
      Object.assign(
        meta,
        inFlightOf(planned, () => scope({})),
      )
    if (planned.step.loop?.cursor !== undefined) startLoop(turn, planned, [], meta)
    else if (planned.step.loop !== undefined) {
      const items = itemsOf(planned, planned.loopIn().render(scope({})))
      startLoop(turn, planned, items, meta)
    } else if (planned.step.tasks.length === 0) {
      finishStep(turn, enterWithoutTool(turn, token, meta), null, NO_FACTS)
    } else {
      issueCommand(turn, planned, {
        meta,
        args: token.args,
        ...(token.previous === undefined ? {} : { previous: token.previous }),
      })
    }
  } catch (problem) {
    const error = failureOf(problem)
    const runId = enterWithoutTool(turn, token, meta)
    turn.tell({
      event_type: 'call.error',
      node_id: runId,
      node_name: token.step,
      status: 'error',
      error: error as unknown as Json,
    })
    finishStep(turn, runId, error, NO_FACTS)
  }
}

function scopeAt(turn: Turn, planned: StepPlan, token: Token): (set: JsonObject) => Scope {
  const extras = {
    ...token.args,
    event: { name: 'step.enter', step: planned.step.name, timestamp: turn.env.now, payload: {} },
  }
  return (set) =>
    turn.scope(extras, { set, ...(token.previous === undefined ? {} : { previous: token.previous }) })
}

function enterWithoutTool(turn: Turn, token: Token, meta: JsonObject): string {
  const runId = turn.env.newId(turn.state.last)
  return turn.tell({
    event_type: 'step.enter',
    event_id: runId,
    node_id: runId,
    node_name: token.step,
    meta,
  })
}

/** Values and steps that a reaction brings, at once. */
export function tellReaction(turn: Turn, source: string, { set, calls }: Reacted): void {
  turn.tell({
    event_type: 'ctx.updated',
    context: { set, ...(calls.length > 0 ? { next: calls as unknown as Json } : {}) },
    meta: { source },
  })
}

/** What a command is issued with beside its step. */
export interface Issue {
  args?: JsonObject
  previous?: string
  meta?: JsonObject
  /** Of a run that has begun before: a loop's iteration (null: no loop), or one that goes on. */
  run?: { id: string; index: number | null }
  /** The event that tells of a wait which is over: for a time, or for an execution, that may not have begun. */
  resumes?: { event_id: string; child_execution_id?: string; error?: CallError | null; link?: string }
  /** Seconds before it may be claimed. */
  delay?: number
  /** It waits for a person. */
  dead?: boolean
}

/** Issues a command of a step; returns its id. */
export function issueCommand(turn: Turn, planned: StepPlan, issue: Issue): string {
  const { run, args = {}, previous, resumes, delay = 0, dead = false } = issue
  const id = turn.env.newId(turn.state.last)
  const max_attempts = planned.step.maxAttempts ?? 3
  turn.tell({
    event_type: 'command.issued',
    event_id: id,
    node_id: run?.id ?? id,
    node_name: planned.step.name,
    node_type: planned.kind,
    ...(run === undefined || run.index === null ? {} : { current_index: run.index }),
    context: {
      ...(Object.keys(args).length > 0 ? { args } : {}),
      ...(previous === undefined ? {} : { previous }),
      ...(resumes === undefined ? {} : { resumes: resumes as unknown as JsonObject }),
      ctx: neededCtx(turn, planned) as unknown as Json,
      ...(turn.state.trace === undefined
        ? {}
        : { trace: traceOf(turn.state.trace, resumes) as unknown as Json }),
    },
    meta: {
      command_id: id,
      tool_kind: planned.kind,
      max_attempts,
      ...(resumes?.child_execution_id === undefined ? {} : { resumes: resumes.child_execution_id }),
      ...(delay > 0 ? { delay_seconds: delay } : {}),
      ...issue.meta,
    },
  })
  turn.commands.push({
    queue_id: id,
    node_id: run?.id ?? id,
    node_name: planned.step.name,
    tool_kind: planned.kind,
    lane: laneOf(turn, planned, run?.id ?? id),
    pool: turn.env.poolOf?.(turn.plan, planned) ?? '',
    max_attempts,
    effect: effectOf(planned, turn.env),
    delay,
    dead,
  })
  return id
}

/** The command's place in the trace, linked to what it goes on after. */
function traceOf({ traceparent }: Trace, resumes: Issue['resumes']): CommandTrace {
  const child = resumes?.child_execution_id
  const link = child === undefined ? resumes?.link : childTraceparent(child, traceparent)
  return { traceparent, ...(link === undefined ? {} : { link }) }
}

/** Lane of a run's commands: what stands nearest to them says it. */
export function laneOf({ state, env }: Turn, { step }: StepPlan, runId: string): string {
  return state.runs[runId]?.lane ?? step.lane ?? state.lane ?? env.lane
}

/** What repeating a step's tools does: what the least safe of them does. */
function effectOf({ step }: StepPlan, env: Turn['env']): Effect {
  // Whether a tool with a probe had its effect is asked before it runs again.
  const effects = step.tasks
    .filter((task) => task.probe === undefined)
    .map((task) => task.effect ?? env.effectOf(task.kind))
  return EFFECTS.findLast((effect) => effects.includes(effect)) ?? 'pure'
}

/** The ctx values that the step's templates name, as they are now; large ones by the event that holds them. */
function neededCtx(turn: Turn, planned: StepPlan): Turn['state']['ctx'] {
  const needs = planned.needs()
  const { ctx } = turn.state
  const whole = needs.all || needs.below.get('ctx') === null || needs.below.get('vars') === null
  const named = (name: string) =>
    needs.roots.has(name) || needs.below.get('ctx')?.has(name) || needs.below.get('vars')?.has(name)
  const seedWorkload = turn.plan.playbook.dialect === 'seed' && needs.roots.has('workload')
  return Object.fromEntries(Object.entries(ctx).filter(([name]) => whole || seedWorkload || named(name)))
}

/** How many rounds a loop has in flight, where a template says it. */
function inFlightOf(planned: StepPlan, scope: () => Scope): JsonObject {
  if (typeof planned.step.loop?.maxInFlight !== 'string') return {}
  const value = planned.inFlight().render(scope())
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1) {
    return { max_in_flight: Math.min(MAX_IN_FLIGHT, number) }
  }
  throw makeError('NOETL_ERR_TEMPLATE_RENDER', [
    `max_in_flight of step "${planned.step.name}" gave ${shown(value)}; a whole number from 1 was expected`,
  ])
}

/** The largest number that a loop counts to. */
const MAX_COUNT = 1_000_000

/** The list a loop goes over: an object gives pairs, a number counts, a text is read as JSON. */
function itemsOf(planned: StepPlan, value: Json): Json[] {
  if (Array.isArray(value)) return value
  if (isObject(value)) return Object.entries(value).map(([key, item]) => ({ key, value: item }))
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT) {
    return Array.from({ length: value }, (_, i) => i)
  }
  if (typeof value === 'string') {
    try {
      const parsed = parseJson(value)
      if (Array.isArray(parsed) || isObject(parsed)) return itemsOf(planned, parsed)
    } catch {
      // Said below.
    }
  }
  throw makeError('NOETL_ERR_TEMPLATE_RENDER', [
    `loop.in of step "${planned.step.name}" gave ${shown(value)}; a list, an object or a whole number from 0 to ${MAX_COUNT} was expected`,
  ])
}

function shown(value: Json): string {
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

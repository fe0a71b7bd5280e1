import type { CallError, Outcome } from '../schemas/command.ts'
import type { Event } from '../schemas/event.ts'
import type { State, Status } from '../schemas/execution.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Effect } from '../schemas/playbook.ts'
import { commandTraceparent, traceIdOf } from '../schemas/trace.ts'
import type { NewCommand } from '../store/commit.ts'
import { fingerprintOf, type NewLetter } from '../store/dead-letters.ts'
import type { NewResult } from '../store/results.ts'
import { externalise } from './aside.ts'
import { issueCommand, laneOf } from './enter.ts'
import { NOTHING } from './fold.ts'
import type { Known } from './known.ts'
import { continueLoop, reactToIteration } from './loop.ts'
import type { Plan, StepPlan } from './plan.ts'
import { failureOf } from './problem.ts'
import { drain, finishStep } from './route.ts'
import { makeTurn, type NewChild, type Turn } from './turn.ts'

/** Something that moves an execution. */
export type Input =
  | { type: 'start'; workload: JsonObject; meta: JsonObject }
  | Report
  /** Look again whether something can begin: after a pause, or because nothing moves. */
  | { type: 'continue' }
  /** An execution that a step waits for has ended; with an error, when it could not begin or took too long. */
  | { type: 'child'; child_execution_id: string; error: CallError | null }
  | { type: 'cancel'; reason: string }
  | { type: 'finalize'; status: 'COMPLETED' | 'FAILED'; error: CallError | null }
  | { type: 'set'; values: JsonObject; unset?: string[]; source: string }

/** The outcome of a command, as its worker tells it. */
export interface Report {
  type: 'report'
  command_id: string
  step: string
  worker_id: string | null
  attempt: number | null
  /** ISO time at which the tool began. */
  started_at: string | null
  outcome: Outcome
}

/** What follows from inputs: to be written whole, or not at all. */
export interface Decision {
  state: State
  status: Status
  error: CallError | null
  events: Event[]
  commands: NewCommand[]
  /** Results stored aside. */
  stored: NewResult[]
  /** Executions to begin after the commit, and to wait for. */
  children: NewChild[]
  awaited: string[]
  letters: NewLetter[]
  /** Reports that were of a command still open; the others came too late. */
  taken: boolean[]
  /** Steps without tools went on for so long that the rest is for another turn. */
  more: boolean
}

export interface Env {
  now: string
  newId(after: string): string
  /** Lane of what names none. */
  lane: string
  /** Pool of workers that a step's commands are for; absent: all are for the pool without a name. */
  poolOf?(plan: Plan, step: StepPlan): string
  /** What repeating a call of a tool kind does, as its plugin says. */
  effectOf(kind: string): Effect
}

/**
 * Decides what happens next: (plan, what is known, inputs) → state, events, commands. Touches nothing,
 * and throws NotLoaded when it needs a value that is not in `known`.
 */
export function decide(plan: Plan, known: Known, inputs: Input[], env: Env): Decision {
  const turn = makeTurn(plan, known, env)
  const taken = inputs.map((input) => turn.status === 'RUNNING' && take(turn, input))
  drain(turn)
  return {
    state: turn.state,
    status: turn.status,
    error: turn.error,
    events: turn.events,
    commands: turn.commands,
    stored: turn.stored,
    children: turn.children,
    awaited: turn.awaited,
    letters: turn.letters,
    taken,
    more: turn.more,
  }
}

/** State, status and events of an execution that begins. Its first event has the execution's own id. */
export function nothingYet(
  executionId: string,
  parentExecutionId: string | null,
  workload: JsonObject,
): Known {
  return {
    executionId,
    parentExecutionId,
    status: 'RUNNING',
    revision: null,
    state: NOTHING,
    workload,
    results: new Map(),
    events: new Map(),
    wholes: new Map(),
    iterations: new Map(),
    fresh: true,
  }
}

function take(turn: Turn, input: Input): boolean {
  switch (input.type) {
    case 'start':
      turn.tell({
        event_id: turn.known.executionId,
        event_type: 'playbook.started',
        node_name: turn.plan.path,
        node_type: 'playbook',
        context: { workload: input.workload, next: [{ step: turn.plan.playbook.entry, args: {} }] },
        meta: { path: turn.plan.path, version: turn.plan.version, ...input.meta },
      })
      return true
    case 'report':
      return takeReport(turn, input)
    case 'continue':
      return true
    case 'child':
      return takeChild(turn, input)
    case 'cancel':
      turn.end('CANCELLED', null, { reason: input.reason })
      return true
    case 'finalize':
      turn.end(input.status, input.error, { finalized: true })
      return true
    case 'set':
      turn.tell({
        event_type: 'ctx.updated',
        context: { set: input.values, ...(input.unset === undefined ? {} : { unset: input.unset }) },
        meta: { source: input.source },
      })
      return true
  }
  input satisfies never
}

function takeReport(turn: Turn, report: Report): boolean {
  const { runs } = turn.state
  const runId = Object.keys(runs).find((id) => Object.hasOwn(runs[id]!.open, report.command_id))
  if (runId === undefined) return false
  const run = runs[runId]!
  const outcome = fitting(turn, report.outcome)
  const index = run.open[report.command_id] ?? null
  const place = {
    node_id: runId,
    node_name: run.step,
    ...(index === null ? {} : { current_index: index }),
    ...(report.worker_id === null ? {} : { worker_id: report.worker_id }),
  }
  const meta: JsonObject = { command_id: report.command_id, attempt: report.attempt }
  if (report.started_at !== null) {
    turn.tell({ ...place, event_type: 'step.enter', created_at: report.started_at, meta })
  }
  if (report.outcome.log !== undefined) {
    const context = report.outcome.log as unknown as JsonObject
    turn.tell({ ...place, event_type: 'call.log', context, meta })
  }
  const planned = turn.plan.step(run.step)
  if (outcome.status === 'waiting') {
    const lane = planned === undefined ? turn.env.lane : laneOf(turn, planned, runId)
    const { lane: _none, ...child } = outcome.child
    const inherits = lane === turn.env.lane ? child : { ...child, lane }
    beginWait(turn, { ...place, meta }, { ...outcome, child: inherits })
    return true
  }
  if (outcome.status === 'retrying') {
    if (planned !== undefined) retryLater(turn, planned, { ...place, meta }, outcome)
    return true
  }
  const event_id = turn.env.newId(turn.state.last)
  const frame = planned?.step.loop?.cursor === undefined ? undefined : readFrame(outcome.result)
  const { near, stored, bytes } = externalise(frame?.results ?? outcome.result, {
    executionId: turn.known.executionId,
    eventId: event_id,
    step: run.step,
    select: planned?.step.outputSelect ?? [],
    store: planned?.step.outputStore,
  })
  if (stored !== undefined) turn.stored.push(stored)
  const park =
    outcome.error === null || turn.plan.playbook.onError !== 'park' || outcome.error.code === DROPPED
      ? undefined
      : { index, error: outcome.error, report }
  turn.tell({
    ...place,
    event_id,
    event_type: outcome.status === 'ok' ? 'call.done' : 'call.error',
    node_type: planned?.kind ?? 'unknown',
    status: outcome.status,
    duration: outcome.meta.duration_ms / 1000,
    result: near,
    meta: {
      ...meta,
      calls: outcome.meta.calls,
      ...facets(outcome),
      ...(stored === undefined ? {} : { stored: stored.store }),
      ...(run.loop === undefined ? {} : { bytes }),
      ...(run.loop !== undefined && park !== undefined ? { parked: true } : {}),
      ...(frame === undefined ? {} : { rows: frame.results.length, failed: frame.failed }),
    },
    ...(outcome.error === null ? {} : { error: outcome.error as unknown as Json }),
    ...(Object.keys(outcome.set).length > 0 ? { context: { set: outcome.set } } : {}),
  })
  const facts = {
    facets: outcome.meta.facets,
    meta: outcome.meta as unknown as JsonObject,
    ...(outcome.step === undefined ? {} : { step: outcome.step }),
  }
  if (run.loop && park !== undefined) {
    parkCommand(turn, runId, park)
    return true
  }
  if (run.loop) {
    reactToIteration(turn, runId, { eventId: event_id, index, error: outcome.error, facts })
    continueLoop(turn, runId)
  } else finishStep(turn, runId, outcome.error, facts, park && (() => parkCommand(turn, runId, park)))
  return true
}

/** An outcome that sets more than ctx has room for is an error. */
function fitting(turn: Turn, outcome: Outcome): Outcome {
  try {
    turn.bound(outcome.set)
    return outcome
  } catch (problem) {
    const { result, meta } = outcome
    return { status: 'error', error: failureOf(problem), result, meta, set: {} }
  }
}

/** Code of the error of a command that a person gave up; it is not parked again. */
const DROPPED = 'NOETL_ERR_COMMAND_DROPPED'

/** A failed command is left as a dead letter: another like it waits for a person. */
function parkCommand(
  turn: Turn,
  runId: string,
  { index, error, report }: { index: number | null; error: CallError; report: Report },
): void {
  const run = turn.state.runs[runId]!
  const planned = turn.plan.step(run.step)!
  const queue_id = issueCommand(turn, planned, {
    run: { id: runId, index },
    ...(run.previous === undefined ? {} : { previous: run.previous }),
    ...(run.args === undefined ? {} : { args: run.args }),
    dead: true,
  })
  const attempts = report.attempt ?? 1
  const letter_id = turn.tell({
    event_type: 'command.dead',
    node_id: runId,
    node_name: run.step,
    ...(report.worker_id === null ? {} : { worker_id: report.worker_id }),
    meta: { command_id: queue_id, reason: 'error', attempt: attempts },
    error: error as unknown as Json,
  })
  const { path } = turn.plan
  turn.letters.push({
    letter_id,
    queue_id,
    path,
    step: run.step,
    tool_kind: planned.kind,
    reason: 'error',
    error,
    fingerprint: fingerprintOf({ path, step: run.step, error }),
    attempts,
    worker_id: report.worker_id,
    trace_id: turn.state.trace === undefined ? null : traceIdOf(turn.state.trace.traceparent),
  })
}

/** A rule repeats a call after a while: the command is done with, another goes on then. */
function retryLater(
  turn: Turn,
  planned: StepPlan,
  place: { node_id: string; node_name: string; current_index?: number; meta: JsonObject },
  { delay_seconds, resume, error, set }: Outcome & { status: 'retrying' },
): void {
  const run = turn.state.runs[place.node_id]!
  const event_id = turn.tell({
    ...place,
    event_type: 'call.retrying',
    node_type: planned.kind,
    status: 'retrying',
    context: { resume, ...(Object.keys(set).length > 0 ? { set } : {}) },
    meta: { ...place.meta, delay_seconds },
    ...(error === null ? {} : { error: error as unknown as Json }),
  })
  issueCommand(turn, planned, {
    run: { id: place.node_id, index: place.current_index ?? null },
    ...(run.previous === undefined ? {} : { previous: run.previous }),
    ...(run.args === undefined ? {} : { args: run.args }),
    resumes: { event_id, ...linkTo(turn, place.meta) },
    delay: delay_seconds,
  })
}

/** The span of the command that is done with, for the one that goes on after it. */
function linkTo({ state: { trace } }: Turn, { command_id, attempt }: JsonObject): { link?: string } {
  if (trace === undefined) return {}
  return { link: commandTraceparent(trace, String(command_id), Number(attempt ?? 1)) }
}

/** What a worker tells of a frame: the results of its rows, and how many of them failed. */
function readFrame(result: Json): { results: Json[]; failed: number } {
  const told = isObject(result) ? result : {}
  const results = Array.isArray(told.results) ? told.results : []
  return { results, failed: Math.min(results.length, Number(told.failed) || 0) }
}

/** The body waits for an execution: its command is done with, another goes on when that has ended. */
function beginWait(
  turn: Turn,
  place: { node_id: string; node_name: string; meta: JsonObject },
  { child, resume, set }: Outcome & { status: 'waiting' },
): void {
  const child_execution_id = turn.env.newId(turn.state.last)
  const event_id = turn.tell({
    ...place,
    event_type: 'call.waiting',
    node_type: 'playbook',
    status: 'waiting',
    context: {
      child: child as unknown as JsonObject,
      resume,
      ...(Object.keys(set).length > 0 ? { set } : {}),
    },
    meta: { ...place.meta, child_execution_id },
  })
  turn.children.push({ ...child, child_execution_id, event_id })
}

function takeChild(turn: Turn, input: Input & { type: 'child' }): boolean {
  const { child_execution_id: id, error } = input
  const found = Object.entries(turn.state.runs).find(([, { waits }]) => waits && Object.hasOwn(waits, id))
  if (found === undefined) return false
  const [runId, run] = found
  const planned = turn.plan.step(run.step)
  if (planned === undefined) return false
  turn.awaited.push(id)
  const index = run.open[id] ?? null
  issueCommand(turn, planned, {
    run: { id: runId, index },
    ...(run.previous === undefined ? {} : { previous: run.previous }),
    ...(run.args === undefined ? {} : { args: run.args }),
    resumes: { child_execution_id: id, event_id: run.waits![id]!, error },
  })
  return true
}

function facets(outcome: Pick<Outcome, 'meta'>): JsonObject {
  return Object.keys(outcome.meta.facets).length > 0 ? { facets: outcome.meta.facets } : {}
}

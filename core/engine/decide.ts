import type { CallError, Outcome } from '../schemas/command.ts'
import type { Event } from '../schemas/event.ts'
import type { State, Status } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import type { NewCommand } from '../store/commit.ts'
import { NOTHING } from './fold.ts'
import type { Known } from './known.ts'
import { continueLoop } from './loop.ts'
import type { Plan } from './plan.ts'
import { drain, finishStep } from './route.ts'
import { makeTurn, type Turn } from './turn.ts'

/** Something that moves an execution. */
export type Input =
  | { type: 'start'; workload: JsonObject; meta: JsonObject }
  | Report
  /** Look again whether something can begin: after a pause, or because nothing moves. */
  | { type: 'continue' }
  | { type: 'cancel'; reason: string }
  | { type: 'finalize'; status: 'COMPLETED' | 'FAILED'; error: CallError | null }
  | { type: 'set'; values: JsonObject; source: string }

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
  /** Reports that were of a command still open; the others came too late. */
  taken: boolean[]
  /** Steps without tools went on for so long that the rest is for another turn. */
  more: boolean
}

export interface Env {
  now: string
  newId(after: string): string
  lane: string
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
    case 'cancel':
      turn.end('CANCELLED', null, { reason: input.reason })
      return true
    case 'finalize':
      turn.end(input.status, input.error, { finalized: true })
      return true
    case 'set':
      turn.tell({
        event_type: 'ctx.updated',
        context: { set: input.values },
        meta: { source: input.source },
      })
      return true
  }
  input satisfies never
}

function takeReport(turn: Turn, report: Report): boolean {
  const found = Object.entries(turn.state.runs).find(([, run]) => Object.hasOwn(run.open, report.command_id))
  if (found === undefined) return false
  const [runId, run] = found
  const { outcome } = report
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
  turn.tell({
    ...place,
    event_type: outcome.status === 'ok' ? 'call.done' : 'call.error',
    node_type: turn.plan.step(run.step)?.kind ?? 'unknown',
    status: outcome.status,
    duration: outcome.meta.duration_ms / 1000,
    result: outcome.result,
    meta: { ...meta, calls: outcome.meta.calls, ...facets(outcome) },
    ...(outcome.error === null ? {} : { error: outcome.error as unknown as Json }),
    ...(Object.keys(outcome.set).length > 0 ? { context: { set: outcome.set } } : {}),
  })
  if (run.loop) continueLoop(turn, runId)
  else finishStep(turn, runId, outcome.error, { facets: outcome.meta.facets, meta: outcome.meta as never })
  return true
}

function facets(outcome: Outcome): JsonObject {
  return Object.keys(outcome.meta.facets).length > 0 ? { facets: outcome.meta.facets } : {}
}

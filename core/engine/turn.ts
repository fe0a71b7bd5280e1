import { boundCtx } from '../ctx-limits.ts'
import type { CallError, Child } from '../schemas/command.ts'
import type { Event, EventType } from '../schemas/event.ts'
import type { State, Status } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { traceIdOf } from '../schemas/trace.ts'
import type { NewCommand } from '../store/commit.ts'
import type { NewLetter } from '../store/dead-letters.ts'
import { loopResult, type NewResult } from '../store/results.ts'
import { makeScope } from '../template/scope.ts'
import { type Scope, StepResult } from '../template/template.ts'
import type { Env } from './decide.ts'
import { foldOwn, type Own } from './fold.ts'
import {
  ctxOf,
  eventOf,
  type Iterated,
  type Known,
  NotLoaded,
  resultOf,
  setOf,
  wholeOf,
  workloadOf,
} from './known.ts'
import type { Plan } from './plan.ts'

export type Telling = Partial<Omit<Event, 'event_type' | 'execution_id'>> & { event_type: EventType }

/** One decision in the making: events told so far and the state they give, over what was known before. */
export interface Turn {
  plan: Plan
  env: Env
  known: Known
  state: State
  status: Status
  error: CallError | null
  events: Event[]
  commands: NewCommand[]
  /** Results stored aside. */
  stored: NewResult[]
  /** Executions to be waited for, begun after the commit. */
  children: NewChild[]
  /** Executions that are waited for no longer. */
  awaited: string[]
  /** Letters of commands that wait for a person. */
  letters: NewLetter[]
  more: boolean
  /** Records an event and folds it in; returns its id. */
  tell(event: Telling): string
  /** Ends the execution. */
  end(status: Exclude<Status, 'RUNNING'>, error: CallError | null, meta: JsonObject): void
  /** Results of a loop's iterations in order, each whole, those of this turn included. */
  iterations(runId: string): Iterated[]
  /** A result as templates read it: the event's, or the whole of it when they look beyond its stub. */
  result(eventId: string): StepResult
  /** Current value of a ctx name. */
  ctx(name: string): Json | undefined
  /** Refuses values that ctx has no room for. */
  bound(set: JsonObject): void
  /** Items of a loop. */
  items(loopAt: string): Json[]
  /** Names visible on the server; `set` are values about to be set. */
  scope(extras: Readonly<Record<string, unknown>>, options: { previous?: string; set?: JsonObject }): Scope
}

/** An execution that a step begins and waits for. */
export interface NewChild extends Child {
  child_execution_id: string
  /** The `call.waiting` event. */
  event_id: string
}

const ENDINGS = {
  COMPLETED: 'playbook.completed',
  FAILED: 'playbook.failed',
  CANCELLED: 'playbook.cancelled',
} as const

export function makeTurn(plan: Plan, known: Known, env: Env): Turn {
  const told = new Map<string, Event>()
  const results = new Map<string, Event>()
  const own: Own = new WeakSet()
  const turn: Turn = {
    plan,
    env,
    known,
    state: known.state,
    status: known.status,
    error: null,
    events: [],
    commands: [],
    stored: [],
    children: [],
    awaited: [],
    letters: [],
    more: false,
    tell(telling) {
      const event_id = telling.event_id ?? env.newId(turn.state.last)
      const event: Event = { created_at: env.now, ...telling, event_id, execution_id: known.executionId }
      turn.events.push(event)
      turn.state = foldOwn(turn.state, event, own)
      told.set(event_id, event)
      if (isResult(event)) results.set(event.node_name ?? '', event)
      return event_id
    },
    end(status, error, meta) {
      turn.awaited.push(...Object.values(turn.state.runs).flatMap(({ waits }) => Object.keys(waits ?? {})))
      // What this very turn was to begin is not begun.
      turn.commands = []
      turn.children = []
      turn.letters = []
      turn.status = status
      turn.error = error
      turn.tell({
        event_type: ENDINGS[status],
        node_name: plan.path,
        node_type: 'playbook',
        status,
        meta:
          turn.state.trace === undefined
            ? meta
            : { ...meta, trace_id: traceIdOf(turn.state.trace.traceparent) },
        ...(error === null ? {} : { error: error as unknown as Json }),
      })
    },
    iterations(runId) {
      const stored = known.iterations.get(runId)
      if (stored === undefined && known.revision !== null) throw new NotLoaded({ run: runId })
      const added = turn.events.filter((event) => event.node_id === runId && isIteration(event))
      return [
        ...(stored ?? []),
        ...added.map((event) => ({
          index: event.current_index!,
          ok: event.event_type === 'call.done',
          result: whole(event.event_id),
        })),
      ].sort((a, b) => a.index - b.index)
    },
    items(loopAt) {
      const context = told.get(loopAt)?.context ?? eventOf(known, loopAt).context
      return (context?.items ?? []) as Json[]
    },
    result: (eventId) => wrapped(eventId),
    bound(set) {
      boundCtx(set, () => {
        let bytes = 0
        for (const [name, value] of Object.entries(turn.state.ctx)) {
          if (!Object.hasOwn(set, name) && 'at' in value) bytes += value.bytes ?? 0
        }
        return bytes
      })
    },
    ctx,
    scope(extras, options) {
      const { set } = options
      return makeScope(
        {
          executionId: known.executionId,
          parentExecutionId: known.parentExecutionId,
          ctxFirst: plan.playbook.dialect === 'seed',
          workload: () => workloadOf(known),
          ctxNames: () => new Set([...Object.keys(turn.state.ctx), ...Object.keys(set ?? {})]),
          ctx: (name) => (set !== undefined && Object.hasOwn(set, name) ? set[name] : ctx(name)),
          stepNames: () => plan.playbook.steps.map((step) => step.name),
          step: (name) => (plan.step(name) === undefined ? undefined : stepResult(name)),
          previous: () => (options.previous === undefined ? undefined : wrapped(options.previous)),
          now: () => env.now,
        },
        extras,
      )
    },
  }

  function ctx(name: string): Json | undefined {
    const value = Object.hasOwn(turn.state.ctx, name) ? turn.state.ctx[name] : undefined
    if (value === undefined) return undefined
    if ('v' in value) return value.v
    const event = told.get(value.at)
    if (event !== undefined) return setOf(event)[name]
    return ctxOf({ ...known, state: turn.state }, name)
  }

  function stepResult(name: string): StepResult | undefined {
    const event = results.get(name)
    const id = event?.event_id ?? resultOf(known, name)?.event_id
    return id === undefined ? undefined : wrapped(id, name)
  }

  function wrapped(id: string, step?: string): StepResult {
    const event = told.get(id)
    const recorded = step === undefined ? undefined : known.results.get(step)
    const there =
      event !== undefined
        ? { result: event.result ?? null, aside: event.meta?.stored !== undefined }
        : recorded?.event_id === id
          ? recorded
          : eventOf(known, id)
    return there.aside ? new StepResult(there.result, () => whole(id)) : new StepResult(there.result)
  }

  /** The whole value of a result, of this turn or of one before. */
  function whole(id: string): Json {
    const event = told.get(id)
    if (event === undefined) return wholeOf(known, id)
    if (event.meta?.stored === undefined) return event.result ?? null
    const stored = turn.stored.find((value) => value.result_id === id)
    if (stored !== undefined) return stored.data
    const { stats } = event.result as { stats: JsonObject }
    return loopResult(turn.iterations(event.node_id ?? ''), stats, event.meta.frames === true)
  }

  return turn
}

function isIteration(event: Event): boolean {
  return (
    (event.event_type === 'call.done' || event.event_type === 'call.error') &&
    event.current_index !== undefined &&
    event.meta?.parked !== true
  )
}

/** True for an event whose result is the step's. */
export function isResult(event: Event): boolean {
  return (
    event.event_type === 'loop.done' ||
    ((event.event_type === 'call.done' || event.event_type === 'call.error') &&
      event.current_index === undefined)
  )
}

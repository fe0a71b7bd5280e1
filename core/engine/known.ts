import type { Event } from '../schemas/event.ts'
import type { State, Status } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'

/** What the engine has at hand of one execution: the row, the state, and the values loaded so far. */
export interface Known {
  executionId: string
  parentExecutionId: string | null
  status: Status
  /** Null for an execution that is not stored yet. */
  revision: number | null
  state: State
  workload: JsonObject | undefined
  /** Newest result of each step; null: it has none. */
  results: Map<string, Recorded | null>
  /** Results and contexts by event id. */
  events: Map<string, { context: JsonObject | null; result: Json; aside: boolean }>
  /** Whole results of those stored aside, by event id; kept only until the turn has been decided. */
  wholes: Map<string, Json>
  /** Results of a finished loop's iterations, by run id. */
  iterations: Map<string, Iterated[]>
  /** It began here, so that a result which is not in memory does not exist. */
  fresh: boolean
}

/** A result and the event that holds it, or the stub that stands for it. */
export interface Recorded {
  event_id: string
  result: Json
  aside: boolean
}

export interface Iterated {
  index: number
  ok: boolean
  result: Json
}

/** A value the decision turns on is not in memory. The caller loads it and decides again. */
export class NotLoaded extends Error {
  override name = 'NotLoaded'
  readonly what: { step: string } | { event: string } | { run: string } | { whole: string } | 'workload'
  constructor(what: NotLoaded['what']) {
    super(`not loaded: ${JSON.stringify(what)}`)
    this.what = what
  }
}

/** Newest result of a step with the event that holds it; undefined when the step has none. */
export function resultOf(known: Known, step: string): Recorded | undefined {
  const result = known.results.get(step)
  if (result === undefined && !known.fresh) throw new NotLoaded({ step })
  return result ?? undefined
}

/** The whole of a result stored aside. */
export function wholeOf(known: Known, id: string): Json {
  const whole = known.wholes.get(id)
  if (whole === undefined) throw new NotLoaded({ whole: id })
  return whole
}

export function eventOf(
  known: Known,
  id: string,
): { context: JsonObject | null; result: Json; aside: boolean } {
  const event = known.events.get(id)
  if (event === undefined) throw new NotLoaded({ event: id })
  return event
}

/** Names that an event set. */
export function setOf(event: { context?: JsonObject | null }): JsonObject {
  return (event.context?.set ?? {}) as JsonObject
}

/** Value of a ctx name, wherever it is kept. */
export function ctxOf(known: Known, name: string): Json | undefined {
  if (!Object.hasOwn(known.state.ctx, name)) return undefined
  const value = known.state.ctx[name]!
  if ('v' in value) return value.v
  return setOf(eventOf(known, value.at))[name]
}

export function workloadOf(known: Known): JsonObject {
  if (known.workload === undefined) throw new NotLoaded('workload')
  return known.workload
}

/** Events kept in memory of one execution; those that fell out are loaded again when asked for. */
const KEPT = 64

/** Takes in events that are stored: their results and large values need not be loaded. */
export function learn(known: Known, state: State, events: Event[]): Known {
  const next: Known = { ...known, state, iterations: new Map(), wholes: new Map() }
  for (const id of known.events.keys()) {
    if (known.events.size <= KEPT) break
    known.events.delete(id)
  }
  for (const event of events) {
    const { event_type: type, event_id, result = null } = event
    const aside = event.meta?.stored !== undefined
    const kept = { context: event.context ?? null, result, aside }
    if (type === 'call.done' || type === 'call.error' || type === 'loop.done') {
      if (event.current_index === undefined) {
        next.results.set(event.node_name ?? '', { event_id, result, aside })
        next.events.set(event_id, kept)
      }
    }
    if (type === 'loop.started' || event.context?.set !== undefined) {
      next.events.set(event_id, kept)
    }
  }
  return next
}

import type { CallError } from './command.ts'
import type { Json, JsonObject } from './json.ts'
import type { Trace } from './trace.ts'

export const STATUSES = ['RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED'] as const
/** Life of an execution; all but RUNNING are for ever. */
export type Status = (typeof STATUSES)[number]

/**
 * Routing state of one execution: what is under way and what waits, never what was done.
 * Saved with every transition, hence small: large values are kept by the id of the event that holds them.
 */
export interface State {
  /** Id of the execution's newest event. */
  last: string
  ctx: Record<string, Value>
  /** Step runs under way, by run id. */
  runs: Record<string, Run>
  /** Tokens that have arrived at a step and wait there. */
  held: Token[]
  /** The first error that nothing caught; the execution fails when what runs has ended. */
  failure?: { step: string; error: CallError }
  /** The final step has been entered. */
  final?: true
  /** Numbers for `progress`. */
  done: number
  /** Steps entered, one after the other, without a command between. Absent: none. */
  idle?: number
  /** How many executions stand above this one, each waiting for the next. Absent: none. */
  depth?: number
  /** Absent: no one traces it. */
  trace?: Trace
  /** Lane of its commands where neither step nor arc names one. Absent: the normal one. */
  lane?: string
}

/** A value at hand, or the event whose `context.set` holds it, with what it takes as JSON, roughly. */
export type Value = { v: Json } | { at: string; bytes?: number }

/** One run of a step. */
export interface Run {
  step: string
  /** Event whose result led here. */
  previous?: string
  /** Commands issued and not settled, and executions waited for, each with the index of its iteration (null: no loop). */
  open: Record<string, number | null>
  /** Of these, executions waited for, each with its `call.waiting` event. */
  waits?: Record<string, string>
  /** Arguments handed over by the arc, for a loop's later iterations. */
  args?: JsonObject
  /** Lane that the arc gave it. */
  lane?: string
  loop?: LoopRun
}

/** Progress of a loop: numbers only, the items stay in the `loop.started` event. */
export interface LoopRun {
  /** The `loop.started` event, whose context holds `items`. */
  at: string
  total: number
  /** Iterations in flight at once, where a template said it. */
  inFlight?: number
  /** Iterations issued; the next one has this index. */
  issued: number
  done: number
  failed: number
  /** What the results of its iterations take as JSON, roughly. */
  bytes: number
  /** First error that no rule absorbed. */
  error?: CallError
  /** With a cursor: rows worked on so far; `dry` once a frame had none. */
  rows?: number
  dry?: true
}

/** Something that lets a step begin. */
export interface Token {
  step: string
  previous?: string
  args: JsonObject
  /** Lane that the arc gives the step's commands. */
  lane?: string
  /** Arrived here by an arc of this step. */
  from?: string
  /** Issued beside the flow: it waits for nothing and joins nothing. */
  aside?: true
}

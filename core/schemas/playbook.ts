import type { Json, JsonObject } from './json.ts'

/**
 * What repeating a call does. `pure`: nothing outside changes. `idempotent`: twice is as once.
 * `keyed`: the other side drops a repeat with the same idempotency key. `unsafe`: it may happen twice.
 */
export type Effect = 'pure' | 'idempotent' | 'keyed' | 'unsafe'

/** From what may be repeated freely to what may not. */
export const EFFECTS: readonly Effect[] = ['pure', 'idempotent', 'keyed', 'unsafe']

/**
 * The one internal form of a playbook. Both dialects are compiled into it by `playbook/compile.ts`;
 * engine and worker see nothing else. Values of type `Json` may hold templates in their strings.
 */
export interface Playbook {
  path: string
  name: string
  description?: string
  dialect: 'current' | 'seed'
  /** Defaults of the workload; a top-level key of an execution's payload replaces the whole value. */
  workload: JsonObject
  steps: Step[]
  /** The step that runs first: `start` unless `executor.spec.entry_step` names another. */
  entry: string
  /** A step to run last, when everything else has ended. */
  finalStep?: string
  /**
   * What an uncaught error does: `fail` stops the run, `continue` follows arcs as after success, `park` leaves
   * the command as a dead letter, from which the run goes on when it is retried.
   */
  onError: 'fail' | 'continue' | 'park'
  /** A step that succeeds and has arcs of which none matches fails. */
  noNextIsError?: true
  /** Lane of its commands where neither step nor arc names one; absent: the one it is started in. */
  lane?: string
  /** Steps that an execution may enter; absent: the engine's own limits. */
  maxSteps?: number
  /** Secrets and tokens by name, resolved where a tool that names them runs. */
  keychain: KeychainEntry[]
}

/** One entry of `keychain`, visible as `keychain.<name>.<field>`. */
export interface KeychainEntry {
  name: string
  kind: string
  /** Its other fields; they may hold templates over the workload and earlier entries. */
  config: JsonObject
}

export interface Step {
  name: string
  description?: string
  /** Line of the step in the source, from 1; for messages. */
  line: number
  /** The tools it runs, in order. Empty for a step that only routes. */
  tasks: Task[]
  /** True when `tool` was written as a list: results are merged, labels are bound. */
  pipeline: boolean
  /** Step-level `input` (old spelling `args`), laid under each task's own input. */
  input: JsonObject
  loop?: Loop
  /** Applied after the tool and before arcs are looked at. */
  set: JsonObject
  next: Router
  /** Looked at when the step is entered, before its tools run; the first that matches is taken. */
  onEnter: Reaction[]
  /** Looked at after its tools ran, in a loop after each iteration; the first that matches is taken. */
  onCall: Reaction[]
  /** Looked at after `onCall`, as the step is left; the first that matches is taken too. */
  onExit: Reaction[]
  /** A loop's result: all iterations, or the last one's. */
  loopResult: 'all' | 'last'
  /** Rules that may refuse the step before it runs. */
  admit: AdmitRule[]
  /** Runs of the command that leases may begin before it is given up. */
  maxAttempts?: number
  /** Lane of its commands. */
  lane?: string
  /** Fields of an externalised result kept at hand. */
  outputSelect: string[]
  /** By what name a result that is stored aside is known; by its size when absent. */
  outputStore?: 'kv' | 'disk' | 'db'
}

export interface Router {
  /** `exclusive`: the first arc that matches. `inclusive`: every arc that matches. */
  mode: 'exclusive' | 'inclusive'
  arcs: Arc[]
  /** No arc matching is as it should be, even where `noNextIsError`. */
  quiet?: true
}

export interface Arc {
  step: string
  /** Absent: always true on success, never true after an error. */
  when?: Json
  set: JsonObject
  /** Arguments handed to the target; they win over its own input. */
  args: JsonObject
  /** Lane of the target's commands; it wins over the target's own. */
  lane?: string
  /** Arcs of one number are taken together: several targets of one `then`. */
  group?: number
}

/** What follows from an event of a step beside its result: values, other steps, the way on. */
export interface Reaction {
  when?: Json
  set: JsonObject
  collect: Collect[]
  /** Steps issued beside the flow; nothing waits for them as for a branch of its own. */
  calls: Target[]
  /** Where the flow goes on; null: the step's own `next` says. */
  next: Target[] | null
}

/** Adds a value to a list in ctx: as one element, or each element of it. */
export interface Collect {
  /** Name in ctx. */
  into: string
  from: Json
  mode: 'append' | 'extend'
}

/** A step with the arguments handed to it. */
export interface Target {
  step: string
  args: JsonObject
}

export interface AdmitRule {
  when?: Json
  allow: boolean
}

export interface Loop {
  in: Json
  iterator: string
  mode: 'sequential' | 'parallel'
  /** Iterations in flight at once, or a template that says how many; 1 when sequential. With a cursor: frames. */
  maxInFlight: number | string
  /** Its items are rows that a worker claims, a frame of them at a time, until there are no more. */
  cursor?: Cursor
}

/** Where the rows of a loop come from. */
export interface Cursor {
  /** Tool kind that runs the SQL. */
  kind: string
  /** Fields of that tool; `command` is the SQL that marks rows as taken and returns them. */
  config: JsonObject
  /** Rows a frame should have; the SQL may use it as `__frame_max_rows`. */
  maxRows: number
  /** Rows of a frame worked on at once. */
  rowConcurrency: number
  /** No row of a frame is begun after so many seconds. */
  maxSeconds?: number
}

/** One tool call of a step. */
export interface Task {
  /** Its name in the pipeline: `name`, or `task_<i>`. */
  label: string
  kind: string
  /** The tool's own fields (`url`, `code`, `command`, `auth`, …), without those named below. */
  config: JsonObject
  /** Named arguments, from `input` or `args`. */
  input: JsonObject
  /** Names bound after it ran. */
  set: JsonObject
  rules: Rule[]
  /** What repeating it does; absent: what its tool says. */
  effect?: Effect
  /** Asked before it runs again after its worker died: whether it had its effect, and with what result. */
  probe?: Task
  /** It is passed over unless this holds. */
  when?: Json
  /** Runs for its effect: its result is not part of the step's. */
  aside?: true
  /** The result of SQL: everything, or the plain list of rows. */
  rows?: true
}

/** One policy rule; the first whose `when` holds decides. */
export interface Rule {
  /** Absent on `else`. */
  when?: Json
  do: 'continue' | 'retry' | 'fail' | 'break' | 'jump'
  /** Label to go to, for `jump`. */
  to?: string
  /** Runs in all, for `retry`. Default 3. May be a template. */
  attempts: Json
  /** Seconds before the next run, for `retry`. Default 1. May be a template. */
  delay: Json
  backoff: 'none' | 'fixed' | 'linear' | 'exponential'
  set: JsonObject
  /** Text of the failure, for `fail`. */
  message?: Json
  /** What the result is instead. */
  result?: Json
}

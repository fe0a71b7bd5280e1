import type { Json, JsonObject } from './json.ts'

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
  /** What an uncaught error does: `fail` stops the run, `continue` follows arcs as after success. */
  onError: 'fail' | 'continue'
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
  /** Rules that may refuse the step before it runs. */
  admit: AdmitRule[]
  /** Runs of the command that leases may begin before it is given up. */
  maxAttempts?: number
  /** Fields of an externalised result kept at hand. */
  outputSelect: string[]
}

export interface Router {
  /** `exclusive`: the first arc that matches. `inclusive`: every arc that matches. */
  mode: 'exclusive' | 'inclusive'
  arcs: Arc[]
}

export interface Arc {
  step: string
  /** Absent: always true on success, never true after an error. */
  when?: Json
  set: JsonObject
  /** Arguments handed to the target; they win over its own input. */
  args: JsonObject
  /** Arcs of one number are taken together: several targets of one `then`. */
  group?: number
}

export interface AdmitRule {
  when?: Json
  allow: boolean
}

export interface Loop {
  in: Json
  iterator: string
  mode: 'sequential' | 'parallel'
  /** Iterations in flight at once; 1 when sequential. */
  maxInFlight: number
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
}

import type { Json, JsonObject } from './json.ts'
import type { Cursor, KeychainEntry, Playbook, Task } from './playbook.ts'
import type { CommandTrace } from './trace.ts'

/** What a worker gets with a lease: all that one run of a step's tools needs. */
export interface LeasedCommand {
  /** Id of the command: its queue row and its `command.issued` event. */
  command_id: string
  execution_id: string
  parent_execution_id: string | null
  step: string
  /** Id of the step run: the same for all iterations of one loop. */
  run_id: string
  /** Which lease of this command this is, from 1. */
  attempt: number
  max_attempts: number
  /** Proof of the lease; renew and report compare it. */
  token: string
  /** Seconds the lease lasts unless renewed. */
  lease_seconds: number
  lane: string
  pool: string
  playbook: { path: string; version: number; catalog_id: string; dialect: Playbook['dialect'] }
  body: StepBody
  /** Arguments handed over by an arc; they win over the step's own. */
  args: JsonObject
  iteration: Iteration | null
  context: CommandContext
  /** The body runs once for each row of a frame that is claimed first. */
  frame: Frame | null
  /** Goes on after a wait: for another execution that has ended, or for a time. */
  resume: Resume | null
  /** Absent: no one traces it. */
  trace?: CommandTrace
}

/** A frame of a loop over a cursor. */
export interface Frame {
  iterator: string
  cursor: Cursor
}

/** Where a body goes on that waited, and for what. */
export interface Resume {
  /** What the worker handed over when it began to wait. */
  state: JsonObject
  /** What the execution that it waited for came to; null: it waited for a time, and calls again. */
  outcome: { result: Json; error: CallError | null } | null
}

/** An execution that a body waits for. Its worker is free meanwhile; another may go on. */
export interface Child {
  path: string
  version: number | null
  payload: JsonObject
  /** The step of it whose result is wanted; null: only that it has ended. */
  return_step: string | null
  timeout_seconds: number | null
  /** Lane of the command that begins it, if it is not the normal one. */
  lane?: string
}

/** The part of a step that runs on a worker. */
export interface StepBody {
  tasks: Task[]
  pipeline: boolean
  input: JsonObject
}

export interface Iteration {
  /** Name the element is bound to. */
  iterator: string
  /** Position in the list, from 0. */
  index: number
  total: number
  item: Json
}

/** Values that the step's templates refer to; others are left out. */
export interface CommandContext {
  workload: JsonObject
  ctx: JsonObject
  /** Results by step name. */
  steps: JsonObject
  /** Of those that are stored aside, the stub that stands for them. */
  stubs: JsonObject
  /** Result of the step that led here; absent: none did. */
  previous?: Json
  previous_stub: Json
  /** Keychain entries that the templates name. */
  keychain: KeychainEntry[]
}

/** Kinds of a tool's failure, as rules and arcs see them in `output.error.kind`. */
export const ERROR_KINDS = [
  'connection',
  'timeout',
  'rate_limit',
  'auth',
  'not_found',
  'client_error',
  'server_error',
  'schema',
  'parse',
  'transform',
  'db_connection',
  'db_constraint',
  'db_deadlock',
  'db_timeout',
  'storage_quota',
  'storage_access',
  'tool_error',
  'cancelled',
  'unknown',
] as const
export type ErrorKind = (typeof ERROR_KINDS)[number]

/** How a failed call is told: `output.error`, the payload of `call.error`, the `error` of an execution. */
export interface CallError {
  kind: ErrorKind
  message: string
  /** A code of the tool or of the gateway: an SQLSTATE, `NOETL_ERR_…`. */
  code: string | null
  retryable: boolean
  /** HTTP status, where there was one. */
  status: number | null
  status_code: number | null
  /** Seconds the other side asked to wait. */
  retry_after: number | null
}

/** An error that no other side told: by default not retryable, without a status. */
export function makeCallError(about: Pick<CallError, 'kind' | 'message'> & Partial<CallError>): CallError {
  return { code: null, retryable: false, status: null, status_code: null, retry_after: null, ...about }
}

/** A line that a tool wrote while a command ran. */
export interface OutputLine {
  /** ISO time. */
  at: string
  level: 'debug' | 'info' | 'warn' | 'error'
  /** `stdout` or `stderr` of what a tool ran; absent: the tool itself said it. */
  stream?: string
  text: string
}

/** What running a command's body came to. */
export type Outcome = {
  /** Result of the step: of the single tool, or of the pipeline merged. On error, what there was of it. */
  result: Json
  /** `ctx.*` and bare names that rules and tool `set` assigned, in order of assignment. */
  set: JsonObject
  /** Values that `step.*` names were given: for the step's own `set` and arcs. */
  step?: JsonObject
  /** Output that was not sent before. */
  log?: { lines: OutputLine[] }
  meta: {
    duration_ms: number
    /** Tool calls made, retries included. */
    calls: number
    /** Extra facts of the last call (`http`, `pg`, `py`). */
    facets: JsonObject
  }
} & (
  | { status: 'ok'; error: null }
  | { status: 'error'; error: CallError }
  /** It waits for another execution; `resume` is handed back when it goes on. */
  | { status: 'waiting'; error: null; child: Child; resume: JsonObject }
  /** A rule repeats a call, but not for so long that its worker may do something else; `error` is why. */
  | { status: 'retrying'; error: CallError | null; delay_seconds: number; resume: JsonObject }
)

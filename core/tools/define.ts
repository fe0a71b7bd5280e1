import type { Static, TSchema } from 'typebox'
import type { CallError, ErrorKind } from '../schemas/command.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import type { Effect } from '../schemas/playbook.ts'

/** The contract between the gateway and a tool. A plugin built for another number is refused at boot. */
export const CONTRACT = 1

export type { Effect } from '../schemas/playbook.ts'

/** A log with pino's call form: facts first, then a fixed sentence. */
export interface ToolLog {
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** What a tool is given beside its input. */
export interface ToolCall {
  /** Aborts on deadline, lost lease, cancel and hard stop; `signal.reason` says which. */
  signal: AbortSignal
  log: ToolLog
  /** Which run of this call it is, from 1: retries by rule count, leases do not. */
  attempt: number
  /** The same for every repeat of the same call, different for any other. */
  idempotencyKey: string
  executionId: string
  step: string
  /** W3C trace context of this call, for who it calls. Absent: no one traces it. */
  traceparent?: string
  /** Data of the credential stored under `alias`. Throws ToolError `auth` when there is none. */
  credentials(alias: string): Promise<Credential>
  /** All names visible to the step, by name: `execution_id`, workload keys, step results. */
  context(): JsonObject
}

/** A stored credential: `type` such as `postgres`, `bearer`, `basic`, `api_key`, and its fields. */
export interface Credential {
  name: string
  type: string
  data: JsonObject
}

export interface Tool<I extends TSchema = TSchema, O extends TSchema = TSchema> {
  /** Word after `kind:` in a playbook. */
  kind: string
  contract: typeof CONTRACT
  /**
   * Schema of the rendered fields: the tool's own (`url`, `code`, …) at top level and the step's named
   * arguments, if any, under `input`. Also validates playbooks and generates docs.
   */
  input: I
  /** Schema of the result. */
  output: O
  /** Fields whose templates give text whatever they hold: code and SQL. */
  textFields?: readonly string[]
  effect: Effect
  /** Returns the result or throws ToolError; anything else thrown is a bug of the tool. */
  run(input: Static<I>, call: ToolCall): Promise<Json>
  /** Facts about a result that rules read beside it: `{ http: { status, headers } }`. */
  facets?(result: Json): JsonObject
  /** Frees what it holds. Safe twice. */
  close?(): Promise<void>
}

/** Declares a tool with its input and output types bound to the schemas. */
export function defineTool<I extends TSchema, O extends TSchema>(tool: Tool<I, O>): Tool<I, O> {
  return Object.freeze(tool)
}

const RETRYABLE: ReadonlySet<ErrorKind> = new Set([
  'connection',
  'timeout',
  'rate_limit',
  'server_error',
  'db_connection',
  'db_deadlock',
  'db_timeout',
])

export interface ToolErrorOptions {
  code?: string
  /** Default: by kind. */
  retryable?: boolean
  status?: number
  retryAfterSeconds?: number
  /** What there is of a result, beside the error: the body of a 404. */
  result?: Json
  /** As `Tool.facets`. */
  facets?: JsonObject
  cause?: unknown
}

/** An expected failure of a tool: the other side said no, the code raised, the time was up. */
export class ToolError extends Error {
  override name = 'ToolError'
  readonly kind: ErrorKind
  readonly code: string | null
  readonly retryable: boolean
  readonly status: number | null
  readonly retryAfterSeconds: number | null
  readonly result: Json
  readonly facets: JsonObject

  constructor(kind: ErrorKind, message: string, options: ToolErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.kind = kind
    this.code = options.code ?? null
    this.retryable = options.retryable ?? RETRYABLE.has(kind)
    this.status = options.status ?? null
    this.retryAfterSeconds = options.retryAfterSeconds ?? null
    this.result = options.result ?? null
    this.facets = options.facets ?? {}
  }

  /** The form in which it travels: `output.error` and the payload of `call.error`. */
  toCallError(): CallError {
    return {
      kind: this.kind,
      message: this.message,
      code: this.code,
      retryable: this.retryable,
      status: this.status,
      status_code: this.status,
      retry_after: this.retryAfterSeconds,
    }
  }
}

/** Why a call's signal was aborted; `signal.reason` is one of these. */
export class CallAborted extends Error {
  override name = 'CallAborted'
  readonly why: 'deadline' | 'lease-lost' | 'cancelled' | 'stopping'
  constructor(why: CallAborted['why'], message: string) {
    super(message)
    this.why = why
  }
}

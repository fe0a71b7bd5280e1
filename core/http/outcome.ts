import { makeError } from '../errors.ts'
import { type CallError, type Child, ERROR_KINDS, type Outcome } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'

/** Events that tell the outcome of a command. */
export type ReportName = 'call.done' | 'call.error' | 'call.waiting' | 'call.retrying'

/** A delay longer than this is a mistake. */
const MAX_DELAY_SECONDS = 7 * 86_400

/** What a call came to, from the payload of its event. */
export function readOutcome(name: ReportName, payload: JsonObject): Outcome {
  const result = payload.result ?? payload.response ?? null
  const told = isObject(payload.meta) ? payload.meta : {}
  const meta = {
    duration_ms: typeof told.duration_ms === 'number' ? told.duration_ms : 0,
    calls: typeof told.calls === 'number' ? told.calls : 1,
    facets: isObject(told.facets) ? told.facets : {},
  }
  const set = isObject(payload.set) ? payload.set : {}
  const rest = {
    ...(isObject(payload.step) ? { step: payload.step } : {}),
    ...(isObject(payload.log) ? { log: payload.log as unknown as NonNullable<Outcome['log']> } : {}),
  }
  if (name === 'call.done') return { status: 'ok', error: null, result, set, meta, ...rest }
  const resume = isObject(payload.resume) ? payload.resume : {}
  if (name === 'call.retrying') {
    const delay = Number(payload.delay_seconds)
    const error = payload.error === null || payload.error === undefined ? null : readError(payload.error)
    const delay_seconds = Number.isFinite(delay) ? Math.min(MAX_DELAY_SECONDS, Math.max(0, delay)) : 0
    return { status: 'retrying', error, result, set, meta, resume, delay_seconds, ...rest }
  }
  if (name === 'call.waiting') {
    return {
      status: 'waiting',
      error: null,
      result,
      set,
      meta,
      child: readChild(payload.child),
      resume,
      ...rest,
    }
  }
  return { status: 'error', error: readError(payload.error), result, set, meta, ...rest }
}

/** A worker's error: a text, or an object of which at least the message is taken. */
export function readError(value: Json | undefined): CallError {
  const told = isObject(value) ? value : {}
  const message = typeof value === 'string' ? value : told.message
  const kind = ERROR_KINDS.find((known) => known === told.kind) ?? 'unknown'
  const number = (field: Json | undefined) => (typeof field === 'number' ? field : null)
  return {
    kind,
    message: typeof message === 'string' && message !== '' ? message : 'the worker gave no reason',
    code: typeof told.code === 'string' ? told.code : null,
    retryable: told.retryable === true,
    status: number(told.status ?? told.status_code),
    status_code: number(told.status_code ?? told.status),
    retry_after: number(told.retry_after),
  }
}

/** The token of a lease; null where the worker has none. */
export function readToken(value: Json | undefined): string | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) return value
  throw makeError('NOETL_ERR_REQUEST_INVALID', ['body/meta/token must be the UUID of the lease'])
}

export function readTime(value: Json | undefined): string | null {
  if (typeof value !== 'string' || Number.isNaN(Date.parse(value))) return null
  return new Date(value).toISOString()
}

/** The execution that a worker's command waits for. */
function readChild(value: Json | undefined): Child {
  const told = isObject(value) ? value : {}
  if (typeof told.path !== 'string') {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      'call.waiting needs payload.child: {path, payload, return_step?, timeout_seconds?}',
    ])
  }
  return {
    path: told.path,
    version: typeof told.version === 'number' ? told.version : null,
    payload: isObject(told.payload) ? told.payload : {},
    return_step: typeof told.return_step === 'string' ? told.return_step : null,
    timeout_seconds: typeof told.timeout_seconds === 'number' ? told.timeout_seconds : null,
  }
}

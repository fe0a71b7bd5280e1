import { type ErrorKind, isObject, type Json, parseJson, ToolError } from '@noetl/core'

/** What was being done when a request failed. */
export interface Doing {
  /** `create Job a/b`. */
  what: string
  server: string
  requestMs: number
}

/** The failure of a request to the API, in the words of the cluster. */
export function apiFailure(error: unknown, doing: Doing): ToolError {
  if (error instanceof ToolError) return error
  const { what, server } = doing
  const status = statusOf(error)
  if (status === null) return exchangeFailure(error, doing)
  const { message, reason } = wordsOf(error)
  const why = message === '' ? `it answered ${status}` : message
  const kind = kindOf(status)
  const hint = kind === 'auth' ? ` ${hintOf(status)}` : ''
  const seconds = kind === 'rate_limit' || kind === 'server_error' ? retryAfter(error) : null
  return new ToolError(kind, `Kubernetes at ${server} did not ${what}: ${why}${hint}`, {
    status,
    ...(reason === '' ? {} : { code: reason }),
    ...(seconds === null ? {} : { retryAfterSeconds: seconds }),
  })
}

/** The HTTP status of an answer that the client threw as an error; null for anything else. */
function statusOf(error: unknown): number | null {
  // An abort has a number as its code too, and no headers.
  if (!(error instanceof Error) || !('code' in error) || !('headers' in error)) return null
  return typeof error.code === 'number' ? error.code : null
}

/** Failures that may pass while a Job goes on. */
export function mayPass(error: unknown): boolean {
  return (
    error instanceof ToolError && ['connection', 'timeout', 'server_error', 'rate_limit'].includes(error.kind)
  )
}

function kindOf(status: number): ErrorKind {
  if (status === 401 || status === 403) return 'auth'
  if (status === 404) return 'not_found'
  if (status === 422) return 'schema'
  // Two that change one thing at once, a quota for instance: the next time it fits.
  if (status === 409) return 'server_error'
  if (status === 429) return 'rate_limit'
  return status < 500 ? 'client_error' : 'server_error'
}

function hintOf(status: number): string {
  return status === 401
    ? 'Check the token of the credential.'
    : 'The tool needs a role that may create, get, watch, patch and delete jobs, list pods and get pods/log.'
}

/** Message and reason of the Status object that an answer carries. */
function wordsOf(error: unknown): { message: string; reason: string } {
  const body = error instanceof Error && 'body' in error ? error.body : null
  let status: unknown = body
  if (typeof body === 'string') {
    try {
      status = parseJson(body) satisfies Json
    } catch {
      // A proxy in between may say it in HTML, which helps nobody.
      status = null
    }
  }
  if (!isObject(status)) return { message: '', reason: '' }
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  const message = text(status.message).slice(0, 2000)
  return {
    message: message === '' || /[.!?]$/.test(message) ? message : `${message}.`,
    reason: text(status.reason),
  }
}

function retryAfter(error: unknown): number | null {
  const headers = error instanceof Error && 'headers' in error ? error.headers : null
  const given = isObject(headers) ? headers['retry-after'] : null
  return typeof given === 'string' && /^\d+$/.test(given) ? Number(given) : null
}

/** The failure of a request that got no whole answer. */
function exchangeFailure(error: unknown, { what, server, requestMs }: Doing): ToolError {
  const root = firstCause(error)
  const code = 'code' in root ? String(root.code) : ''
  const options = code === '' ? {} : { code }
  if (root.name === 'TimeoutError' || code === 'UND_ERR_CONNECT_TIMEOUT') {
    return new ToolError(
      'timeout',
      `Kubernetes at ${server} did not ${what} within ${requestMs / 1000} s: it does not answer.`,
      options,
    )
  }
  if (/CERT|^ERR_TLS_|^UNABLE_TO_/.test(code)) {
    return new ToolError(
      'connection',
      `The certificate of Kubernetes at ${server} is not accepted (${code}): put the cluster's authority into "ca" of the credential.`,
      { ...options, retryable: false },
    )
  }
  const detail = code === '' || root.message.includes(code) ? root.message : `${code}: ${root.message}`
  return new ToolError(
    'connection',
    `Kubernetes at ${server} cannot be reached to ${what}: ${detail}.`,
    options,
  )
}

function firstCause(error: unknown): Error {
  if (error instanceof AggregateError && error.errors.length > 0) return firstCause(error.errors[0])
  if (error instanceof Error && error.cause instanceof Error) return firstCause(error.cause)
  return error instanceof Error ? error : new Error(String(error))
}

import { type ErrorKind, ToolError } from '@noetl/core'
import { ErrorCode, NatsError } from 'nats'
import type { Settings } from './settings.ts'

/** What an operation is about, to say what is missing. */
export interface Place {
  kind: 'bucket' | 'store' | 'stream' | 'subject'
  name: string
}

/** Codes of the JetStream API that say more than their HTTP-like status. */
const STREAM_NOT_FOUND = 10059
const MESSAGE_NOT_FOUND = 10037
const API_KINDS: Readonly<Record<number, ErrorKind>> = {
  10002: 'storage_quota', // of the account
  10023: 'storage_quota', // resources
  10028: 'storage_quota', // memory of the server
  10047: 'storage_quota', // disk of the server
  10054: 'schema', // larger than the stream takes
  10060: 'client_error', // another stream than expected
  10077: 'storage_quota', // messages or bytes of the stream
}

const AUTH_CODES: ReadonlySet<string> = new Set([
  ErrorCode.AuthorizationViolation,
  ErrorCode.AuthenticationExpired,
  ErrorCode.AuthenticationTimeout,
  ErrorCode.AccountExpired,
  ErrorCode.BadAuthentication,
  ErrorCode.BadCreds,
])

/** True where the server says that there is no such message. */
export function isMissingMessage(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === MESSAGE_NOT_FOUND
}

export function isMissingStream(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === STREAM_NOT_FOUND
}

/** True where nobody took a request: JetStream is off, or no stream has that subject. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof NatsError && error.code === ErrorCode.NoResponders && error.api_error === undefined
}

const MISSING: Readonly<Record<Place['kind'], (name: string, at: string) => string>> = {
  bucket: (name, at) =>
    `There is no key-value bucket "${name}" at ${at}, and the nats tool makes none: run "nats kv add ${name}", or name one that is there.`,
  store: (name, at) =>
    `There is no object store "${name}" at ${at}, and the nats tool makes none: run "nats object add ${name}", or name one that is there.`,
  stream: (name, at) =>
    `There is no stream "${name}" at ${at}, and the nats tool makes none: run "nats stream add ${name}", or name one that is there.`,
  subject: (name, at) =>
    `No stream at ${at} keeps messages of subject "${name}": add the subject to one with "nats stream edit" or "nats stream add".`,
}

export function missingFailure(place: Place, settings: Settings): ToolError {
  return new ToolError('not_found', MISSING[place.kind](place.name, endpoint(settings)), {
    code: String(STREAM_NOT_FOUND),
  })
}

export function withoutJetStream(settings: Settings): ToolError {
  return new ToolError(
    'server_error',
    `JetStream does not answer at ${endpoint(settings)}: it is off there or for this account, or not ready yet. Start the server with -js.`,
    { code: ErrorCode.JetStreamNotEnabled },
  )
}

/** The failure of an operation, told with what it was about and never with what was sent. */
export function operationFailure(
  error: unknown,
  at: { operation: string; place: Place; settings: Settings },
): unknown {
  if (!(error instanceof NatsError)) return error
  const { operation, place, settings } = at
  const api = error.api_error
  const what = `${operation} of ${place.kind === 'store' ? 'bucket' : place.kind} "${place.name}" at ${endpoint(settings)}`
  if (api !== undefined) {
    if (api.err_code === STREAM_NOT_FOUND) return missingFailure(place, settings)
    return new ToolError(API_KINDS[api.err_code ?? 0] ?? kindOf(api.code), `${what}: ${api.description}.`, {
      code: String(api.err_code ?? api.code),
      cause: error,
    })
  }
  const options = { code: error.code, cause: error }
  if (error.code === ErrorCode.Timeout) {
    return new ToolError('timeout', `${what} had no answer in time.`, options)
  }
  if (error.code === ErrorCode.PermissionsViolation) {
    return new ToolError('auth', `${what} is not allowed: ${error.message}.`, options)
  }
  if (error.code === ErrorCode.MaxPayloadExceeded) {
    return new ToolError('schema', `${what}: the message is larger than the server takes.`, options)
  }
  if (AUTH_CODES.has(error.code)) return new ToolError('auth', `${what}: ${error.message}.`, options)
  return new ToolError('connection', `${what}: ${error.message}.`, options)
}

function kindOf(status: number): ErrorKind {
  if (status === 404) return 'not_found'
  return status < 500 ? 'client_error' : 'server_error'
}

/** The failure of getting a connection. */
export function connectFailure(error: unknown, settings: Settings): ToolError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const who = settings.user === null ? '' : ` as ${settings.user}`
  const options = { cause: error, ...(code === '' ? {} : { code }) }
  if (AUTH_CODES.has(code)) {
    const why =
      code === ErrorCode.BadCreds
        ? 'its creds are no credentials file'
        : 'check its user and password, token or creds'
    return new ToolError(
      'auth',
      `NATS at ${endpoint(settings)} did not let the nats tool in${who}: ${why}.`,
      options,
    )
  }
  if (/CERT|^ERR_TLS_|^UNABLE_TO_|^DEPTH_ZERO/.test(code)) {
    return new ToolError(
      'connection',
      `The certificate of NATS at ${endpoint(settings)} is not accepted (${code}): put the authority's certificate into "ca" of the credential.`,
      { ...options, retryable: false },
    )
  }
  return new ToolError(
    'connection',
    `No connection to NATS at ${endpoint(settings)}: ${describe(error)}.`,
    options,
  )
}

/** The failure of a call whose connection went away under it. */
export function brokenFailure(settings: Settings): ToolError {
  return new ToolError(
    'connection',
    `The connection to NATS at ${endpoint(settings)} broke before the answer: what was asked for may have been done or not.`,
    { code: ErrorCode.Disconnect },
  )
}

/** Hosts and ports, as messages name a server. */
export function endpoint(settings: Settings): string {
  return settings.servers.join(', ')
}

function describe(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  if (message === ErrorCode.ConnectionRefused) return 'it refuses connections'
  return message === ErrorCode.Timeout ? 'it does not answer' : message
}

import { STATUS_CODES } from 'node:http'
import { type ErrorKind, isObject, type JsonObject, ToolError } from '@noetl/core'
import type { Outgoing } from './request.ts'
import { showUrl } from './secrets.ts'

/** The failure that an answer of 400 or more is, with the whole result beside it. */
export function statusFailure(outgoing: Outgoing, result: JsonObject): ToolError {
  const status = Number(result.status_code)
  const headers = isObject(result.headers) ? result.headers : {}
  const reason = STATUS_CODES[status]
  const seconds = retryAfter(headers['retry-after'], Date.now())
  return new ToolError(
    kindOf(status),
    `${outgoing.method} ${showUrl(outgoing.url)} answered ${status}${reason === undefined ? '' : ` ${reason}`}.`,
    {
      status,
      result,
      facets: { http: { status, headers } },
      ...(seconds === null ? {} : { retryAfterSeconds: seconds }),
    },
  )
}

function kindOf(status: number): ErrorKind {
  if (status === 429) return 'rate_limit'
  if (status === 401 || status === 403) return 'auth'
  if (status === 404) return 'not_found'
  return status < 500 ? 'client_error' : 'server_error'
}

/** Seconds to wait by a Retry-After header, which holds seconds or a date. */
export function retryAfter(header: unknown, now: number): number | null {
  if (typeof header !== 'string' || header.trim() === '') return null
  if (/^\s*\d+\s*$/.test(header)) return Number(header)
  const date = Date.parse(header)
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - now) / 1000))
}

/** The failure of a request that got no whole answer. */
export function exchangeFailure(outgoing: Outgoing, error: unknown): ToolError {
  if (error instanceof ToolError) return error
  const root = firstCause(error)
  const code = 'code' in root ? String(root.code) : ''
  const what = `${outgoing.method} ${showUrl(outgoing.url)}`
  const options = { cause: error, ...(code === '' ? {} : { code }) }
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') {
    return new ToolError(
      'timeout',
      `${what}: ${endpoint(outgoing.url)} did not take the connection in time.`,
      options,
    )
  }
  if (code.startsWith('Z_') || code.startsWith('ERR__ERROR')) {
    return new ToolError('parse', `${what}: the answer cannot be unpacked: ${root.message}`, options)
  }
  if (isCertificateFault(code)) {
    return new ToolError(
      'connection',
      `${what}: the certificate of ${endpoint(outgoing.url)} is not accepted (${code}). If that is expected, set verify_ssl: false.`,
      { ...options, retryable: false },
    )
  }
  if (code === 'UND_ERR_INVALID_ARG') {
    return new ToolError('schema', `${what} cannot be sent: ${root.message}`, options)
  }
  const detail = code === '' || root.message.includes(code) ? root.message : `${code}: ${root.message}`
  return new ToolError('connection', `${what}: no answer from ${endpoint(outgoing.url)}: ${detail}`, options)
}

function isCertificateFault(code: string): boolean {
  return /CERT|^ERR_TLS_|^UNABLE_TO_/.test(code)
}

function endpoint(url: URL): string {
  return `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`
}

/** Trying several addresses of a name fails with one error per address; the first says enough. */
function firstCause(error: unknown): Error {
  if (error instanceof AggregateError && error.errors.length > 0) return firstCause(error.errors[0])
  if (error instanceof Error && 'cause' in error && error.cause instanceof Error)
    return firstCause(error.cause)
  return error instanceof Error ? error : new Error(String(error))
}

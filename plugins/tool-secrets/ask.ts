import { type ErrorKind, type Json, ToolError } from '@noetl/core'
import { request } from 'undici'
import type { Reading } from './provider.ts'
import { jsonOf } from './value.ts'

export interface Question {
  url: URL
  headers: Record<string, string>
  /** Sent as a form with POST; a GET without it. */
  form?: URLSearchParams
  /** What is asked for, as messages name it. The URL may hold a secret: only its origin is shown. */
  what: string
  maxBytes: number
}

/** One request; gives the body of an answer of 200. Anything else is a ToolError that shows nothing of the answer. */
export async function ask(question: Question, reading: Reading): Promise<{ bytes: Buffer; isJson: boolean }> {
  const { url, form, what, maxBytes } = question
  try {
    const response = await request(url, {
      dispatcher: reading.dispatcher,
      method: form === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json, */*;q=0.5',
        'user-agent': 'noetl-tool-secrets',
        ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...question.headers,
      },
      body: form?.toString() ?? null,
      signal: reading.signal,
    })
    const { statusCode, headers, body } = response
    if (statusCode !== 200) {
      await body.dump()
      throw statusFailure(question, statusCode, headers['retry-after'])
    }
    if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
      await body.dump()
      throw new ToolError('parse', `${what}: ${url.origin} answered in a packed form that was not asked for.`)
    }
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of body) {
      size += chunk.length
      if (size > maxBytes)
        throw new ToolError(
          'tool_error',
          `${what}: ${url.origin} answered with more than ${maxBytes} bytes, the limit for one secret.`,
        )
      chunks.push(chunk)
    }
    return { bytes: Buffer.concat(chunks), isJson: isJsonType(headers['content-type']) }
  } catch (error) {
    throw error instanceof ToolError ? error : exchangeFailure(question, error)
  }
}

/** As `ask`, where the answer must be JSON. */
export async function askJson(question: Question, reading: Reading): Promise<Json> {
  const { bytes } = await ask(question, reading)
  return jsonOf(bytes, `The answer of ${question.url.origin}`)
}

function isJsonType(header: string | string[] | undefined): boolean {
  const type = String(header ?? '')
    .split(';')[0]!
    .trim()
    .toLowerCase()
  return type === 'application/json' || type.endsWith('+json')
}

function statusFailure(
  { url, what, form }: Question,
  status: number,
  retryAfter: string | string[] | undefined,
): ToolError {
  const seconds = typeof retryAfter === 'string' && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) : null
  const options = { status, ...(seconds === null ? {} : { retryAfterSeconds: seconds }) }
  const says = `${url.origin} answered ${status}`
  switch (status) {
    case 401:
    case 403:
      return new ToolError(
        'auth',
        `${what} is denied: ${says}. The credential must be valid there and may read it.`,
        options,
      )
    case 404:
    case 410:
      return new ToolError('not_found', `${what} is not there: ${says}.`, options)
    default:
      return new ToolError(
        // A token that is not given is told with 400.
        form !== undefined && status === 400 ? 'auth' : kindOf(status),
        `${what} could not be read: ${says}${status >= 300 && status < 400 ? '; redirects are not followed' : ''}.`,
        options,
      )
  }
}

function kindOf(status: number): ErrorKind {
  if (status === 429) return 'rate_limit'
  return status < 500 ? 'client_error' : 'server_error'
}

/** Without the error as cause: what a client says of a broken answer can quote the answer. */
function exchangeFailure({ url, what }: Question, error: unknown): ToolError {
  const root = firstCause(error)
  const code = 'code' in root ? String(root.code) : ''
  const options = code === '' ? {} : { code }
  if (code === 'UND_ERR_INVALID_ARG') {
    return new ToolError(
      'schema',
      `${what} cannot be asked for: a header of the request holds a character that none can.`,
      options,
    )
  }
  if (/CERT|^ERR_TLS_|^UNABLE_TO_/.test(code)) {
    return new ToolError(
      'connection',
      `${what}: the certificate of ${url.origin} is not accepted (${code}).`,
      { ...options, retryable: false },
    )
  }
  return new ToolError(
    'connection',
    `${what} could not be read: no whole answer from ${url.origin}${code === '' ? '' : ` (${code})`}.`,
    options,
  )
}

/** Trying several addresses of a name fails with one error per address; the first says enough. */
function firstCause(error: unknown): Error {
  if (error instanceof AggregateError && error.errors.length > 0) return firstCause(error.errors[0])
  if (error instanceof Error && error.cause instanceof Error) return firstCause(error.cause)
  return error instanceof Error ? error : new Error(String(error))
}

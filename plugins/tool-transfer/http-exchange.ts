import { STATUS_CODES } from 'node:http'
import { pipeline, type Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { type ErrorKind, ToolError } from '@noetl/core'
import { type Dispatcher, request } from 'undici'

/** One request for rows. */
export interface Outgoing {
  url: URL
  method: string
  /** By lower-case name. */
  headers: Record<string, string>
  body: string | null
}

/** An answer of 200 and up, its body unpacked and still to be read. */
export interface Answer {
  type: string
  body: Readable
}

const MAX_REDIRECTS = 10
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/**
 * Sends the request and follows redirects; throws ToolError when there are no rows to be had. Another origin
 * than the first is told none of the headers: any of them may say who is asking.
 */
export async function exchange(
  outgoing: Outgoing,
  options: { dispatcher: Dispatcher; signal: AbortSignal },
): Promise<Answer> {
  let { url, method, headers, body } = outgoing
  for (let redirects = 0; ; redirects++) {
    const response = await request(url, {
      ...options,
      method: method as Dispatcher.HttpMethod,
      headers,
      body,
    }).catch((error: unknown) => {
      throw exchangeFailure(outgoing, error)
    })
    // Told to whoever reads it; of a body that nobody reads, it is of no interest.
    response.body.on('error', () => {})
    const { statusCode, headers: told } = response
    const location = REDIRECTS.has(statusCode) ? told.location : undefined
    const next = typeof location === 'string' ? URL.parse(location, url.href) : null
    if (next === null || !/^https?:$/.test(next.protocol)) {
      if (statusCode < 200 || statusCode >= 300) {
        response.body.destroy()
        throw statusFailure(outgoing, statusCode, told['retry-after'])
      }
      return {
        type: mediaType(told['content-type']),
        body: unpacked(response.body, told['content-encoding']),
      }
    }
    await response.body.dump()
    if (redirects === MAX_REDIRECTS) {
      throw new ToolError(
        'client_error',
        `${show(outgoing)} was redirected more than ${MAX_REDIRECTS} times.`,
      )
    }
    if (statusCode === 303 || (statusCode < 303 && method === 'POST')) {
      method = 'GET'
      body = null
      const { 'content-type': _, ...rest } = headers
      headers = rest
    }
    next.username = ''
    next.password = ''
    if (next.origin !== url.origin) {
      headers = Object.fromEntries(
        Object.entries(headers).filter(([name]) => /^(accept|content-type)/.test(name)),
      )
    }
    url = next
  }
}

/** Method and URL as a message may show them: without user, password, query and fragment. */
export function show({ method, url }: Pick<Outgoing, 'method' | 'url'>): string {
  return `${method} ${url.protocol}//${url.host}${url.pathname}`
}

/** The failure of a request that got no whole answer. */
export function exchangeFailure(outgoing: Outgoing, error: unknown): ToolError {
  if (error instanceof ToolError) return error
  const root = firstCause(error)
  const code = 'code' in root ? String(root.code) : ''
  const kind: ErrorKind = /^UND_ERR_(INVALID_ARG|NOT_SUPPORTED)$/.test(code)
    ? 'schema'
    : code.startsWith('Z_') || code.startsWith('ERR__ERROR')
      ? 'parse'
      : 'connection'
  const detail = code === '' || root.message.includes(code) ? root.message : `${code}: ${root.message}`
  return new ToolError(kind, `${show(outgoing)} gave no whole answer: ${detail}`, {
    cause: error,
    ...(code === '' ? {} : { code }),
  })
}

function statusFailure(outgoing: Outgoing, status: number, retryAfter: unknown): ToolError {
  const kind: ErrorKind =
    status === 429
      ? 'rate_limit'
      : status === 401 || status === 403
        ? 'auth'
        : status === 404
          ? 'not_found'
          : status < 500
            ? 'client_error'
            : 'server_error'
  const seconds = typeof retryAfter === 'string' && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null
  return new ToolError(kind, `${show(outgoing)} answered ${status} ${STATUS_CODES[status] ?? ''}`.trim(), {
    status,
    facets: { http: { status, headers: {} } },
    ...(seconds === null ? {} : { retryAfterSeconds: seconds }),
  })
}

function mediaType(header: string | string[] | undefined): string {
  return String(header ?? '')
    .split(';')[0]!
    .trim()
    .toLowerCase()
}

function unpacked(body: Readable, encodings: string | string[] | undefined): Readable {
  let stream = body
  for (const encoding of String(encodings ?? '')
    .toLowerCase()
    .split(',')
    .reverse()) {
    const unpack = unpackerOf(encoding.trim())
    // Failures reach the reader of the last stream; there is nothing to add here.
    if (unpack !== null) stream = pipeline(stream, unpack, () => {})
  }
  return stream
}

function unpackerOf(encoding: string) {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip()
  if (encoding === 'deflate') return createInflate()
  return encoding === 'br' ? createBrotliDecompress() : null
}

/** Trying several addresses of a name fails with one error per address; the first says enough. */
function firstCause(error: unknown): Error {
  if (error instanceof AggregateError && error.errors.length > 0) return firstCause(error.errors[0])
  if (error instanceof Error && error.cause instanceof Error) return firstCause(error.cause)
  return error instanceof Error ? error : new Error(String(error))
}

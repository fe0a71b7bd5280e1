import { Pool } from 'undici'
import { ERRORS, type ErrorCode, makeError } from './errors.ts'
import { isObject, type Json, parseJson, writeJson } from './schemas/json.ts'

/** A typed HTTP client of the server; the worker and the CLI share it. */
export interface Client {
  /**
   * Sends one request and gives the reply's JSON. Throws NOETL_ERR_SERVER_UNREACHABLE when there is no
   * answer, and ServerError for an answer that is an error.
   */
  request<T>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
    options?: { signal?: AbortSignal; timeoutMs?: number },
  ): Promise<T>
  url: string
  close(): Promise<void>
}

/** An error that the server answered with. `code` is of the table where the server is of this kind. */
export class ServerError extends Error {
  override name = 'ServerError'
  readonly code: ErrorCode | 'NOETL_ERR_UNKNOWN'
  readonly statusCode: number
  readonly details: Json | undefined
  /** Seconds after which the server asked to be tried again. */
  readonly retryAfterSeconds: number | undefined

  constructor(message: string, about: { code: string; status: number; details?: Json; retryAfter?: number }) {
    super(message)
    this.code = Object.hasOwn(ERRORS, about.code) ? (about.code as ErrorCode) : 'NOETL_ERR_UNKNOWN'
    this.statusCode = about.status
    this.details = about.details
    this.retryAfterSeconds = about.retryAfter
  }
}

export function makeClient(options: {
  url: string
  token?: string
  timeoutMs?: number
  connections?: number
}): Client {
  const url = options.url.replace(/\/$/, '')
  const { origin, pathname } = new URL(url)
  const base = pathname === '/' ? '' : pathname
  const pool = new Pool(origin, {
    connections: options.connections ?? 16,
    keepAliveTimeout: 30_000,
    pipelining: 1,
  })
  const headers = {
    'content-type': 'application/json',
    ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
  }
  let closed: Promise<void> | undefined
  return {
    url,
    async request<T>(
      method: string,
      path: string,
      body?: unknown,
      { signal, timeoutMs = options.timeoutMs ?? 30_000 }: { signal?: AbortSignal; timeoutMs?: number } = {},
    ): Promise<T> {
      let status: number
      let retryAfter: string | undefined
      let text: string
      try {
        const answer = await pool.request({
          method: method as 'GET',
          path: base + path,
          headers,
          headersTimeout: timeoutMs,
          bodyTimeout: timeoutMs,
          ...(body === undefined ? {} : { body: writeJson(body) }),
          ...(signal === undefined ? {} : { signal }),
        })
        status = answer.statusCode
        retryAfter = String(answer.headers['retry-after'] ?? '')
        text = await answer.body.text()
      } catch (cause) {
        if (signal?.aborted) throw signal.reason
        const why = (cause as Error).message || (cause as { code?: string }).code || String(cause)
        throw makeError('NOETL_ERR_SERVER_UNREACHABLE', [url, why], { cause })
      }
      const reply = readReply(text)
      if (status < 400) return reply as T
      throw errorOf(reply, { method, path, status, retryAfter })
    },
    close() {
      closed ??= pool.close()
      return closed
    },
  }
}

function readReply(text: string): Json {
  try {
    return text === '' ? null : parseJson(text)
  } catch {
    return text
  }
}

function errorOf(
  reply: Json,
  about: { method: string; path: string; status: number; retryAfter: string | undefined },
): ServerError {
  const told = isObject(reply) ? reply : {}
  const message = [told.error, told.detail, told.message].find((text) => typeof text === 'string')
  const retryAfter = Number(about.retryAfter)
  return new ServerError(
    typeof message === 'string' ? message : `${about.method} ${about.path} answered ${about.status}`,
    {
      code: typeof told.code === 'string' ? told.code : '',
      status: about.status,
      ...(told.details === undefined ? {} : { details: told.details }),
      ...(about.retryAfter && Number.isFinite(retryAfter) ? { retryAfter } : {}),
    },
  )
}

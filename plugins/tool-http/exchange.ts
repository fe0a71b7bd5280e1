import { ToolError } from '@noetl/core'
import { type Dispatcher, request } from 'undici'
import type { Headers, Outgoing } from './request.ts'
import { showUrl } from './secrets.ts'

/** An answer whose body is still to be read. */
export interface Answer {
  /** Where it came from, after redirects. */
  url: URL
  method: string
  response: Dispatcher.ResponseData
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])
const SECRET_HEADERS = ['authorization', 'proxy-authorization', 'cookie']

/**
 * Sends the request and follows redirects. What identifies the caller stays with the origin it was meant
 * for: across origins the headers of `auth`, cookies and Authorization are left out.
 */
export async function exchange(
  outgoing: Outgoing,
  options: {
    dispatcher: Dispatcher
    signal: AbortSignal
    maxRedirects: number
    /** Names of headers that hold a secret, beside the well-known ones. */
    secretHeaders: readonly string[]
  },
): Promise<Answer> {
  let { url, method, body } = outgoing
  const headers = new Map(outgoing.headers)
  for (let redirects = 0; ; redirects++) {
    const response = await request(url, {
      dispatcher: options.dispatcher,
      method: method as Dispatcher.HttpMethod,
      headers: flat(headers),
      body,
      signal: options.signal,
    })
    const target = redirectTarget(response, url)
    if (target === null || options.maxRedirects === 0) return { url, method, response }
    await response.body.dump()
    if (redirects === options.maxRedirects) {
      throw new ToolError(
        'client_error',
        `${outgoing.method} ${showUrl(outgoing.url)} was redirected more than ${options.maxRedirects} times, last to ${showUrl(target)}.`,
        { status: response.statusCode },
      )
    }
    if (becomesGet(response.statusCode, method)) {
      method = 'GET'
      body = null
      headers.delete('content-type')
      headers.delete('idempotency-key')
    }
    if (target.origin !== url.origin) {
      for (const name of [...SECRET_HEADERS, ...options.secretHeaders]) headers.delete(name.toLowerCase())
      headers.delete('host')
    }
    url = target
  }
}

function redirectTarget(response: Dispatcher.ResponseData, from: URL): URL | null {
  if (!REDIRECTS.has(response.statusCode)) return null
  const location = response.headers.location
  const target = typeof location === 'string' ? URL.parse(location, from.href) : null
  if (target === null || (target.protocol !== 'http:' && target.protocol !== 'https:')) return null
  // A user and password in a Location would be the other side's word about who we are.
  target.username = ''
  target.password = ''
  return target
}

function becomesGet(status: number, method: string): boolean {
  if (status === 303) return method !== 'HEAD'
  return (status === 301 || status === 302) && method === 'POST'
}

function flat(headers: Headers): string[] {
  return [...headers.values()].flatMap(({ name, value }) => [name, value])
}

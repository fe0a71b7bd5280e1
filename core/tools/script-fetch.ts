import { STATUS_CODES } from 'node:http'
import { pipeline, type Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { Agent, type Dispatcher, request } from 'undici'
import type { ErrorKind } from '../schemas/command.ts'
import { CallAborted, ToolError } from './define.ts'

/** A request for a text. */
export interface Wanted {
  url: URL
  method?: 'GET' | 'POST'
  /** By lower-case name. */
  headers: Readonly<Record<string, string>>
  /** Whether redirects are followed; a signature is for one place alone. Default true. */
  follow?: boolean
  seconds: number
  maxBytes: number
}

const MAX_REDIRECTS = 5
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const PLAIN = { accept: '*/*', 'accept-encoding': 'gzip, deflate, br' }

/** Fetches the bytes of a script, within its time and size. Messages show no query: it may hold a signature. */
export async function fetchBytes(wanted: Wanted, signal: AbortSignal): Promise<Buffer> {
  const what = `The script ${show(wanted.url)}`
  const late = AbortSignal.timeout(Math.ceil(wanted.seconds * 1000))
  // The time limit of a fetch is one over all of it; undici's own per phase would cut it short.
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 0 } })
  try {
    signal.throwIfAborted()
    const response = await exchange(wanted, agent, AbortSignal.any([signal, late]))
    return await readBody(response, wanted.maxBytes, what)
  } catch (error) {
    if (signal.aborted) {
      const { reason } = signal
      if (!(reason instanceof CallAborted) || reason.why !== 'deadline') throw reason
      throw new ToolError('timeout', `${what} had not come when the time of the call was up.`, {
        cause: reason,
      })
    }
    if (late.aborted) throw new ToolError('timeout', `${what} had not come within ${wanted.seconds} s.`)
    if (error instanceof ToolError) throw error
    const kind = isRefusal(error) ? 'schema' : 'connection'
    throw new ToolError(kind, `${what} cannot be fetched: ${describe(error)}`, { cause: error })
  } finally {
    await agent.destroy()
  }
}

/** A URL without user, password, query and fragment. */
export function show(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`
}

async function exchange(
  wanted: Wanted,
  dispatcher: Dispatcher,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  let { url, method = 'GET' } = wanted
  let headers: Record<string, string> = { ...PLAIN, ...wanted.headers }
  for (let redirects = 0; ; redirects++) {
    const response = await request(url, { dispatcher, method, headers, signal })
    // Told to whoever reads it; of a body that nobody reads, it is of no interest.
    response.body.on('error', () => {})
    const { statusCode, headers: told } = response
    const { location } = told
    const next =
      REDIRECTS.has(statusCode) && typeof location === 'string' ? URL.parse(location, url.href) : null
    if (next === null || wanted.follow === false || !/^https?:$/.test(next.protocol)) {
      if (statusCode >= 200 && statusCode < 300) return response
      throw await statusFailure(response, wanted.url)
    }
    await response.body.dump()
    if (redirects === MAX_REDIRECTS) {
      throw new ToolError(
        'client_error',
        `The script ${show(wanted.url)} was redirected more than ${MAX_REDIRECTS} times, last to ${show(next)}.`,
      )
    }
    if (statusCode < 307) method = 'GET'
    next.username = ''
    next.password = ''
    // What the playbook says to one server is not for another: any of it may tell who we are.
    if (next.origin !== url.origin) headers = PLAIN
    url = next
  }
}

async function statusFailure(response: Dispatcher.ResponseData, url: URL): Promise<ToolError> {
  const { statusCode: status, headers } = response
  // Object stores say in XML what is wrong; the rest of it may quote the key.
  const body = await readBody(response, 64 * 1024, '').catch(() => Buffer.alloc(0))
  const code = /<Code>(\w+)<\/Code>/.exec(body.toString())?.[1]
  const region = headers['x-amz-bucket-region']
  const hint =
    typeof region === 'string' && /^[\w-]+$/.test(region) ? ` The bucket's region is ${region}.` : ''
  const words = [STATUS_CODES[status], code === undefined ? undefined : `(${code})`].filter(Boolean).join(' ')
  return new ToolError(kindOf(status), `The script ${show(url)}: the answer is ${status} ${words}.${hint}`, {
    status,
  })
}

function kindOf(status: number): ErrorKind {
  if (status === 429) return 'rate_limit'
  if (status === 401 || status === 403) return 'auth'
  if (status === 404 || status === 410) return 'not_found'
  return status < 500 ? 'client_error' : 'server_error'
}

async function readBody(response: Dispatcher.ResponseData, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of unpacked(response.body, response.headers['content-encoding'])) {
    size += chunk.length
    // Counted after unpacking: a small packed answer can be an enormous one.
    if (size > maxBytes)
      throw new ToolError('schema', `${what} has more than ${maxBytes} bytes, the limit for a script.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function unpacked(body: Readable, encoding: string | string[] | undefined): Readable {
  const unpack =
    encoding === 'gzip'
      ? createGunzip()
      : encoding === 'deflate'
        ? createInflate()
        : encoding === 'br'
          ? createBrotliDecompress()
          : null
  // Failures reach the reader of the last stream; there is nothing to add here.
  return unpack === null ? body : pipeline(body, unpack, () => {})
}

/** True when the client would not send what it was given. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    /^UND_ERR_(INVALID_ARG|NOT_SUPPORTED)$/.test(String(error.code))
  )
}

/** Trying several addresses of a name fails with one error per address; the first says enough. */
function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0])
  if (error instanceof Error && error.cause instanceof Error) return describe(error.cause)
  return error instanceof Error ? error.message : String(error)
}

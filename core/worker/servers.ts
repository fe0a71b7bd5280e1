import { type Client, makeClient, ServerError } from '../client.ts'
import { isNoetlError } from '../errors.ts'

/** The servers a worker talks to: the one a notification names, for it has the execution in memory, else its own. */
export interface Servers {
  post<T>(path: string, body: unknown, options?: { hint?: string; timeoutMs?: number }): Promise<T>
  get<T>(path: string): Promise<T>
  put<T>(path: string, body: unknown): Promise<T>
  close(): Promise<void>
}

/** How long a hinted server that did not answer is left alone, in milliseconds. */
const SHUNNED_MS = 30_000
const MAX_CLIENTS = 32

export function makeServers(options: {
  url: string
  token: string | undefined
  /** Makes the client of one server; default: over HTTP. */
  open?: (address: string) => Client
}): Servers {
  const { url, token } = options
  const { open = (address) => makeClient({ url: address, ...(token === undefined ? {} : { token }) }) } =
    options
  const home = open(url)
  const hinted = new Map<string, Client>()
  const shunned = new Map<string, number>()

  function at(hint: string | undefined): Client {
    if (hint === undefined || hint === '' || hint === home.url || !/^https?:\/\//.test(hint)) return home
    if ((shunned.get(hint) ?? 0) > Date.now()) return home
    const there = hinted.get(hint)
    if (there !== undefined) return there
    if (hinted.size >= MAX_CLIENTS || !URL.canParse(hint)) return home
    const client = open(hint)
    hinted.set(hint, client)
    return client
  }

  return {
    async post(path, body, { hint, timeoutMs } = {}) {
      const limits = timeoutMs === undefined ? {} : { timeoutMs }
      const client = at(hint)
      try {
        return await client.request('POST', path, body, limits)
      } catch (error) {
        if (client === home || !isUnreachable(error)) throw error
        if (shunned.size > MAX_CLIENTS) shunned.clear()
        shunned.set(hint!, Date.now() + SHUNNED_MS)
        return home.request('POST', path, body, limits)
      }
    },
    get: (path) => home.request('GET', path),
    put: (path, body) => home.request('PUT', path, body),
    async close() {
      await Promise.all([home, ...hinted.values()].map((client) => client.close()))
    },
  }
}

export function isUnreachable(error: unknown): boolean {
  return (
    isNoetlError(error) && error.code === 'NOETL_ERR_SERVER_UNREACHABLE' && !(error instanceof ServerError)
  )
}

/** True when asking again later may help: no answer, or an answer that blames the server. */
export function mayPass(error: unknown): boolean {
  return (
    isUnreachable(error) ||
    (error instanceof ServerError && (error.statusCode >= 500 || error.statusCode === 429))
  )
}

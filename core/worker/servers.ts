import type { Place } from '../bus/streams.ts'
import { type Client, makeClient, ServerError } from '../client.ts'
import { isNoetlError } from '../errors.ts'
import type { Notification } from '../schemas/notification.ts'

/**
 * The servers a worker talks to: the one a notification names, for it has the execution in memory, else its own.
 * Should its own not answer, another that it knows from notifications does as well, for none is special.
 */
export interface Servers {
  post<T>(path: string, body: unknown, options?: { hint?: string; timeoutMs?: number }): Promise<T>
  get<T>(path: string): Promise<T>
  put<T>(path: string, body: unknown): Promise<T>
  close(): Promise<void>
}

/** How long a server that did not answer is left alone, if there is another, in milliseconds. */
const SHUNNED_MS = 30_000
const MAX_CLIENTS = 32
/** Servers that are asked for one request, if the first gives no answer. */
const MAX_TRIES = 2

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
  const shunned = new Map<Client, number>()

  function named(hint: string | undefined): Client | undefined {
    if (hint === undefined || hint === '' || hint === home.url || !/^https?:\/\//.test(hint)) return undefined
    const there = hinted.get(hint)
    if (there !== undefined) return there
    if (hinted.size >= MAX_CLIENTS || !URL.canParse(hint)) return undefined
    const client = open(hint)
    hinted.set(hint, client)
    return client
  }

  /** Those to ask, in order: the named one, the worker's own, any other; last those that gave no answer lately. */
  function inOrder(hint: string | undefined): Client[] {
    const first = named(hint)
    const all = [...new Set([...(first === undefined ? [] : [first]), home, ...hinted.values()])]
    const now = Date.now()
    const silent = (client: Client) => (shunned.get(client) ?? 0) > now
    return [...all.filter((client) => !silent(client)), ...all.filter(silent)].slice(0, MAX_TRIES)
  }

  async function ask<T>(hint: string | undefined, request: (client: Client) => Promise<T>): Promise<T> {
    let failure: unknown
    for (const client of inOrder(hint)) {
      try {
        return await request(client)
      } catch (error) {
        if (!isUnreachable(error)) throw error
        shunned.set(client, Date.now() + SHUNNED_MS)
        failure = error
      }
    }
    throw failure
  }

  return {
    post: (path, body, { hint, timeoutMs } = {}) =>
      ask(hint, (client) => client.request('POST', path, body, timeoutMs === undefined ? {} : { timeoutMs })),
    get: (path) => ask(undefined, (client) => client.request('GET', path)),
    put: (path, body) => ask(undefined, (client) => client.request('PUT', path, body)),
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

/**
 * True when what was asked for may have been done, or may be yet: nobody answered, or one that itself had no
 * answer from behind it.
 */
export function isUnanswered(error: unknown): boolean {
  return isUnreachable(error) || (error instanceof ServerError && [502, 503, 504].includes(error.statusCode))
}

/** True when asking again later may help: no answer, or an answer that blames the server. */
export function mayPass(error: unknown): boolean {
  return (
    isUnreachable(error) ||
    (error instanceof ServerError && (error.statusCode >= 500 || error.statusCode === 429))
  )
}

/** Asks for commands that wait, for when the bus tells of none. */
export async function askWaiting(
  servers: Servers,
  about: { workerId: string; place: Place; limit: number },
): Promise<Notification[]> {
  const { workerId: worker_id, place, limit } = about
  const { commands } = await servers.post<{ commands: Notification[] }>('/api/v2/commands/waiting', {
    ...place,
    worker_id,
    limit: Math.min(limit, 1000),
  })
  return commands
}

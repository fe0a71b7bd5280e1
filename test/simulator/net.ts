import { type Client, ServerError } from '../../core/client.ts'
import { isNoetlError, makeError, type NoetlError } from '../../core/errors.ts'
import { isObject } from '../../core/schemas/json.ts'
import { isTransient } from '../../core/store/pools.ts'
import { copy } from './tables.ts'
import { isInjected } from './trips.ts'
import { delay, type Weather } from './weather.ts'
import type { Process, World } from './world.ts'

export type Handler = (body: unknown) => Promise<unknown>

/** HTTP between processes. */
export interface Net {
  /** A server listens until its process dies. */
  serve(process: Process, url: string, routes: ReadonlyMap<string, Handler>): void
  /** How a process makes its clients. */
  open(process: Process): (url: string) => Client
  /** A process that does not reach a server, nor any other, until told otherwise. */
  cutOff: Set<Process>
}

interface Listener {
  process: Process
  routes: ReadonlyMap<string, Handler>
  /** Tells those who wait for an answer that there will be none. */
  waiting: Set<() => void>
}

export function makeNet(world: World, weather: () => Weather): Net {
  const { random } = world
  const listeners = new Map<string, Listener>()
  const cutOff = new Set<Process>()

  function request<T>(
    process: Process,
    url: string,
    route: string,
    body: unknown,
    timeoutMs: number,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { slow, lost, answerLost, twice } = weather().net
      let settled = false
      const settle = (act: () => void) => {
        if (settled) return
        settled = true
        stop()
        act()
      }
      const unreachable = (why: string) =>
        settle(() => reject(makeError('NOETL_ERR_SERVER_UNREACHABLE', [url, why])))
      const back = (act: () => void) => void world.after(delay(random, slow), process, act)
      const stop = world.after(timeoutMs, process, () => unreachable('Headers Timeout Error'))
      const text = JSON.stringify(body ?? null)

      const arrive = (answering: boolean) => {
        const there = listeners.get(url)
        if (there === undefined || !there.process.alive) {
          if (answering) back(() => unreachable('ECONNREFUSED'))
          return
        }
        const gone = () => back(() => unreachable('ECONNRESET'))
        if (answering) there.waiting.add(gone)
        // A frozen server takes it in when it wakes.
        world.after(0, there.process, () => {
          void answer(there, route, text).then((reply) => {
            there.waiting.delete(gone)
            if (!answering) return
            if (random.chance(answerLost)) {
              world.note(() => `net: the answer to ${route} of ${process.name} is lost`)
              if (random.chance(0.5)) back(() => unreachable('ECONNRESET'))
              return
            }
            back(() => settle(() => (reply instanceof Error ? reject(reply) : resolve(copy(reply) as T))))
          })
        })
      }
      if (cutOff.has(process) || random.chance(lost)) {
        world.note(() => `net: ${route} of ${process.name} is lost`)
        if (random.chance(0.5)) back(() => unreachable('ECONNRESET'))
        return
      }
      world.after(delay(random, slow), null, () => arrive(true))
      if (random.chance(twice))
        world.after(delay(random, slow) + delay(random, slow), null, () => arrive(false))
    })
  }

  async function answer({ process, routes }: Listener, route: string, text: string): Promise<unknown> {
    try {
      const handler = routes.get(route)
      if (handler === undefined) throw makeError('NOETL_ERR_ROUTE_NOT_FOUND', ['', route])
      return (await handler(JSON.parse(text))) ?? null
    } catch (error) {
      if (!isNoetlError(error) && !isInjected(error)) {
        world.accidents.push(`${process.name} ${route}: ${(error as Error).stack}`)
      }
      return told(asNoetlError(error as Error))
    }
  }

  return {
    cutOff,
    serve(process, url, routes) {
      const listener: Listener = { process, routes, waiting: new Set() }
      listeners.set(url, listener)
      process.onDeath(() => {
        for (const gone of listener.waiting) gone()
      })
    },
    open: (process) => (url) => ({
      url,
      request: (method, path, body, { timeoutMs = 30_000 } = {}) =>
        request(process, url, `${method} ${path}`, body, timeoutMs),
      close: async () => {},
    }),
  }
}

/** As `http/app.ts` tells errors. */
function asNoetlError(error: Error): NoetlError {
  if (isNoetlError(error)) return error
  if (isTransient(error)) return makeError('NOETL_ERR_STORE_UNREACHABLE', ['its address', error.message])
  return makeError('NOETL_ERR_INTERNAL', [error.name])
}

function told({ message, code, statusCode, details }: NoetlError): ServerError {
  const wait = isObject(details) ? details.retry_after : undefined
  return new ServerError(message, {
    code,
    status: statusCode,
    ...(details === undefined ? {} : { details: details as never }),
    ...(typeof wait === 'number' ? { retryAfter: wait } : {}),
  })
}

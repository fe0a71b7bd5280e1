import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { makeBatcher } from '../batch.ts'
import type { LeasedCommand, Outcome } from '../schemas/command.ts'
import type { Lease } from './leases.ts'
import { mayPass, type Servers } from './servers.ts'

/** How a report was taken: `lost` when no server would take it in time. */
export interface Reported {
  outcome: 'recorded' | 'duplicate' | 'late' | 'lost'
  /** The command to go on with, leased already; only where the report asked for one. */
  next?: LeasedCommand
}

/**
 * An answer that brings a lease may take a fifth of it, for no one renews the lease before it is here. Then the
 * report is sent again soon, under the same token; from the fifth time on it may take twice as long each time, up to
 * a whole lease, for a server that has much to do must not be asked ever more. After two leases what follows is left to its own.
 */
const ANSWER_SHARE = 1 / 5
const NEXT_PAUSE_MS = 200

/** A report is tried for so long; then the command is left to its lease, which has run out. In milliseconds. */
const PATIENCE_MS = 300_000

const NAMES = {
  ok: 'call.done',
  error: 'call.error',
  waiting: 'call.waiting',
  retrying: 'call.retrying',
} as const

type Answer = Reported | { error: string; code: string; status: number }

/** Sends outcomes to the server, those that arrive together in one request, until they are durable there. */
export function makeReports(options: { workerId: string; servers: Servers; log: Logger }) {
  const { workerId, servers, log } = options
  const batchers = new Map<string, ReturnType<typeof makeSender>>()

  function makeSender(hint: string) {
    return makeBatcher<{ event: object; timeoutMs: number }, Answer>({
      maxItems: 100,
      concurrency: 4,
      async run(items) {
        const body = { worker_id: workerId, events: items.map(({ event }) => event) }
        const timeoutMs = Math.min(...items.map((item) => item.timeoutMs))
        const { results } = await servers.post<{ results: Answer[] }>('/api/v2/events/batch', body, {
          hint,
          ...(Number.isFinite(timeoutMs) && { timeoutMs }),
        })
        return results
      },
    })
  }

  return async function report(
    { command, hint }: Lease,
    outcome: Outcome,
    startedAt: string,
    /** Whether to ask for a command to go on with. */
    goOn = false,
  ): Promise<Reported> {
    const { command_id, execution_id, step, token, attempt, lane, pool } = command
    const event = {
      execution_id,
      step,
      name: NAMES[outcome.status],
      payload: { command_id, ...outcome },
      meta: { command_id, token, attempt, started_at: startedAt },
    }
    const next = goOn ? { token: randomUUID(), lane, pool } : undefined
    let sender = batchers.get(hint)
    if (sender === undefined) {
      if (batchers.size > 100) batchers.clear()
      sender = makeSender(hint)
      batchers.set(hint, sender)
    }
    const until = Date.now() + PATIENCE_MS
    const leaseMs = command.lease_seconds * 1000
    const nextUntil = next === undefined ? 0 : Date.now() + 2 * leaseMs
    for (let tries = 1; ; tries++) {
      try {
        const answer = await sender.add(
          Date.now() < nextUntil
            ? {
                event: { ...event, next },
                timeoutMs: Math.min(leaseMs, leaseMs * ANSWER_SHARE * 2 ** Math.max(0, tries - 4)),
              }
            : { event, timeoutMs: Number.POSITIVE_INFINITY },
        )
        if ('outcome' in answer) return answer
        if (answer.status < 500) {
          log.warn({ command_id, code: answer.code, why: answer.error }, 'a report was not taken')
          return { outcome: 'late' }
        }
        log.warn({ command_id, code: answer.code }, 'a report could not be stored; trying again')
      } catch (err) {
        if (!mayPass(err)) {
          log.error({ err, command_id }, 'a report was refused')
          return { outcome: 'lost' }
        }
        log.warn(
          { command_id, why: (err as Error).message, tries },
          'a report could not be sent; trying again',
        )
      }
      if (Date.now() > until) return { outcome: 'lost' }
      const pauseMs = Date.now() < nextUntil ? NEXT_PAUSE_MS : Math.min(5000, 100 * 2 ** Math.min(tries, 6))
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
}

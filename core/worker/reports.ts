import type { Logger } from 'pino'
import { makeBatcher } from '../batch.ts'
import type { Outcome } from '../schemas/command.ts'
import type { Lease } from './leases.ts'
import { mayPass, type Servers } from './servers.ts'

/** How a report was taken: `lost` when no server would take it in time. */
export type Reported = 'recorded' | 'duplicate' | 'late' | 'lost'

/** A report is tried for so long; then the command is left to its lease, which has run out. In milliseconds. */
const PATIENCE_MS = 300_000

const NAMES = {
  ok: 'call.done',
  error: 'call.error',
  waiting: 'call.waiting',
  retrying: 'call.retrying',
} as const

type Answer = { outcome: Reported } | { error: string; code: string; status: number }

/** Sends outcomes to the server, those that arrive together in one request, until they are durable there. */
export function makeReports(options: { workerId: string; servers: Servers; log: Logger }) {
  const { workerId, servers, log } = options
  const batchers = new Map<string, ReturnType<typeof makeSender>>()

  function makeSender(hint: string) {
    return makeBatcher<object, Answer>({
      maxItems: 100,
      concurrency: 4,
      async run(events) {
        const body = { worker_id: workerId, events }
        return (await servers.post<{ results: Answer[] }>('/api/v2/events/batch', body, { hint })).results
      },
    })
  }

  return async function report(
    { command, hint }: Lease,
    outcome: Outcome,
    startedAt: string,
  ): Promise<Reported> {
    const { command_id, execution_id, step, token, attempt } = command
    const event = {
      execution_id,
      step,
      name: NAMES[outcome.status],
      payload: { command_id, ...outcome },
      meta: { command_id, token, attempt, started_at: startedAt },
    }
    let sender = batchers.get(hint)
    if (sender === undefined) {
      if (batchers.size > 100) batchers.clear()
      sender = makeSender(hint)
      batchers.set(hint, sender)
    }
    const until = Date.now() + PATIENCE_MS
    for (let tries = 1; ; tries++) {
      try {
        const answer = await sender.add(event)
        if ('outcome' in answer) return answer.outcome
        if (answer.status < 500) {
          log.warn({ command_id, code: answer.code, why: answer.error }, 'a report was not taken')
          return 'late'
        }
        log.warn({ command_id, code: answer.code }, 'a report could not be stored; trying again')
      } catch (err) {
        if (!mayPass(err)) {
          log.error({ err, command_id }, 'a report was refused')
          return 'lost'
        }
        log.warn(
          { command_id, why: (err as Error).message, tries },
          'a report could not be sent; trying again',
        )
      }
      if (Date.now() > until) return 'lost'
      await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 100 * 2 ** Math.min(tries, 6))))
    }
  }
}

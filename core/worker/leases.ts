import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { makeBatcher } from '../batch.ts'
import type { LeasedCommand } from '../schemas/command.ts'
import { makeEnded } from '../schemas/ended.ts'
import type { Notification } from '../schemas/notification.ts'
import { CallAborted } from '../tools/define.ts'
import { isUnanswered, type Servers } from './servers.ts'

/**
 * The leases of one worker. A claim names a token made here; renewals go out together, from a timer that
 * no tool can hold up; a lease that the server no longer knows aborts its command, so that a second run
 * elsewhere does not meet a first one that goes on.
 */
export interface Leases {
  /** Asks until there is an answer, or until `stop`; rejects when there was none. */
  claim(notification: Notification, stop?: AbortSignal): Promise<Claimed>
  /** Keeps a lease that came with the answer to a report. */
  keep(command: LeasedCommand, hint: string): Lease
  /** Ends the renewal of a lease. */
  drop(lease: Lease): void
  /** Hands leases back with no attempt counted. */
  release(leases: Lease[]): Promise<void>
  close(): void
}

export interface Lease {
  command: LeasedCommand
  /** Aborts when the lease is lost, or by `abort`. */
  signal: AbortSignal
  abort(reason: CallAborted): void
  hint: string
}

/** A lease; or why there is none: `over` when there is nothing to do any more, `later` to be tried again. */
export type Claimed = { lease: Lease } | { refused: 'over' } | { refused: 'later'; afterMs: number }

interface ClaimReply {
  results: ({ command: LeasedCommand } | { error: { code: string; retry_after?: number; ended?: boolean } })[]
}

/**
 * Of the time between two renewals, a third of the lease: how long one may wait for its answer, and the pause
 * before it is tried again. Two in a row may go unanswered before the lease has run out.
 */
const ANSWER_SHARE = 0.5
const PAUSE_SHARE = 0.1
/**
 * A claim without an answer may have been granted, now or when its server finds Postgres again. So the same worker
 * asks again with the same token, within the time of the lease, and no attempt is used up for nobody. It goes on
 * for as long as a statement can be on its way: until TCP gives up a connection. In milliseconds.
 */
const CLAIM_PATIENCE_MS = 900_000
/** How long one claim may wait for its answer: two thirds of the lease, but no longer than this. */
const CLAIM_ANSWER_MS = 10_000
/** As long as no command has said what a lease is. */
const FIRST_ANSWER_MS = 3000
const CLAIM_PAUSE_MS = 2000
/** What a server says whose statement got no answer. */
const UNREACHABLE = 'NOETL_ERR_STORE_UNREACHABLE'

type Wanted = { execution_id: string; command_id: string; token: string; again: boolean }
type Answer = ClaimReply['results'][number]

export function makeLeases(options: { workerId: string; servers: Servers; log: Logger }): Leases {
  const { workerId, servers, log } = options
  const held = new Map<string, Lease>()
  const asking = new Set<string>()
  const ended = makeEnded()
  let renewing = false
  let timer: NodeJS.Timeout | undefined
  let again: NodeJS.Timeout | undefined
  let everyMs = 0

  /** Claims that arrive together go in one request, per server. */
  const batchers = new Map<string, ReturnType<typeof makeClaimBatcher>>()
  function makeClaimBatcher(hint: string) {
    return makeBatcher<Wanted, Answer>({
      maxItems: 200,
      concurrency: 4,
      async run(leases) {
        const body = { worker_id: workerId, leases }
        const timeoutMs = Math.min(CLAIM_ANSWER_MS, 2 * everyMs || FIRST_ANSWER_MS)
        const { results } = await servers.post<ClaimReply>('/api/v2/commands/claim', body, {
          hint,
          timeoutMs,
        })
        return results
      },
    })
  }
  function batcherOf(hint: string) {
    let batcher = batchers.get(hint)
    if (batcher === undefined) {
      if (batchers.size > 100) batchers.clear()
      batcher = makeClaimBatcher(hint)
      batchers.set(hint, batcher)
    }
    return batcher
  }

  function keep(command: LeasedCommand, hint: string): Lease {
    const controller = new AbortController()
    const lease: Lease = {
      command,
      hint,
      signal: controller.signal,
      abort: (reason) => controller.abort(reason),
    }
    // Claimed before, and lost unnoticed: what still runs of it must not go on beside this one.
    held
      .get(command.command_id)
      ?.abort(new CallAborted('lease-lost', `command ${command.command_id} was leased to this worker anew`))
    held.set(command.command_id, lease)
    const wanted = (command.lease_seconds * 1000) / 3
    if (timer === undefined || wanted < everyMs) {
      clearInterval(timer)
      everyMs = wanted
      timer = setInterval(() => void renew(), everyMs)
      timer.unref()
    }
    return lease
  }

  async function renew(): Promise<void> {
    if (renewing || held.size === 0) return
    renewing = true
    const leases = [...held.values()]
    try {
      const { renewed } = await servers.post<{ renewed: string[] }>(
        '/api/v2/commands/renew',
        { worker_id: workerId, leases: leases.map(named) },
        { timeoutMs: everyMs * ANSWER_SHARE },
      )
      const still = new Set(renewed)
      for (const lease of leases) {
        const { command_id, step } = lease.command
        if (still.has(command_id) || held.get(command_id) !== lease) continue
        held.delete(command_id)
        log.warn({ command_id, step }, 'a lease was lost; its command is stopped')
        lease.abort(
          new CallAborted('lease-lost', `the lease of command ${command_id} was lost or its execution ended`),
        )
      }
    } catch (err) {
      log.warn({ err, leases: leases.length }, 'leases could not be renewed; trying again')
      again = setTimeout(() => void renew(), everyMs * PAUSE_SHARE)
      again.unref()
    } finally {
      renewing = false
    }
  }

  /** One claim, however often it must be asked for. */
  async function ask({ execution_id, command_id, server_url: hint }: Notification, stop?: AbortSignal) {
    const token = randomUUID()
    const until = Date.now() + CLAIM_PATIENCE_MS
    for (let tries = 1; ; tries++) {
      const wanted = { execution_id, command_id, token, again: tries > 1 }
      const answer = await batcherOf(hint)
        .add(wanted)
        .catch((error: unknown) => {
          if (stop?.aborted || Date.now() > until || !isUnanswered(error)) throw error
          return undefined
        })
      const silent = answer === undefined || ('error' in answer && answer.error.code === UNREACHABLE)
      if (answer !== undefined && (!silent || stop?.aborted || Date.now() > until)) return answer
      log.warn({ command_id, tries }, 'a claim was not answered; asking again')
      await pause(Math.min(CLAIM_PAUSE_MS, 100 * 2 ** Math.min(tries, 5)), stop)
    }
  }

  return {
    async claim(notification, stop) {
      const { command_id, server_url: hint } = notification
      // A loop that was cancelled leaves thousands of hints behind, all of one execution.
      if (ended.has(notification.execution_id)) return { refused: 'over' }
      // Another delivery of it is under way here.
      if (asking.has(command_id)) return { refused: 'over' }
      asking.add(command_id)
      const answer = await ask(notification, stop).finally(() => asking.delete(command_id))
      if ('command' in answer) return { lease: keep(answer.command, hint) }
      const { code, retry_after = 1 } = answer.error
      if (answer.error.ended === true) ended.add(notification.execution_id)
      log.debug({ command_id, code }, 'a claim was refused')
      return code === 'NOETL_ERR_SATURATED' || code === 'NOETL_ERR_INTERNAL' || code === UNREACHABLE
        ? { refused: 'later', afterMs: retry_after * 1000 }
        : { refused: 'over' }
    },
    keep,
    drop(lease) {
      if (held.get(lease.command.command_id) === lease) held.delete(lease.command.command_id)
    },
    async release(leases) {
      if (leases.length === 0) return
      await servers.post('/api/v2/commands/release', { worker_id: workerId, leases: leases.map(named) })
    },
    close() {
      clearInterval(timer)
      clearTimeout(again)
      held.clear()
    },
  }
}

/** Waits, but not once `stop` is aborted. */
async function pause(ms: number, stop: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    if (stop?.aborted) return resolve()
    const end = () => {
      clearTimeout(timer)
      stop?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    stop?.addEventListener('abort', end)
  })
}

function named({ command }: Lease): { execution_id: string; command_id: string; token: string } {
  return { execution_id: command.execution_id, command_id: command.command_id, token: command.token }
}

import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { makeBatcher } from '../batch.ts'
import type { LeasedCommand } from '../schemas/command.ts'
import type { Notification } from '../schemas/notification.ts'
import { CallAborted } from '../tools/define.ts'
import type { Servers } from './servers.ts'

/**
 * The leases of one worker. A claim names a token made here; renewals go out together, from a timer that
 * no tool can hold up; a lease that the server no longer knows aborts its command, so that a second run
 * elsewhere does not meet a first one that goes on.
 */
export interface Leases {
  claim(notification: Notification): Promise<Claimed>
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
  results: ({ command: LeasedCommand } | { error: { code: string; retry_after?: number } })[]
}

/**
 * Of the time between two renewals, a third of the lease: how long one may wait for its answer, and the pause
 * before it is tried again. Two in a row may go unanswered before the lease has run out.
 */
const ANSWER_SHARE = 0.5
const PAUSE_SHARE = 0.1

export function makeLeases(options: { workerId: string; servers: Servers; log: Logger }): Leases {
  const { workerId, servers, log } = options
  const held = new Map<string, Lease>()
  let renewing = false
  let timer: NodeJS.Timeout | undefined
  let again: NodeJS.Timeout | undefined
  let everyMs = 0

  /** Claims that arrive together go in one request, per server. */
  const batchers = new Map<string, ReturnType<typeof makeClaimBatcher>>()
  function makeClaimBatcher(hint: string) {
    return makeBatcher<
      { execution_id: string; command_id: string; token: string },
      ClaimReply['results'][number]
    >({
      maxItems: 200,
      concurrency: 4,
      async run(leases) {
        const body = { worker_id: workerId, leases }
        const { results } = await servers.post<ClaimReply>('/api/v2/commands/claim', body, { hint })
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

  return {
    async claim(notification) {
      const { execution_id, command_id, server_url: hint } = notification
      const answer = await batcherOf(hint).add({ execution_id, command_id, token: randomUUID() })
      if ('command' in answer) return { lease: keep(answer.command, hint) }
      const { code, retry_after = 1 } = answer.error
      log.debug({ command_id, code }, 'a claim was refused')
      return code === 'NOETL_ERR_SATURATED' ||
        code === 'NOETL_ERR_INTERNAL' ||
        code === 'NOETL_ERR_STORE_UNREACHABLE'
        ? { refused: 'later', afterMs: retry_after * 1000 }
        : { refused: 'over' }
    },
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

function named({ command }: Lease): { execution_id: string; command_id: string; token: string } {
  return { execution_id: command.execution_id, command_id: command.command_id, token: command.token }
}

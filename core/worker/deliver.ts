import type { Logger } from 'pino'
import type { Delivery } from '../bus/deliveries.ts'
import { publish } from '../channels.ts'
import type { Outcome } from '../schemas/command.ts'
import { CallAborted } from '../tools/define.ts'
import type { Claimed, Lease, Leases } from './leases.ts'
import type { Reported } from './reports.ts'
import { mayPass } from './servers.ts'

/** How often the bus is told that a delivery is being worked on; well below its ack_wait of 30 s. */
const IN_PROGRESS_MS = 10_000
/** Pause before a delivery is tried again whose claim could not be asked for. */
const LATER_MS = 1000

export interface DeliverParts {
  leases: Leases
  log: Logger
  /** No more claims are begun, nor asked for again. */
  stop: AbortSignal
  run(lease: Lease): Promise<Outcome>
  report(lease: Lease, outcome: Outcome, startedAt: string): Promise<Reported>
  /** Keeps count of what is under way, for the drain. */
  begin(lease: Lease): void
  end(lease: Lease): void
}

/**
 * One delivery from its arrival to its end: claim, run, report, settle. It is acknowledged when the
 * outcome is durable on a server or when there is nothing to do, never before; all that is in doubt is left
 * to the lease in Postgres.
 */
export async function deliver(delivery: Delivery, parts: DeliverParts): Promise<void> {
  const progress = setInterval(() => delivery.working(), IN_PROGRESS_MS)
  try {
    const claimed = await claim(delivery, parts)
    if (claimed !== undefined) await hold(delivery, claimed.lease, parts)
  } finally {
    clearInterval(progress)
  }
}

async function hold(delivery: Delivery, lease: Lease, parts: DeliverParts): Promise<void> {
  parts.begin(lease)
  try {
    await work(delivery, lease, parts)
  } finally {
    parts.leases.drop(lease)
    parts.end(lease)
  }
}

async function claim(
  delivery: Delivery,
  { leases, log, stop }: DeliverParts,
): Promise<Extract<Claimed, { lease: Lease }> | undefined> {
  try {
    const claimed = await leases.claim(delivery.notification, stop)
    if ('lease' in claimed) return claimed
    // Someone else has it, or it is done: a refusal now would only fill the queue with repeats.
    if (claimed.refused === 'over') delivery.ack()
    else delivery.retry(claimed.afterMs)
  } catch (err) {
    if (!mayPass(err)) log.error({ err, ...delivery.notification }, 'a claim failed')
    delivery.retry(LATER_MS)
  }
  return undefined
}

async function work(delivery: Delivery, lease: Lease, { run, report, log }: DeliverParts): Promise<void> {
  const { command } = lease
  const about = {
    execution_id: command.execution_id,
    command_id: command.command_id,
    step: command.step,
    kind: command.body.tasks[0]?.kind ?? 'noop',
  }
  const startedAt = new Date()
  publish('noetl:command', {
    phase: 'begun',
    ...about,
    ...(delivery.times > 1 ? {} : { notified: Math.max(0, startedAt.getTime() - delivery.sentAt) / 1000 }),
  })
  const ended = (status: Outcome['status'] | 'aborted') =>
    publish('noetl:command', {
      phase: 'ended',
      ...about,
      status,
      seconds: (Date.now() - startedAt.getTime()) / 1000,
    })
  let outcome: Outcome
  try {
    outcome = await run(lease)
  } catch (error) {
    ended('aborted')
    // A lost lease: someone else goes on. A stop: the lease is handed back, which announces it again.
    if (!(error instanceof CallAborted))
      log.error({ err: error, ...about }, 'a command ended without an outcome')
    delivery.ack()
    return
  }
  ended(outcome.status)
  if (outcome.status === 'error') {
    log.warn({ ...about, code: outcome.error.code, why: outcome.error.message }, 'a command failed')
  }
  const reported = await report(lease, outcome, startedAt.toISOString())
  if (reported === 'recorded' || reported === 'duplicate') delivery.ack()
  else delivery.drop()
}

import type { Logger } from 'pino'
import type { Delivery } from '../bus/deliveries.ts'
import { publish } from '../channels.ts'
import type { Outcome } from '../schemas/command.ts'
import { traceIdOf } from '../schemas/trace.ts'
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
  report(lease: Lease, outcome: Outcome, startedAt: string, goOn: boolean): Promise<Reported>
  /** Whether what has gone on since then may go on, or its slot is for others. */
  mayGoOn(since: number): boolean
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
    if (claimed === undefined) return
    const since = Date.now()
    let next = await hold(claimed.lease, parts, { delivery, since })
    // The delivery is settled; these were never announced.
    while (next !== undefined) next = await hold(next, parts, { since })
  } finally {
    clearInterval(progress)
  }
}

interface About {
  /** What told of the command; none when it came with a report. */
  delivery?: Delivery
  /** When the first command of the chain began. */
  since: number
}

/** Runs and reports one command; the lease to go on with, if there is one. */
async function hold(lease: Lease, parts: DeliverParts, about: About): Promise<Lease | undefined> {
  parts.begin(lease)
  try {
    return await work(lease, parts, about)
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

async function work(
  lease: Lease,
  { run, report, mayGoOn, leases, stop, log }: DeliverParts,
  { delivery, since }: About,
): Promise<Lease | undefined> {
  const { command } = lease
  const about = {
    execution_id: command.execution_id,
    command_id: command.command_id,
    step: command.step,
    kind: command.body.tasks[0]?.kind ?? 'noop',
    attempt: command.attempt,
    ...(command.trace === undefined ? {} : { trace: command.trace }),
  }
  const { trace, ...named } = about
  const said = trace === undefined ? named : { ...named, trace_id: traceIdOf(trace.traceparent) }
  const startedAt = new Date()
  publish('noetl:command', {
    phase: 'begun',
    ...about,
    ...(delivery?.times === 1 && { notified: Math.max(0, startedAt.getTime() - delivery.sentAt) / 1000 }),
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
      log.error({ err: error, ...said }, 'a command ended without an outcome')
    delivery?.ack()
    return undefined
  }
  ended(outcome.status)
  if (outcome.status === 'error') {
    log.warn({ ...said, code: outcome.error.code, why: outcome.error.message }, 'a command failed')
  }
  const goOn = !stop.aborted && mayGoOn(since)
  const reported = await report(lease, outcome, startedAt.toISOString(), goOn)
  if (reported.outcome === 'recorded' || reported.outcome === 'duplicate') delivery?.ack()
  else delivery?.drop()
  if (reported.next === undefined) return undefined
  const next = leases.keep(reported.next, lease.hint)
  if (!stop.aborted) return next
  leases.drop(next)
  await leases.release([next]).catch((err) => log.warn({ err }, 'a lease could not be handed back'))
  return undefined
}

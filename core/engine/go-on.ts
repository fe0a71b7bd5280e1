import type { Event } from '../schemas/event.ts'
import type { NewCommand, NewLease } from '../store/commit.ts'
import type { Claimed } from '../store/queue.ts'
import type { Decision } from './decide.ts'
import type { Known } from './known.ts'
import type { Plan } from './plan.ts'

/**
 * Going on: a worker that reports may be given a command that follows, already leased to it in the commit that
 * queues it. A chain of steps then costs one request and one commit a step. The row in the queue is as any other's,
 * so that all that guards a lease guards this one.
 */

/** A worker that would go on, under a token that it made, in the lane and pool that it works for. */
export interface Next {
  token: string
  worker_id: string
  lane: string
  pool: string
}

/** A command, the event that issued it, and whom it is leased to. */
export interface GoneOn {
  command: NewCommand
  lease: NewLease
  issued: Event
  claimed: Event
}

/**
 * Leases commands of a decision to those who would go on, one to each. What must not be begun twice is left to be
 * claimed: an answer that is lost would leave it in doubt, though it never began.
 */
export function goOn<W extends { next?: Next }>(
  { commands, events }: Pick<Decision, 'commands' | 'events'>,
  reporters: readonly W[],
  about: { leaseSeconds: number; newId(after: string): string; now: string },
): Map<W, GoneOn> {
  const given = new Map<W, GoneOn>()
  const eager = reporters.filter(({ next }) => next !== undefined)
  if (eager.length === 0) return given
  const issues = new Map(events.map((event) => [event.event_id, event]))
  for (const command of commands) {
    const { lane, pool, delay, dead, effect } = command
    if (delay > 0 || dead || effect === 'unsafe') continue
    const at = eager.findIndex(({ next }) => next?.lane === lane && next.pool === pool)
    if (at < 0) continue
    const [reporter] = eager.splice(at, 1)
    const { worker_id, token } = reporter!.next!
    const issued = issues.get(command.queue_id)!
    given.set(reporter!, {
      command,
      lease: { token, worker_id, seconds: about.leaseSeconds },
      issued,
      claimed: {
        execution_id: issued.execution_id,
        event_id: about.newId(command.queue_id),
        created_at: about.now,
        event_type: 'command.claimed',
        node_id: command.node_id,
        node_name: command.node_name,
        worker_id,
        meta: { command_id: command.queue_id, attempt: 1 },
      },
    })
    if (eager.length === 0) break
  }
  return given
}

/** The command as a claim would have found it. */
export function claimedRow(known: Known, plan: Plan, { command, lease, issued }: GoneOn): Claimed {
  return {
    execution_id: known.executionId,
    queue_id: command.queue_id,
    node_id: command.node_id,
    node_name: command.node_name,
    attempt: 1,
    max_attempts: command.max_attempts,
    lane: command.lane,
    pool: command.pool,
    lease_token: lease.token,
    catalog_id: plan.catalogId,
    path: plan.path,
    version: plan.version,
    parent_execution_id: known.parentExecutionId,
    current_index: issued.current_index ?? null,
    context: issued.context ?? {},
  }
}

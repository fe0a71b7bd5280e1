import { channel } from 'node:diagnostics_channel'
import type { Event } from './schemas/event.ts'
import type { Status } from './schemas/execution.ts'
import type { CommandTrace, Trace } from './schemas/trace.ts'

/**
 * What the gateway tells the world while it works. It does not know who listens: metrics, dashboard,
 * tracing and the waiting of tests all hear the same facts, synchronously, in the same process.
 */
export interface Facts {
  /** Events of one execution were committed, in order, with the commands that they issued. */
  'noetl:events': {
    execution_id: string
    path: string
    status: Status
    events: readonly Event[]
    /** Of the commands that the events tell the outcome of. */
    lane: string
    commands: readonly { queue_id: string; tool_kind: string; lane: string; pool: string; dead: boolean }[]
    /** Seconds since the execution was begun; only when it ended with these events. */
    seconds?: number
    trace?: Trace
  }
  /** Commands were announced on the bus: after a commit, or again. */
  'noetl:announced': { count: number; again: boolean }
  /** A worker asked for leases. `reason`: the code of the refusal. */
  'noetl:claimed': { worker_id: string; claimed: number; refused: number; reason?: string }
  /** A worker was given a lease; the same claim asked for twice is told twice. */
  'noetl:leased': {
    execution_id: string
    command_id: string
    worker_id: string
    step: string
    kind: string
    lane: string
    pool: string
    attempt: number
    /** Since it was issued, in seconds. */
    waited: number
    /** What held it back the longest. */
    cause: 'capacity' | 'pool' | 'retry' | 'paused'
  }
  /** Leases were taken from workers that were not heard of in time. */
  'noetl:rescued': { commands: readonly { execution_id: string; queue_id: string }[] }
  /** A command waits for a person from now on. */
  'noetl:dead': {
    execution_id: string
    command_id: string
    step: string
    kind: string
    reason: 'attempts' | 'in_doubt' | 'error'
  }
  /** A report came after its lease was lost, or for a command settled before. */
  'noetl:late': { execution_id: string; command_id: string; worker_id: string | null }
  /** Upkeep found work that nobody asked for. */
  'noetl:upkeep': { what: 'rescued' | 'parked' | 'announced' | 'stalled' | 'rebuilt'; count: number }
  /** A worker's tool was called and came to an end; aborted calls are not told. */
  'noetl:call': {
    execution_id: string
    command_id: string
    step: string
    task: string
    kind: string
    status: 'ok' | 'error'
    /** Kind of the error. */
    error?: string
    seconds: number
    /** Of this call's span. Absent: no one traces it. */
    traceparent?: string
    /** Id of the span of its command. */
    parent_span?: string
  }
  /** A worker began or ended a command. */
  'noetl:command': {
    phase: 'begun' | 'ended'
    execution_id: string
    command_id: string
    step: string
    kind: string
    status?: 'ok' | 'error' | 'waiting' | 'retrying' | 'aborted'
    seconds?: number
    attempt: number
    trace?: CommandTrace
    /** At its begin: seconds since its notification was sent, unless that was delivered before. */
    notified?: number
  }
}

/** Whether anyone listens: for facts that cost something to put together. */
export function isHeard(name: keyof Facts): boolean {
  return channel(name).hasSubscribers
}

/** Publishes a fact; costs nothing when no one listens. */
export function publish<N extends keyof Facts>(name: N, fact: Facts[N]): void {
  const there = channel(name)
  if (there.hasSubscribers) there.publish(fact)
}

/** Hears every fact of one name until the returned function is called. */
export function listen<N extends keyof Facts>(name: N, hear: (fact: Facts[N]) => void): () => void {
  const heard = (fact: unknown) => hear(fact as Facts[N])
  channel(name).subscribe(heard)
  return () => channel(name).unsubscribe(heard)
}

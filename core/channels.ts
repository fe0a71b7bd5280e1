import { channel } from 'node:diagnostics_channel'
import type { Event } from './schemas/event.ts'
import type { Status } from './schemas/execution.ts'

/**
 * What the gateway tells the world while it works. It does not know who listens: metrics, dashboard,
 * tracing and the waiting of tests all hear the same facts, synchronously, in the same process.
 */
export interface Facts {
  /** Events of one execution were committed, in order. */
  'noetl:events': { execution_id: string; path: string; status: Status; events: readonly Event[] }
  /** Commands were announced on the bus: after a commit, or again. */
  'noetl:announced': { count: number; again: boolean }
  /** A worker asked for leases. */
  'noetl:claimed': { worker_id: string; claimed: number; refused: number }
  /** A report came after its lease was lost, or for a command settled before. */
  'noetl:late': { execution_id: string; command_id: string; worker_id: string | null }
  /** Upkeep found work that nobody asked for. */
  'noetl:upkeep': { what: 'rescued' | 'parked' | 'announced' | 'stalled' | 'rebuilt'; count: number }
  /** A worker began or ended a command. */
  'noetl:command': {
    phase: 'begun' | 'ended'
    execution_id: string
    command_id: string
    step: string
    kind: string
    status?: 'ok' | 'error' | 'waiting' | 'retrying' | 'aborted'
    seconds?: number
  }
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

import type { Json, JsonObject } from './json.ts'

/** Types of event, in the order of an execution's life. */
export const EVENT_TYPES = [
  'playbook.started',
  'command.issued',
  'command.claimed',
  'command.released',
  'command.lease_expired',
  'command.late',
  'command.dead',
  'command.retried',
  'step.enter',
  'step.skipped',
  'call.log',
  'call.waiting',
  'call.retrying',
  'call.done',
  'call.error',
  'loop.started',
  'loop.done',
  'ctx.updated',
  'step.exit',
  'playbook.completed',
  'playbook.failed',
  'playbook.cancelled',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

/** An append-only fact about an execution: a row of `noetl.event`. */
export interface Event {
  event_id: string
  execution_id: string
  /** ISO time. */
  created_at: string
  event_type: string
  /** Run id of the step. */
  node_id?: string
  node_name?: string
  /** Tool kind, `loop`, `playbook`. */
  node_type?: string
  status?: string
  /** Seconds. */
  duration?: number
  /** Iteration, from 0. */
  current_index?: number
  worker_id?: string
  context?: JsonObject
  result?: Json
  meta?: JsonObject
  error?: Json
}

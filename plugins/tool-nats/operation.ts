import type { JsonObject, ToolLog } from '@noetl/core'
import type { JetStreamClient, JetStreamManager } from 'nats'
import type { Place } from './failures.ts'
import type { NatsInput } from './input.ts'
import type { Limits } from './limits.ts'

/** What an operation talks to. The views of the client for buckets are not used: they make what is missing. */
export interface Bus {
  js: JetStreamClient
  jsm: JetStreamManager
  /** Bytes of one message, headers included, that the server takes. */
  maxPayload: number
  /** Aborts when nobody waits for the operation any more. */
  signal: AbortSignal
  log: ToolLog
}

/** An operation with its fields checked, ready to be run. */
export interface Operation {
  place: Place
  run(bus: Bus): Promise<JsonObject>
}

/** Checks the fields and says what to do with them. Throws ToolError `schema` before anything is sent. */
export type Prepare = (fields: NatsInput, about: { limits: Limits; idempotencyKey: string }) => Operation

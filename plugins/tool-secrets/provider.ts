import type { Credential, Json } from '@noetl/core'
import type { Dispatcher } from 'undici'
import type { SecretsInput } from './input.ts'

/** A secret as its provider holds it. */
export type Content =
  /** `isJson`: the provider says so itself. */
  { bytes: Buffer; isJson: boolean } | { json: Json }

/** A place that secrets come from. What is denied, not there or unreachable is a ToolError without their values. */
export interface Provider {
  /** Makes ready for one call: checks its fields, gets its credential. The function that comes back reads one secret. */
  open(fields: SecretsInput, reading: Reading): Promise<(name: string) => Promise<Content>>
}

/** What a provider is given of a call. */
export interface Reading {
  credentials(alias: string): Promise<Credential>
  /** Aborts when the call's time is up, and when another of its secrets could not be read. */
  signal: AbortSignal
  dispatcher: Dispatcher
  /** Of one secret. */
  maxBytes: number
}

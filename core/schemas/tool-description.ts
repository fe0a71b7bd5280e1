import type { JsonObject } from './json.ts'

/** What can be told of a tool without calling it: playbooks are checked by it, and editors are helped. */
export interface ToolDescription {
  kind: string
  /** JSON Schema of its fields. */
  input: JsonObject
  /** JSON Schema of its result. */
  output: JsonObject
  /** What repeating a call does. */
  effect: 'pure' | 'idempotent' | 'keyed' | 'unsafe'
  /** Fields whose templates give text whatever they hold. */
  textFields: string[]
  /** Package that brings it. */
  plugin: string
  version: string
}

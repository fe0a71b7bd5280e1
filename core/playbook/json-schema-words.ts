import type { JsonObject } from '../schemas/json.ts'

/** Words that the schema of the language is written in. */
export const ref = (name: string): JsonObject => ({ $ref: `#/$defs/${name}` })
export const anyOf = (...parts: JsonObject[]): JsonObject => ({ anyOf: parts })
export const list = (items: JsonObject): JsonObject => ({ type: 'array', items })
export const oneOrMore = (item: JsonObject): JsonObject => anyOf(list(item), item)
export const orNull = (part: JsonObject): JsonObject => anyOf(part, { type: 'null' })
export const about = (description: string, schema: JsonObject): JsonObject => ({ description, ...schema })

/** A mapping that takes these keys and no others: any other is a slip of the pen. */
export function closed(description: string, properties: JsonObject, more: JsonObject = {}): JsonObject {
  return { description, type: 'object', properties, additionalProperties: false, ...more }
}

/** The same where nothing may stand in its place. */
export function closedOrNull(description: string, properties: JsonObject): JsonObject {
  return closed(description, properties, { type: ['object', 'null'] })
}

export const NAME: JsonObject = { type: ['string', 'number'], minLength: 1 }
export const LANE: JsonObject = {
  description: 'Lane of its commands. Default: the one the execution was started in, else normal.',
  type: ['string', 'null'],
  pattern: '^[A-Za-z0-9_-]{1,60}$',
}
export const MAPPING: JsonObject = { type: ['object', 'null'] }
export const PROSE: JsonObject = { description: 'For readers; never evaluated.' }
/** A whole number from 1; digits and templates count. */
export const COUNT = anyOf(
  { type: 'integer', minimum: 1 },
  { type: 'string', pattern: '^\\s*[1-9][0-9]*\\s*$' },
  ref('template'),
  { type: 'null' },
)
export const SECONDS = anyOf(
  { type: 'number', minimum: 0 },
  { type: 'string', pattern: '^\\s*[0-9]*\\.?[0-9]+\\s*$' },
  ref('template'),
  { type: 'null' },
)

/** `then` is a word of the language as well as of JSON Schema; a linter takes an object that has it for a promise. */
export function withThen(properties: JsonObject, then: JsonObject, more: JsonObject = {}): JsonObject {
  return { ...properties, then, ...more }
}

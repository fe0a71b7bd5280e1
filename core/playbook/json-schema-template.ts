import { isObject, type Json, type JsonObject } from '../schemas/json.ts'

/** A text that holds a template: what it gives is known only when it runs. Editors show the field's description. */
export const TEMPLATE: JsonObject = { type: 'string', pattern: '\\{\\{|\\{%|\\{#' }
const REF = { $ref: '#/$defs/template' }

/** The keywords that say where a value stands and what it is for, not what it may be. */
const NOTES = ['title', 'description', 'default', 'examples', 'deprecated']

/**
 * A tool's schema of rendered fields as one of fields as they are written: wherever it wants something, a template
 * will do. References of its own would point to nothing here, so what they stand for is left open.
 */
export function orTemplate(schema: Json): Json {
  if (!isObject(schema)) return schema
  if ('$ref' in schema || '$dynamicRef' in schema) return notesOf(schema)
  const inner = inside(schema)
  if (isOpen(schema)) return inner
  if (
    Array.isArray(inner.anyOf) &&
    Object.keys(inner).every((key) => key === 'anyOf' || NOTES.includes(key))
  ) {
    return { ...inner, anyOf: [...inner.anyOf, REF] }
  }
  const notes = notesOf(inner)
  const bare = Object.fromEntries(Object.entries(inner).filter(([key]) => !NOTES.includes(key)))
  return { ...notes, anyOf: [bare, REF] }
}

/** The schemas within it, each with a template beside what it wants. */
function inside(schema: JsonObject): JsonObject {
  const result: JsonObject = {}
  for (const [key, value] of Object.entries(schema)) {
    switch (key) {
      case '$id':
      case '$schema':
      case '$defs':
      case 'definitions':
        break
      case 'properties':
      case 'patternProperties':
        result[key] = isObject(value) ? mapped(value, orTemplate) : value
        break
      case 'items':
      case 'additionalProperties':
        result[key] = orTemplate(value)
        break
      // Of alternatives a template is one, once: whether they exclude each other cannot be told before it runs.
      case 'anyOf':
      case 'oneOf':
        result.anyOf = Array.isArray(value)
          ? value.map((part) => (isObject(part) ? inside(part) : part))
          : value
        break
      case 'allOf':
        result[key] = Array.isArray(value) ? value.map(orTemplate) : value
        break
      default:
        result[key] = value
    }
  }
  return result
}

function mapped(object: JsonObject, change: (value: Json) => Json): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))
}

function notesOf(schema: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => NOTES.includes(key)))
}

/** True for a schema that takes any text already. */
function isOpen(schema: JsonObject): boolean {
  const keys = Object.keys(schema).filter((key) => !NOTES.includes(key))
  if (keys.length === 0) return true
  if (Array.isArray(schema.anyOf) && keys.length === 1)
    return schema.anyOf.some((part) => isObject(part) && isOpen(part))
  return (
    keys.length === 1 &&
    (schema.type === 'string' || (Array.isArray(schema.type) && schema.type.includes('string')))
  )
}

import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { isNumber } from '../schemas/numbers.ts'
import { hasTemplate } from '../template/tokens.ts'

/** A value that a schema does not take. */
export interface Misfit {
  /** Below the value that was looked at. */
  path: (string | number)[]
  expected: string
  seen: string
  /** Where only some words are taken: which. */
  words: string[]
}

/**
 * Holds a literal of a playbook against a JSON Schema, and gives the deepest place that does not fit. A text that
 * holds a template is known only when it runs, so it fits anything. What a schema says in words that are not
 * known here counts as fulfilled: only what certainly fails is told.
 */
export function misfitOf(value: Json, schema: Json | undefined): Misfit | undefined {
  return look(value, schema, [])
}

function look(value: Json, schema: Json | undefined, path: (string | number)[]): Misfit | undefined {
  if (typeof value === 'string' && hasTemplate(value)) return undefined
  if (!isObject(schema)) return schema === false ? misfit(value, {}, path) : undefined
  for (const part of listOf(schema.allOf)) {
    const wrong = look(value, part, path)
    if (wrong !== undefined) return wrong
  }
  for (const branches of [listOf(schema.anyOf), listOf(schema.oneOf)]) {
    if (branches.length === 0) continue
    const wrongs = branches.map((branch) => look(value, branch, path))
    if (!wrongs.includes(undefined)) return deepest(wrongs as Misfit[], path) ?? misfit(value, schema, path)
  }
  if (!fits(value, schema)) return misfit(value, schema, path)
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      const wrong = look(item, schema.items, [...path, i])
      if (wrong !== undefined) return wrong
    }
  }
  return isObject(value) ? lookIn(value, schema, path) : undefined
}

function lookIn(value: JsonObject, schema: JsonObject, path: (string | number)[]): Misfit | undefined {
  const properties = isObject(schema.properties) ? schema.properties : {}
  for (const name of listOf(schema.required)) {
    if (typeof name === 'string' && !Object.hasOwn(value, name)) {
      return { path, expected: `${name}: ${inWords(properties[name])}`, seen: `no "${name}"`, words: [] }
    }
  }
  const patterns = Object.entries(isObject(schema.patternProperties) ? schema.patternProperties : {})
  for (const [key, item] of Object.entries(value)) {
    const known = Object.hasOwn(properties, key)
    const matching = patterns.filter(([pattern]) => matches(key, pattern))
    const schemas = [...(known ? [properties[key]!] : []), ...matching.map(([, part]) => part)]
    if (schemas.length === 0 && schema.additionalProperties !== undefined)
      schemas.push(schema.additionalProperties)
    for (const part of schemas) {
      const wrong = look(item, part, [...path, key])
      if (wrong !== undefined) return wrong
    }
  }
  return undefined
}

/** Of alternatives that all do not fit the one that came furthest is the one that was meant. */
function deepest(wrongs: Misfit[], path: readonly unknown[]): Misfit | undefined {
  const [first] = wrongs.sort((a, b) => b.path.length - a.path.length)
  return first !== undefined && first.path.length > path.length ? first : undefined
}

function misfit(value: Json, schema: JsonObject, path: (string | number)[]): Misfit {
  return { path, expected: inWords(schema, value), seen: shown(value), words: wordsOf(schema) }
}

const TYPES: Record<string, (value: Json) => boolean> = {
  string: (value) => typeof value === 'string',
  number: isNumber,
  integer: (value) => typeof value === 'bigint' || Number.isInteger(value),
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
  array: (value) => Array.isArray(value),
  object: isObject,
}

function fits(value: Json, schema: JsonObject): boolean {
  const types = typesOf(schema)
  if (types.length > 0 && !types.some((type) => TYPES[type]?.(value) ?? true)) return false
  if ('const' in schema && !same(value, schema.const!)) return false
  if (Array.isArray(schema.enum) && !schema.enum.some((one) => same(value, one))) return false
  const within = (size: number, least: Json | undefined, most: Json | undefined) =>
    !(typeof least === 'number' && size < least) && !(typeof most === 'number' && size > most)
  if (typeof value === 'string') {
    if (!within(value.length, schema.minLength, schema.maxLength)) return false
    return typeof schema.pattern !== 'string' || matches(value, schema.pattern)
  }
  if (isNumber(value)) {
    const { exclusiveMinimum: above, exclusiveMaximum: below } = schema
    if (typeof above === 'number' && Number(value) <= above) return false
    if (typeof below === 'number' && Number(value) >= below) return false
    return within(Number(value), schema.minimum, schema.maximum)
  }
  if (Array.isArray(value)) return within(value.length, schema.minItems, schema.maxItems)
  return !isObject(value) || within(Object.keys(value).length, schema.minProperties, schema.maxProperties)
}

function matches(text: string, pattern: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(text)
  } catch {
    return true
  }
}

function same(a: Json, b: Json): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

const NAMES: Record<string, string> = {
  string: 'text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  null: 'nothing',
  array: 'a list',
  object: 'a mapping (key: value)',
}

/** What a schema takes, in words: nothing only where nothing else is taken, a form of text where a text is seen. */
export function inWords(schema: Json | undefined, seen?: Json): string {
  const words = [...new Set(partsOf(schema))]
  const others = words.filter((word) => word !== NAMES.null)
  const plain = typeof seen === 'string' ? others : others.filter((word) => !word.startsWith(LIKE))
  return (plain.length > 0 ? plain : others.length > 0 ? others : words).join(' or ') || 'something else'
}

const LIKE = 'text like '

function partsOf(schema: Json | undefined): string[] {
  if (!isObject(schema)) return []
  const branches = [...listOf(schema.anyOf), ...listOf(schema.oneOf)]
  if (branches.length > 0) return branches.flatMap(partsOf)
  if ('const' in schema) return [JSON.stringify(schema.const)]
  if (Array.isArray(schema.enum)) return schema.enum.map((one) => JSON.stringify(one))
  return typesOf(schema).map((type) => `${NAMES[type] ?? type}${boundsOf(schema, type)}`)
}

function boundsOf(schema: JsonObject, type: string): string {
  const { minimum, maximum, exclusiveMinimum: above, pattern, minLength } = schema
  if (type === 'string') {
    if (typeof pattern === 'string') return ` like ${pattern}`
    return typeof minLength === 'number' && minLength > 0 ? ' that is not empty' : ''
  }
  if (type !== 'number' && type !== 'integer') return ''
  if (typeof above === 'number') return ` above ${above}`
  if (typeof minimum !== 'number') return typeof maximum === 'number' ? ` up to ${maximum}` : ''
  return ` from ${minimum}${typeof maximum === 'number' ? ` to ${maximum}` : ''}`
}

function wordsOf(schema: Json): string[] {
  if (!isObject(schema)) return []
  const own = [...('const' in schema ? [schema.const!] : []), ...listOf(schema.enum)]
  const inner = [...listOf(schema.anyOf), ...listOf(schema.oneOf)].flatMap(wordsOf)
  return [...own.filter((word) => typeof word === 'string'), ...inner]
}

/** Never a text itself: it may be a secret. */
function shown(value: Json): string {
  if (typeof value === 'string') return value === '' ? 'an empty text' : 'text'
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  return isObject(value) ? 'a mapping' : String(value)
}

function typesOf({ type }: JsonObject): string[] {
  return listOf(typeof type === 'string' ? [type] : type).filter((name) => typeof name === 'string')
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : []
}

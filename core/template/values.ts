import { isObject, type Json, writeJson } from '../schemas/json.ts'
import { Decimal, isNumber, type Numeric, order } from '../schemas/numbers.ts'
import { put } from '../schemas/put.ts'
import { fail } from './failure.ts'
import { LIMITS, spend } from './limits.ts'

/**
 * Wraps a step's result wherever it stands in a scope: as a root, or as a member of the `steps` map. Reading
 * `.data`, `.result` or `.response` where it has no such key gives the result itself; the aliases exist on
 * reading only, so they never show in JSON.
 */
export class StepResult {
  /** The value, or of one that is stored aside the part at hand. */
  readonly near: Json
  readonly #load: (() => Json) | undefined

  constructor(near: Json, load?: () => Json) {
    this.near = near
    this.#load = load
  }

  /** True when only a part is at hand. */
  get isPart(): boolean {
    return this.#load !== undefined
  }

  /** The whole value; what loads it may throw to say that it is not there yet. */
  get value(): Json {
    return this.#load === undefined ? this.near : this.#load()
  }
}

/** Own members only, keys before anything else; undefined where there is none, of undefined too. */
export function member(base: unknown, key: unknown): unknown {
  if (typeof base === 'object' && base !== null && !(base instanceof Decimal)) {
    if (base instanceof StepResult) {
      const near = member(base.near, key)
      if (near !== undefined) return near
      const own = base.isPart && !isReference(key) ? member(base.value, key) : undefined
      return own === undefined && (key === 'data' || key === 'result' || key === 'response')
        ? base.value
        : own
    }
    if (Array.isArray(base)) return typeof key === 'number' ? base.at(key) : undefined
    const name = typeof key === 'string' ? key : isNumber(key) ? String(key) : undefined
    return name !== undefined && Object.hasOwn(base, name)
      ? (base as Record<string, unknown>)[name]
      : undefined
  }
  return typeof base === 'string' && typeof key === 'number' ? charactersOf(base).at(key) : undefined
}

/** An object's keys; to list those of a large one takes its time. */
export function keysOf(object: object): string[] {
  const keys = Object.keys(object)
  spend(keys.length >> 2)
  return keys
}

/** A text's characters, as Python counts them. */
export function charactersOf(text: string): string[] {
  spend(text.length >> 3)
  return Array.from(text)
}

/** Keys that only the part at hand has: asking for others of them loads nothing. */
function isReference(key: unknown): boolean {
  return key === '_ref' || key === '_store' || key === '_preview'
}

/** A value as it leaves a scope: without its wrapper, and a map whose members are fetched made whole. */
export function settle(value: unknown): unknown {
  if (value instanceof StepResult) return value.value
  if (!isObject(value)) return value
  const whole: Record<string, unknown> = {}
  for (const key of Object.keys(value)) put(whole, key, stored(value[key]))
  return whole
}

/** A value as a list or an object holds it: JSON, where undefined is null. */
export function stored(value: unknown): Json {
  if (value === undefined) return null
  return (value instanceof StepResult ? value.value : value) as Json
}

/**
 * Refuses a value whose JSON would be longer than a template may print. Lists that hold one list twice, again and
 * again, are small in memory and endless as text; the count stops where it is too much.
 */
export function boundJson(value: unknown): void {
  const open: unknown[] = [value]
  let characters = 0
  for (let part = open.pop(); open.length > 0 || part !== undefined; part = open.pop()) {
    if (typeof part === 'string') characters += part.length
    else if (typeof part === 'bigint' || part instanceof Decimal) characters += String(part).length
    else if (Array.isArray(part)) {
      characters += 2 + part.length
      for (const item of part) if (item !== undefined) open.push(item)
    } else if (typeof part === 'object' && part !== null && !(part instanceof StepResult)) {
      for (const [key, item] of Object.entries(part)) {
        characters += key.length + 4
        if (item !== undefined) open.push(item)
      }
    } else characters += 1
    if (characters > LIMITS.output) fail(`the value would be longer than ${LIMITS.output} characters`)
  }
  spend(characters >> 3)
}

/** How a value prints inside text: nothing for null and undefined, lists and objects as JSON on one line. */
export function toText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'bigint':
      return Object.is(value, -0) ? '0' : String(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      return value === null ? '' : value instanceof Decimal ? value.text : toJson(value)
    default:
      return ''
  }
}

export function toJson(value: unknown, indent?: number): string {
  boundJson(value)
  return writeJson(stored(value), indent)
}

const FALSE_WORDS = new Set(['', 'false', '0', 'no', 'none', 'null', 'off', '{}', '[]'])

/** Truth of a `when`: as Jinja2, and words that mean no are false too. */
export function truthy(value: unknown): boolean {
  if (value instanceof StepResult && value.isPart) return true
  const plain = value instanceof StepResult ? value.near : value
  return typeof plain === 'string' ? !FALSE_WORDS.has(plain.trim().toLowerCase()) : holds(plain)
}

/** Truth inside an expression, as Jinja2 has it. */
export function holds(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return Boolean(value)
  if (value instanceof StepResult) return value.isPart || holds(value.near)
  if (value instanceof Decimal) return true
  return Array.isArray(value) ? value.length > 0 : keysOf(value).length > 0
}

/** Undefined equals nothing; true is 1, as in Python. */
export function equal(left: unknown, right: unknown): boolean {
  spend(typeof left === 'string' ? left.length >> 8 : 1)
  if (left === undefined || right === undefined) return false
  if (left === null || right === null) return left === right
  if (typeof left === 'object' && !(left instanceof Decimal)) {
    if (typeof right !== 'object') return false
    if (Array.isArray(left)) {
      return (
        Array.isArray(right) &&
        left.length === right.length &&
        left.every((value, at) => equal(value, right[at]))
      )
    }
    if (!isObject(left) || !isObject(right)) return false
    const keys = keysOf(left)
    return (
      keys.length === Object.keys(right).length &&
      keys.every((key) => Object.hasOwn(right, key) && equal(left[key], right[key]))
    )
  }
  if (typeof left === typeof right && !(left instanceof Decimal)) return left === right
  const a = numeric(left)
  const b = numeric(right)
  // Strict equality never holds between numbers of two kinds, order is exact.
  return a !== undefined && b !== undefined && order(a, b) === 0
}

/** Order of two values as sorting wants it: negative, zero or positive. */
export function compare(left: unknown, right: unknown): number {
  spend(0.5)
  if (typeof left === 'string' && typeof right === 'string') return left < right ? -1 : left > right ? 1 : 0
  const a = numeric(left)
  const b = numeric(right)
  if (a !== undefined && b !== undefined) return order(a, b)
  if (Array.isArray(left) && Array.isArray(right)) {
    for (let at = 0; at < left.length && at < right.length; at++) {
      if (!equal(left[at], right[at])) return compare(left[at], right[at])
    }
    return left.length - right.length
  }
  return fail(
    `${describe(left)} cannot be compared with ${describe(right)}; convert one, for instance with | int`,
  )
}

export function numeric(value: unknown): Numeric | undefined {
  if (isNumber(value)) return value
  return typeof value === 'boolean' ? Number(value) : undefined
}

/** Name of a value's type in messages. */
export function describe(value: unknown): string {
  if (value === undefined) return 'an undefined value'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (isNumber(value)) return 'a number'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

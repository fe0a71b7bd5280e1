import { isObject } from '../schemas/json.ts'
import { isNumber } from '../schemas/numbers.ts'
import { fail } from './failure.ts'
import { compare, describe, equal, StepResult, toText } from './values.ts'

/** `a == b`, `a < b` and their like. Order with null or undefined is false both ways: a missing status is neither below 400 nor above. */
export function compares(sign: string, left: unknown, right: unknown): boolean {
  if (sign === '==') return equal(left, right)
  if (sign === '!=') return !equal(left, right)
  if (left === undefined || left === null || right === undefined || right === null) return false
  const order = compare(left, right)
  if (sign === '<') return order < 0
  if (sign === '<=') return order <= 0
  return sign === '>' ? order > 0 : order >= 0
}

/** `value in collection`: an element of a list, a key of an object, a part of a string. */
export function contains(collection: unknown, value: unknown): boolean {
  const inside = collection instanceof StepResult ? collection.value : collection
  if (inside === undefined || inside === null) return false
  if (Array.isArray(inside)) return inside.some((item) => equal(item, value))
  if (isObject(inside)) {
    return (typeof value === 'string' || isNumber(value)) && Object.hasOwn(inside, String(value))
  }
  if (typeof inside === 'string')
    return value !== undefined && value !== null && inside.includes(toText(value))
  return fail(`${describe(inside)} contains nothing`)
}

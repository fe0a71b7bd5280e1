import { isObject } from '../schemas/json.ts'
import { Decimal, isNumber } from '../schemas/numbers.ts'
import { compares, contains } from './comparison.ts'
import { numeric } from './values.ts'

type Test = (value: unknown, other: unknown) => boolean

const sign =
  (text: string): Test =>
  (value, other) =>
    compares(text, value, other)

/** What `x is name` asks, of the tests that are answered here; the template library has a few more. */
export const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ['defined', (value) => value !== undefined],
  ['undefined', (value) => value === undefined],
  ['none', (value) => value === null],
  ['string', (value) => typeof value === 'string'],
  ['number', isNumber],
  ['integer', (value) => typeof value === 'bigint' || Number.isInteger(value)],
  ['float', (value) => value instanceof Decimal || (typeof value === 'number' && !Number.isInteger(value))],
  ['boolean', (value) => typeof value === 'boolean'],
  ['true', (value) => value === true],
  ['false', (value) => value === false],
  ['mapping', isObject],
  ['sequence', (value) => Array.isArray(value)],
  ['iterable', (value) => typeof value === 'string' || Array.isArray(value) || isObject(value)],
  ['odd', (value) => remainder(value, 2) !== 0],
  ['even', (value) => remainder(value, 2) === 0],
  ['divisibleby', (value, other) => remainder(value, Number(other)) === 0],
  ['in', (value, other) => contains(other, value)],
  ['sameas', (value, other) => value === other],
  ...named(sign('=='), 'eq', 'equalto', '=='),
  ...named(sign('!='), 'ne', '!='),
  ...named(sign('<'), 'lt', 'lessthan', '<'),
  ...named(sign('<='), 'le', '<='),
  ...named(sign('>'), 'gt', 'greaterthan', '>'),
  ...named(sign('>='), 'ge', '>='),
])

function named(test: Test, ...names: string[]): [string, Test][] {
  return names.map((name) => [name, test])
}

/** NaN, which equals nothing, for what is no number. */
function remainder(value: unknown, by: number): number {
  const number = numeric(value)
  if (typeof number === 'bigint')
    return Number.isInteger(by) && by !== 0 ? Number(number % BigInt(by)) : Number.NaN
  return number === undefined ? Number.NaN : Number(number) % by
}

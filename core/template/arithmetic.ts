import { Decimal, type Numeric } from '../schemas/numbers.ts'
import { exactly, MOST_BITS } from './exact.ts'
import { boundList, boundText, fail } from './failure.ts'
import { printf } from './format.ts'
import { describe, numeric, stored, toText } from './values.ts'

/** `+ - * / // % ** ~` as Python has them; whole numbers and decimals stay exact, but for `/` and `**`. */
export function binary(sign: string, left: unknown, right: unknown): unknown {
  if (sign === '~') return concat(toText(left), toText(right))
  const a = numeric(left)
  const b = numeric(right)
  if (a !== undefined && b !== undefined) return calculate(sign, a, b)
  if (sign === '+') {
    if (typeof left === 'string' && typeof right === 'string') return concat(left, right)
    if (Array.isArray(left) && Array.isArray(right)) return joined(left, right)
  }
  if (sign === '%' && typeof left === 'string') return printf(left, Array.isArray(right) ? right : [right])
  if (sign === '*') {
    if (typeof b === 'number') return repeat(left, b)
    if (typeof a === 'number') return repeat(right, a)
  }
  return fail(`${describe(left)} ${sign} ${describe(right)} makes no sense`)
}

function concat(left: string, right: string): string {
  boundText(left.length + right.length)
  return left + right
}

function repeat(value: unknown, times: number): unknown {
  const count = Math.max(0, Math.trunc(times))
  if (typeof value === 'string') {
    boundText(value.length * count)
    return value.repeat(count)
  }
  if (Array.isArray(value)) {
    boundList(value.length * count)
    return Array.from({ length: value.length * count }, (_, at) => stored(value[at % value.length]))
  }
  return fail(`${describe(value)} cannot be repeated`)
}

function calculate(sign: string, a: Numeric, b: Numeric): Numeric {
  if ((sign === '/' || sign === '//' || sign === '%') && Number(b) === 0) fail('division by zero')
  if (sign === '/') return finite(Number(a) / Number(b))
  if (a instanceof Decimal || b instanceof Decimal) {
    if (sign === '+' || sign === '-' || sign === '*' || sign === '//' || sign === '%')
      return exactly(sign, a, b)
    return finite(Number(a) ** Number(b))
  }
  const whole = isWhole(a) && isWhole(b)
  if (!whole) return finite(inexact(sign, Number(a), Number(b)))
  if (sign === '**' && Number(b) < 0) return finite(Number(a) ** Number(b))
  if (typeof a === 'number' && typeof b === 'number') {
    const value = inexact(sign, a, b)
    if (Number.isSafeInteger(value)) return value
  }
  const exact = precise(sign, BigInt(a), BigInt(b))
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact
}

function isWhole(value: number | bigint): boolean {
  return typeof value === 'bigint' || Number.isSafeInteger(value)
}

function inexact(sign: string, a: number, b: number): number {
  switch (sign) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '//':
      return Math.floor(a / b)
    case '%':
      return a - b * Math.floor(a / b)
    default:
      return a ** b
  }
}

function precise(sign: string, a: bigint, b: bigint): bigint {
  switch (sign) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return bounded(a * b)
    case '//':
      return (a - modulo(a, b)) / b
    case '%':
      return modulo(a, b)
    default:
      if (Number(b) * Math.log2(Math.abs(Number(a)) + 1) > MOST_BITS) fail('the number would be too large')
      return a ** b
  }
}

function modulo(a: bigint, b: bigint): bigint {
  const rest = a % b
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest
}

function bounded(value: bigint): bigint {
  if (BigInt.asIntN(MOST_BITS, value) !== value) fail('the number would be too large')
  return value
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : fail('the number would be too large')
}

/** Elements that a list made of two others may have. */
const MOST_ELEMENTS = 2_000_000

function joined(left: readonly unknown[], right: readonly unknown[]): unknown[] {
  if (left.length + right.length > MOST_ELEMENTS)
    fail(`the list would have more than ${MOST_ELEMENTS} elements`)
  return [...left, ...right]
}

import {
  aligned,
  Decimal,
  LONGEST_NUMBER,
  type Numeric,
  type Scaled,
  scaled,
  unscaled,
} from '../schemas/numbers.ts'
import { fail } from './failure.ts'
import { spend } from './limits.ts'

/** Bits of the largest whole number that may come about: about a thousand digits, which JSON carries. */
export const MOST_BITS = 3300

/** `+ - * // %` on numbers of which one is no double: no digit is lost. */
export function exactly(sign: '+' | '-' | '*' | '//' | '%', a: Numeric, b: Numeric): Numeric {
  weigh(a)
  weigh(b)
  if (sign === '*') {
    const [x, y] = [scaled(a), scaled(b)]
    return made({ units: x.units * y.units, scale: x.scale + y.scale })
  }
  const [x, y, scale] = aligned(a, b)
  if (sign === '//') return made({ units: floored(x, y), scale: 0 })
  return made({ units: sign === '+' ? x + y : sign === '-' ? x - y : x - y * floored(x, y), scale })
}

/** A number with so many digits after the point; of a half, away from zero. */
export function roundExactly(value: Numeric, digits: number, method: unknown): Numeric {
  weigh(value)
  return made(rounded(scaled(value), digits, method))
}

/** As `Number.toFixed`. */
export function fixedExactly(value: Numeric, digits: number): string {
  const { units, scale } = rounded(scaled(value), digits, 'common')
  const text = String(units < 0n ? -units : units).padStart(scale + 1, '0')
  const whole = scale === 0 ? text : text.slice(0, -scale)
  const fraction = (scale === 0 ? '' : text.slice(-scale)).padEnd(digits, '0')
  return `${units < 0n ? '-' : ''}${whole}${digits === 0 ? '' : `.${fraction}`}`
}

/** The whole number before the point. */
export function truncated(value: Numeric): number | bigint {
  const { units, scale } = scaled(value)
  return unscaled({ units: units / 10n ** BigInt(scale), scale: 0 }) as number | bigint
}

function rounded({ units, scale }: Scaled, digits: number, method: unknown): Scaled {
  if (scale <= digits) return { units, scale }
  const unit = 10n ** BigInt(scale - digits)
  const down = floored(units, unit)
  const rest = units - down * unit
  const up =
    method === 'floor'
      ? false
      : method === 'ceil'
        ? rest > 0n
        : units < 0n
          ? rest * 2n > unit
          : rest * 2n >= unit
  const whole = up ? down + 1n : down
  return digits >= 0 ? { units: whole, scale: digits } : { units: whole * 10n ** BigInt(-digits), scale: 0 }
}

function floored(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient
}

/** Long numbers take their time. */
function weigh(value: Numeric): void {
  if (value instanceof Decimal) spend(value.text.length >> 4)
}

/** Refuses what could not be passed on as a number. */
function made(value: Scaled): Numeric {
  if (BigInt.asIntN(MOST_BITS, value.units) !== value.units) fail('the number would be too large')
  const number = unscaled(shortened(value))
  const text = String(number)
  const size = Number(number)
  const lost = typeof number === 'object' && (size === 0 || !Number.isFinite(size))
  if (lost || text.length > LONGEST_NUMBER) fail('the number would have too many digits')
  return number
}

/** Without zeros at the end of its fraction. */
function shortened({ units, scale }: Scaled): Scaled {
  if (scale === 0) return { units, scale }
  const digits = String(units)
  let zeros = units === 0n ? scale : 0
  while (zeros < scale && digits[digits.length - 1 - zeros] === '0') zeros++
  return { units: units / 10n ** BigInt(zeros), scale: scale - zeros }
}

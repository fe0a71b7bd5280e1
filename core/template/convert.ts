import { Decimal, isNumber, type Numeric, readNumber } from '../schemas/numbers.ts'
import { truncated } from './exact.ts'

/** `| int`: Jinja2's, which falls back to `otherwise` (0) for whatever is no number. */
export function toWhole<T>(value: unknown, otherwise: T, base = 10): number | bigint | T {
  if (typeof value === 'bigint') return value
  if (value instanceof Decimal) return truncated(value)
  if (typeof value === 'boolean') return Number(value)
  if (typeof value === 'number') return Number.isFinite(value) ? whole(value) : otherwise
  if (typeof value !== 'string') return otherwise
  const text = value.trim().replace(/(?<=\w)_(?=\w)/g, '')
  if (base !== 10) {
    const digits = text.replace(/^0[xob]/i, '')
    const number = Number.parseInt(digits, base)
    return /^[-+]?\w+$/.test(digits) && Number.isSafeInteger(number) ? number : otherwise
  }
  // Ids have more digits than a double holds: they stay exact.
  if (/^[-+]?\d+$/.test(text)) {
    const number = Number(text)
    if (Number.isSafeInteger(number)) return whole(number)
    return text.length > 1000 ? otherwise : BigInt(text.replace('+', ''))
  }
  const number = toFraction(text, undefined)
  if (number === undefined) return otherwise
  return typeof number === 'number' ? whole(number) : truncated(number)
}

/** `| float`: a number that keeps its digits, also where a float would not. */
export function toFraction<T>(value: unknown, otherwise: T): Numeric | T {
  if (typeof value === 'boolean') return Number(value)
  if (isNumber(value)) return value
  if (typeof value !== 'string' || !/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(value))
    return otherwise
  const number = readNumber(value.trim())
  return typeof number === 'string' ? otherwise : number
}

/** What stands before the point, and no minus of a zero. Beyond 2^53 a number would count as a float. */
function whole(value: number): number | bigint {
  const cut = Math.trunc(value)
  return Number.isSafeInteger(cut) ? cut || 0 : BigInt(cut)
}

/*
 * Numbers as they pass through: a JavaScript number where that says the same value, a bigint for a whole
 * number beyond 2^53, a Decimal for any other whose digits a number does not carry. In JSON all are numbers.
 */

/** Characters of the longest number that is carried as one; a longer stays the text of its digits. */
export const LONGEST_NUMBER = 1000

/** A number with more digits than a JavaScript number has. Where only a number will do, it is the nearest. */
export class Decimal {
  /** A number of JSON. */
  readonly text: string
  #rank: Rank | undefined

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }

  valueOf(): number {
    return Number(this.text)
  }

  toJSON(): unknown {
    return rawNumber(this.text)
  }

  /** Kept, for sorting asks for it again and again. */
  get rank(): Rank {
    this.#rank ??= rankOf(this.text)
    return this.#rank
  }
}

/** A number of any of the three kinds. */
export type Numeric = number | bigint | Decimal

/** True for a number of any kind. */
export function isNumber(value: unknown): value is Numeric {
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof Decimal
}

/**
 * The number that a text means, with all its digits. The text itself when it means none, or one beyond what
 * is carried: longer than `LONGEST_NUMBER`, or of a size that no double comes near.
 */
export function readNumber(text: string): Numeric | string {
  if (text.length > LONGEST_NUMBER) return text
  const parts = NUMBER.exec(text)
  if (parts === null) return text
  const [, sign = '', whole = '', point, fraction = '', exponent] = parts
  if (whole === '' && fraction === '') return text
  const value = Number(text)
  if (point === undefined && exponent === undefined) {
    return Number.isSafeInteger(value) ? value : BigInt(sign === '+' ? whole : text)
  }
  if (!Number.isFinite(value) || (value === 0 && /[1-9]/.test(whole + fraction))) return text
  if (byRank(rankOf(text), rankOf(String(value))) === 0) return value
  const digits = `${sign === '-' ? '-' : ''}${whole.replace(/^0+(?=\d)/, '') || '0'}`
  return new Decimal(`${digits}${fraction && `.${fraction}`}${exponent === undefined ? '' : `e${exponent}`}`)
}

const NUMBER = /^([-+]?)(\d*)(?:(\.)(\d*))?(?:e([-+]?\d+))?$/i

/** A number's value as units of a power of ten: `12.5` is 125 · 10^-1. */
export interface Scaled {
  units: bigint
  scale: number
}

export function scaled(value: Numeric): Scaled {
  if (typeof value === 'bigint') return { units: value, scale: 0 }
  const [mantissa = '', exponent = '0'] = String(value).toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  const scale = fraction.length - Number(exponent)
  const units = BigInt(whole + fraction)
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 }
}

/** The number of so many units: as a JavaScript number where that has the same digits. */
export function unscaled({ units, scale }: Scaled): Numeric {
  if (scale === 0) return Number.isSafeInteger(Number(units)) ? Number(units) : units
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, '0')
  const text = `${units < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
  const value = Number(text)
  return byRank(rankOf(text), rankOf(String(value))) === 0 ? value : new Decimal(text)
}

/** Order by value, exactly: negative, zero or positive. */
export function order(a: Numeric, b: Numeric): number {
  if (a instanceof Decimal || b instanceof Decimal) {
    // Rounding keeps the order, so only what rounds to the same number wants a closer look.
    const [left, right] = [Number(a), Number(b)]
    return left === right ? byRank(rank(a), rank(b)) : left < right ? -1 : 1
  }
  return a < b ? -1 : a > b ? 1 : 0
}

/** Units of two numbers at the same scale. */
export function aligned(a: Numeric, b: Numeric): [bigint, bigint, scale: number] {
  const [x, y] = [scaled(a), scaled(b)]
  const scale = Math.max(x.scale, y.scale)
  return [x.units * 10n ** BigInt(scale - x.scale), y.units * 10n ** BigInt(scale - y.scale), scale]
}

/** A value in a form that compares as it is: digits without outer zeros, and the power of ten that they begin at. */
interface Rank {
  sign: -1 | 0 | 1
  place: number
  digits: string
}

function rank(value: Numeric): Rank {
  return value instanceof Decimal ? value.rank : rankOf(String(value))
}

function rankOf(text: string): Rank {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.replace(/^[-+]/, '').split('.')
  const all = whole + fraction
  const digits = all.replace(/^0+/, '')
  if (digits === '') return { sign: 0, place: 0, digits: '' }
  const place = whole.length - (all.length - digits.length) + Number(exponent)
  return { sign: mantissa.startsWith('-') ? -1 : 1, place, digits: withoutZeros(digits) }
}

/** A pattern would look at every run of zeros to its end. */
function withoutZeros(digits: string): string {
  let end = digits.length
  while (end > 0 && digits[end - 1] === '0') end--
  return digits.slice(0, end)
}

function byRank(a: Rank, b: Rank): number {
  if (a.sign !== b.sign) return a.sign - b.sign
  if (a.place !== b.place) return a.sign * (a.place - b.place)
  return a.digits === b.digits ? 0 : a.sign * (a.digits < b.digits ? -1 : 1)
}

/** What `JSON.stringify` writes as these digits. */
export function rawNumber(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)
}

declare global {
  interface BigInt {
    toJSON(): unknown
  }
}

// JSON.stringify throws for a bigint by itself. Said here once, no one who writes JSON can forget it.
Object.defineProperty(BigInt.prototype, 'toJSON', {
  configurable: true,
  writable: true,
  value(this: bigint) {
    return rawNumber(String(this))
  },
})

import { isObject, parseJson } from '../schemas/json.ts'
import { Decimal, LONGEST_NUMBER, type Numeric } from '../schemas/numbers.ts'
import type { Args } from './calls.ts'
import { toFraction, toWhole } from './convert.ts'
import { exactly, roundExactly } from './exact.ts'
import { boundText, fail } from './failure.ts'
import { printf } from './format.ts'
import { spend } from './limits.ts'
import { entriesOf } from './sequences.ts'
import { charactersOf, describe, holds, keysOf, member, numeric, stored, toJson, toText } from './values.ts'

type Filter = (value: unknown, args: Args) => unknown

const tojson: Filter = (value, args) => {
  const indent = numeric(args.list[0] ?? args.named.indent)
  return indent === undefined || typeof indent === 'boolean' ? toJson(value) : toJson(value, Number(indent))
}
const length: Filter = (value) => {
  if (value === undefined) return 0
  if (typeof value === 'string') return countCharacters(value)
  if (Array.isArray(value)) return value.length
  if (isObject(value)) return keysOf(value).length
  return fail(`${describe(value)} has no length`)
}
const escapeHtml: Filter = (value) => {
  const text = toText(value)
  boundText(text.length * 5)
  return text.replace(/[&<>"']/g, (sign) => ENTITIES[sign]!)
}
const fromjson: Filter = (value) => {
  try {
    return parseJson(toText(value))
  } catch (error) {
    return fail(`the text is not JSON: ${(error as Error).message}`)
  }
}

/** Filters over single values, each as Jinja2 has it. */
export const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ['tojson', tojson],
  ['to_json', tojson],
  ['fromjson', fromjson],
  ['from_json', fromjson],
  ['length', length],
  ['count', length],
  [
    'int',
    (value, { list, named }) => {
      const base = Number(list[1] ?? named.base ?? 10)
      if (!(base >= 2 && base <= 36)) fail('the base of | int is between 2 and 36')
      return toWhole(value, list[0] ?? named.default ?? 0, base)
    },
  ],
  ['float', (value, { list, named }) => toFraction(value, list[0] ?? named.default ?? 0)],
  ['bool', (value) => holds(value)],
  ['string', (value) => toText(value)],
  ['lower', (value) => toText(value).toLowerCase()],
  ['upper', (value) => toText(value).toUpperCase()],
  ['trim', (value, { list, named }) => strip(toText(value), list[0] ?? named.chars, 'both')],
  ['replace', (value, { list }) => replace(toText(value), list)],
  ['abs', (value) => absolute(value)],
  ['round', (value, { list, named }) => round(value, list[0] ?? named.precision, list[1] ?? named.method)],
  ['b64encode', (value) => Buffer.from(toText(value), 'utf8').toString('base64')],
  ['b64decode', (value) => Buffer.from(toText(value), 'base64').toString('utf8')],
  ['urlencode', (value) => urlencode(value)],
  ['e', escapeHtml],
  ['escape', escapeHtml],
  ['safe', (value) => value],
  [
    'format',
    (value, { list, named }) => printf(toText(value), Object.keys(named).length > 0 ? [named] : list),
  ],
  ['attr', (value, { list }) => member(value, list[0])],
])

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function countCharacters(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    // The second half of a pair stands for no character of its own.
    if (code >= 0xd800 && code < 0xdc00 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) at++
    count++
  }
  return count
}

/** Refuses first what would not fit: the product of two long texts is quickly made. */
export function replace(text: string, [from, to, count]: readonly unknown[]): string {
  if (from === undefined || to === undefined) fail('replace takes what to replace, and with what')
  const old = toText(from)
  const fresh = toText(to)
  const limit = numeric(count)
  const most = limit === undefined || Number(limit) < 0 ? Number.POSITIVE_INFINITY : Number(limit)
  if (old === '') return between(text, fresh, most)
  const pieces: string[] = []
  let length = 0
  let begin = 0
  for (let at = text.indexOf(old); at >= 0 && pieces.length < most; at = text.indexOf(old, begin)) {
    length += at - begin + fresh.length
    boundText(length)
    pieces.push(text.slice(begin, at))
    begin = at + old.length
  }
  boundText(length + text.length - begin)
  spend(pieces.length >> 2)
  pieces.push(text.slice(begin))
  return pieces.join(fresh)
}

/** Python's replacing of nothing: the text goes before each character, and behind the last. */
function between(text: string, fresh: string, most: number): string {
  boundText(text.length + fresh.length * Math.min(most, text.length + 1))
  const pieces = charactersOf(text)
  const times = Math.min(most, pieces.length + 1)
  if (times === 0) return text
  if (times > pieces.length) return `${fresh}${pieces.join(fresh)}${fresh}`
  const rest = pieces.splice(times - 1).join('')
  return fresh + [...pieces, rest].join(fresh)
}

export function strip(text: string, characters: unknown, side: 'both' | 'left' | 'right'): string {
  const among = typeof characters === 'string' ? new Set(characters) : undefined
  const isOut = (sign: string) => (among === undefined ? /\s/.test(sign) : among.has(sign))
  let from = 0
  let to = text.length
  if (side !== 'right') while (from < to && isOut(text[from]!)) from++
  if (side !== 'left') while (to > from && isOut(text[to - 1]!)) to--
  return text.slice(from, to)
}

function absolute(value: unknown): Numeric {
  const number = numeric(value)
  if (number === undefined) return fail(`${describe(value)} has no absolute value`)
  if (typeof number === 'number') return Math.abs(number)
  return Number(number) < 0 ? exactly('-', 0, number) : number
}

function round(value: unknown, precision: unknown, method: unknown): Numeric {
  const number = numeric(value)
  if (number === undefined) return fail(`${describe(value)} cannot be rounded`)
  if (typeof number === 'bigint') return number
  const digits = toWhole(precision, 0)
  if (number instanceof Decimal)
    return roundExactly(number, Math.max(-400, Math.min(LONGEST_NUMBER, Number(digits))), method)
  if (Math.abs(Number(digits)) > 15) return number
  // Moving the point in text avoids the error that multiplying by a power of ten brings in.
  const moved = (shift: number, of: number) => {
    const [digitsOf, exponent = '0'] = String(of).split('e')
    return Number(`${digitsOf}e${Number(exponent) + shift}`)
  }
  const scaled = moved(Number(digits), Math.abs(number)) * Math.sign(number)
  let rounded: number
  if (method === 'ceil') rounded = Math.ceil(scaled)
  else if (method === 'floor') rounded = Math.floor(scaled)
  else rounded = Math.sign(scaled) * Math.round(Math.abs(scaled))
  const result = moved(-Number(digits), rounded)
  return result === 0 ? 0 : result
}

function urlencode(value: unknown): string {
  if (typeof value !== 'object' || value === null || value instanceof Decimal)
    return quote(toText(value)).replaceAll('%2F', '/')
  const pairs = Array.isArray(value) ? value : entriesOf(value)
  return pairs
    .map((pair: unknown) => {
      const [key, item] = Array.isArray(pair) ? pair : fail('urlencode takes a text, an object or pairs')
      return `${quote(toText(stored(key)))}=${quote(toText(stored(item)))}`.replaceAll('%20', '+')
    })
    .join('&')
}

function quote(text: string): string {
  boundText(text.length * 3)
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

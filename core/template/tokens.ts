import { LONGEST_NUMBER, type Numeric, readNumber } from '../schemas/numbers.ts'
import { fail, located } from './failure.ts'

/** A word of an expression. `at` is its offset in the template. */
export type Token =
  | { kind: 'name'; text: string; at: number }
  | { kind: 'string'; text: string; at: number }
  | { kind: 'number'; value: Numeric; text: string; at: number }
  | { kind: 'sign'; text: string; at: number }

/** A piece of a template. Texts are as printed: whitespace control is done and comments are gone. */
export type Piece =
  | { kind: 'text'; text: string }
  | { kind: 'output' | 'statement'; tokens: Token[]; at: number }

const OPENING = /\{(?:\{|%|#)/g
const SPACE = /\s+/y
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy
const NUMBER = /0[xX][\da-fA-F_]+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?/y
const DIGITS = /\d+/y
const SIGN = /\*\*|\/\/|==|!=|<=|>=|[-+*/%~<>=|.,:()[\]{}]/y
const RAW_START = /\{%[-+]?\s*raw\s*([-+]?)%\}/y
const RAW_END = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g

/** True for a text that is a template at all. */
export function hasTemplate(text: string): boolean {
  return text.includes('{{') || text.includes('{%') || text.includes('{#')
}

/** Cuts a template into texts, outputs and statements. */
export function cut(source: string): Piece[] {
  const pieces: Piece[] = []
  let from = 0
  let trimNext = false
  const text = (raw: string, trimEnd: boolean) => {
    let printed = trimNext ? raw.trimStart() : raw
    if (trimEnd) printed = printed.trimEnd()
    if (printed !== '') pieces.push({ kind: 'text', text: printed })
  }
  for (;;) {
    OPENING.lastIndex = from
    const open = OPENING.exec(source)
    if (open === null) break
    const at = open.index
    text(source.slice(from, at), source[at + 2] === '-')
    if (open[0] === '{#') {
      const end = source.indexOf('#}', at + 2)
      if (end < 0) fail('a comment is opened with {# and never closed', at)
      trimNext = source[end - 1] === '-'
      from = end + 2
      continue
    }
    const raw = match(RAW_START, source, at)
    if (raw !== null) {
      RAW_END.lastIndex = at + raw[0].length
      const end = RAW_END.exec(source)
      if (end === null) fail('{% raw %} is never closed with {% endraw %}', at)
      trimNext = raw[1] === '-'
      text(source.slice(at + raw[0].length, end.index), end[1] === '-')
      trimNext = end[2] === '-'
      from = end.index + end[0].length
      continue
    }
    const close = open[0] === '{{' ? '}}' : '%}'
    const skip = source[at + 2] === '-' || (open[0] === '{%' && source[at + 2] === '+') ? 3 : 2
    const { tokens, end } = locating(source, at, () => tokenise(source, at + skip, close))
    pieces.push({ kind: close === '}}' ? 'output' : 'statement', tokens, at })
    trimNext = source[end - 3] === '-'
    from = end
  }
  text(source.slice(from), false)
  return pieces
}

function locating<T>(source: string, at: number, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw located(error, source, at)
  }
}

/** Reads words up to `close` outside all brackets (or to the end of the text when `close` is null). */
export function tokenise(
  source: string,
  from: number,
  close: string | null,
): { tokens: Token[]; end: number } {
  const tokens: Token[] = []
  let depth = 0
  let at = from
  for (;;) {
    at += match(SPACE, source, at)?.[0].length ?? 0
    if (at >= source.length) {
      if (close === null) return { tokens, end: at }
      fail(`${close === '}}' ? '{{' : '{%'} is never closed with ${close}`)
    }
    if (close !== null && depth === 0) {
      const dash = source[at] === '-' || source[at] === '+' ? 1 : 0
      if (source.startsWith(close, at + dash)) return { tokens, end: at + dash + 2 }
    }
    const token = read(source, at, tokens.at(-1))
    if (token.kind === 'sign') {
      if ('([{'.includes(token.text)) depth++
      else if (')]}'.includes(token.text)) depth--
    }
    tokens.push(token)
    at = token.at + lengthOf(token, source)
  }
}

function read(source: string, at: number, before: Token | undefined): Token {
  const first = source[at]!
  if (first === '"' || first === "'") return { kind: 'string', text: unquote(source, at), at }
  const name = match(NAME, source, at)
  if (name !== null) return { kind: 'name', text: name[0], at }
  // After a dot digits are an index, so that `rows.0.1` is not read as a fraction.
  const number = match(before?.kind === 'sign' && before.text === '.' ? DIGITS : NUMBER, source, at)
  if (number !== null) return { kind: 'number', value: toNumber(number[0]), text: number[0], at }
  const sign = match(SIGN, source, at)
  if (sign === null) {
    const character = String.fromCodePoint(source.codePointAt(at)!)
    return fail(`unexpected character ${JSON.stringify(character)}`, at)
  }
  return { kind: 'sign', text: sign[0], at }
}

function toNumber(text: string): Numeric {
  const digits = text.replaceAll('_', '')
  const number = /^0x/i.test(digits) ? hexadecimal(digits) : readNumber(digits)
  return typeof number === 'string'
    ? fail(`the number ${digits.slice(0, 20)}... is too long or too large`)
    : number
}

function hexadecimal(digits: string): Numeric | string {
  const value = Number(digits)
  if (digits.length > LONGEST_NUMBER) return digits
  return Number.isSafeInteger(value) ? value : BigInt(digits)
}

/** Offset just after the string literal that begins at `at`. */
function endOfString(source: string, at: number): number {
  const quote = source[at]
  for (let end = at + 1; end < source.length; end++) {
    if (source[end] === '\\') end++
    else if (source[end] === quote) return end + 1
  }
  return fail('a string is never closed', at)
}

function lengthOf(token: Token, source: string): number {
  return token.kind === 'string' ? endOfString(source, token.at) - token.at : token.text.length
}

const ESCAPES: Record<string, string> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  v: '\v',
  '0': '\0',
  '\n': '',
}

function unquote(source: string, at: number): string {
  const body = source.slice(at + 1, endOfString(source, at) - 1)
  if (!body.includes('\\')) return body
  return body.replace(
    /\\(?:u([\da-fA-F]{4})|x([\da-fA-F]{2})|([\s\S]))/g,
    (whole, unicode: string | undefined, hex: string | undefined, other: string | undefined) => {
      const code = unicode ?? hex
      if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16))
      if (Object.hasOwn(ESCAPES, other!)) return ESCAPES[other!]!
      // An unknown escape stays as it is, as in Python: patterns like '\d' are written so.
      return other === '\\' || other === "'" || other === '"' ? other : whole
    },
  )
}

function match(pattern: RegExp, source: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(source)
}

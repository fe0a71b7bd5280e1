import type { Numeric } from '../schemas/numbers.ts'
import { toWhole } from './convert.ts'
import { exactly, fixedExactly } from './exact.ts'
import { boundText, fail } from './failure.ts'
import { describe, member, numeric, toJson, toText } from './values.ts'

/** Python's `'%s is %d' % (a, b)`; a single object supplies `%(name)s`. */
export function printf(pattern: string, values: readonly unknown[]): string {
  let next = 0
  let length = 0
  return pattern.replace(
    /%(?:\((\w+)\))?([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (
      _,
      name: string | undefined,
      flags: string,
      width: string,
      precision: string | undefined,
      letter: string,
    ) => {
      if (letter === '%') return '%'
      if (name === undefined && next >= values.length)
        fail(`"${pattern.slice(0, 60)}" wants more values than it got`)
      const value = name === undefined ? values[next++] : member(values[0], name)
      const text = one(value, {
        letter,
        precision: precision === undefined ? undefined : Number(precision),
        flags,
      })
      length += Math.max(text.length, Number(width))
      boundText(length)
      return pad(text, Number(width), flags.includes('-') ? '<' : '>', flags.includes('0') ? '0' : ' ')
    },
  )
}

function one(value: unknown, spec: { letter: string; precision: number | undefined; flags: string }): string {
  const { letter, precision } = spec
  if (letter === 's') return precision === undefined ? toText(value) : toText(value).slice(0, precision)
  if (letter === 'r') return typeof value === 'string' ? toJson(value) : toText(value)
  const number = numeric(value)
  if (number === undefined) return fail(`%${letter} wants a number, not ${describe(value)}`)
  const text = shape(number, letter, precision)
  return spec.flags.includes('+') && !text.startsWith('-') ? `+${text}` : text
}

function shape(number: Numeric, letter: string, precision: number | undefined): string {
  switch (letter) {
    case 'd':
    case 'i':
      return String(toWhole(number, 0))
    case 'f':
    case 'F':
      return fixed(number, Math.min(precision ?? 6, 100))
    case 'e':
      return Number(number).toExponential(Math.min(precision ?? 6, 100))
    case 'g':
      return String(Number(Number(number).toPrecision(Math.min(precision || 6, 100))))
    case 'x':
      return toWhole(number, 0).toString(16)
    case 'X':
      return toWhole(number, 0).toString(16).toUpperCase()
    case 'o':
      return toWhole(number, 0).toString(8)
    case 'b':
      return toWhole(number, 0).toString(2)
    case '%':
      return `${fixed(typeof number === 'number' ? number * 100 : exactly('*', number, 100), Math.min(precision ?? 6, 100))}%`
    default:
      return fail(`the format "${letter}" is not known`)
  }
}

function fixed(number: Numeric, digits: number): string {
  return typeof number === 'number' ? number.toFixed(digits) : fixedExactly(number, digits)
}

/** Python's `'{} is {name:.2f}'.format(...)`. */
export function formatMethod(
  pattern: string,
  list: readonly unknown[],
  named: Record<string, unknown>,
): string {
  let next = 0
  let length = 0
  return pattern.replace(
    /\{\{|\}\}|\{(\w*)((?:\.\w+|\[\w+\])*)(?::([^{}]*))?\}/g,
    (whole, name: string | undefined, path: string | undefined, spec: string | undefined) => {
      if (name === undefined) return whole[0]!
      const key = name === '' ? String(next++) : name
      let value = /^\d+$/.test(key) ? list[Number(key)] : member(named, key)
      if (/^\d+$/.test(key) && Number(key) >= list.length)
        fail(`"${pattern.slice(0, 60)}" wants more values than it got`)
      for (const [, part] of (path ?? '').matchAll(/[.[](\w+)/g)) {
        value = member(value, Array.isArray(value) ? Number(part) : part)
      }
      const text = spec ? formatSpec(value, spec) : toText(value)
      length += text.length
      boundText(length)
      return text
    },
  )
}

function formatSpec(value: unknown, spec: string): string {
  const parts = /^(?:(.)?([<>^=]))?([-+ ]?)(0?)(\d*)(,?)(?:\.(\d+))?([a-zA-Z%]?)$/u.exec(spec)
  if (parts === null) return fail(`the format ":${spec}" is not known`)
  const [, fill, align, sign, zero, width, comma, precision, letter] = parts
  const number = numeric(value)
  const asNumber = number !== undefined && letter !== 's'
  let text: string
  if (!asNumber)
    text = one(value, {
      letter: letter || 's',
      precision: precision === undefined ? undefined : Number(precision),
      flags: '',
    })
  else if (letter || precision !== undefined)
    text = shape(number, letter || 'g', precision === undefined ? undefined : Number(precision))
  else text = toText(value)
  if (comma)
    text = text.replace(
      /^(-?)(\d+)/,
      (_, minus: string, digits: string) => minus + digits.replace(/\B(?=(\d{3})+$)/g, ','),
    )
  if (asNumber && sign === '+' && !text.startsWith('-')) text = `+${text}`
  boundText(Number(width))
  return pad(text, Number(width), align || (asNumber ? '>' : '<'), fill || zero || ' ')
}

function pad(text: string, width: number, align: string, fill: string): string {
  if (text.length >= width) return text
  boundText(width)
  if (align === '<') return text.padEnd(width, fill === '0' ? ' ' : fill)
  if (align === '^')
    return text.padStart(text.length + Math.floor((width - text.length) / 2), fill).padEnd(width, fill)
  const sign = fill === '0' && /^[-+]/.test(text) ? text[0]! : ''
  return sign + text.slice(sign.length).padStart(width - sign.length, fill)
}

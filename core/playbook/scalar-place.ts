import type { Scalar } from 'yaml'

/**
 * Offset in the document of one character of a scalar's value. Quotes, escapes, folds and indents change only
 * the whitespace of a text and how a character is written, so the characters that are none are counted.
 */
export function offsetInSource(source: string, scalar: Scalar, offset: number): number {
  const value = String(scalar.value)
  const [start, end] = scalar.range ?? [0, 0]
  const wanted = countOf(value.slice(0, offset))
  const double = scalar.type === 'QUOTE_DOUBLE'
  const single = scalar.type === 'QUOTE_SINGLE'
  const block = scalar.type === 'BLOCK_LITERAL' || scalar.type === 'BLOCK_FOLDED'
  // A block's text begins in the line after its sign.
  let at = block ? source.indexOf('\n', start) + 1 : double || single ? start + 1 : start
  let last = at
  for (let seen = 0; at < end; ) {
    const unit = double
      ? escaped(source, at)
      : { length: single && source.startsWith("''", at) ? 2 : 1, text: source[at]! }
    const count = countOf(unit.text)
    if (count > 0) {
      if (seen + count > wanted) return at
      seen += count
      last = at
    }
    at += unit.length
  }
  return last
}

const WHITESPACE = /\s/g

/** Characters, in UTF-16 units, that are no whitespace. */
function countOf(text: string): number {
  return text.replace(WHITESPACE, '').length
}

const SPACES = 'ntrvf _LP\n\r\t'
const DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 }

/** One character of a text in double quotes: itself, or what an escape stands for. */
function escaped(source: string, at: number): { length: number; text: string } {
  if (source[at] !== '\\') return { length: 1, text: source[at]! }
  const sign = source[at + 1] ?? ''
  const digits = DIGITS[sign]
  if (digits === undefined) return { length: 2, text: SPACES.includes(sign) ? ' ' : 'x' }
  const code = Number.parseInt(source.slice(at + 2, at + 2 + digits), 16)
  return { length: 2 + digits, text: code <= 0x10ffff ? String.fromCodePoint(code) : 'x' }
}

import type { Numeric } from '../schemas/numbers.ts'
import { fail } from './failure.ts'
import { LIMITS } from './limits.ts'
import type { Token } from './tokens.ts'

/** An expression, parsed. A `path` is as long as its steps are known before evaluation. */
export type Expression =
  | { kind: 'literal'; value: null | boolean | Numeric | string }
  | Path
  | { kind: 'item'; base: Expression; key: Expression }
  | { kind: 'slice'; base: Expression; parts: (Expression | undefined)[] }
  | { kind: 'list'; items: Expression[] }
  | { kind: 'dict'; entries: [key: Expression, value: Expression][] }
  | { kind: 'negative' | 'positive' | 'not'; value: Expression }
  | { kind: 'and' | 'or'; left: Expression; right: Expression }
  | { kind: 'binary'; sign: string; left: Expression; right: Expression }
  | { kind: 'comparison'; first: Expression; rest: { sign: string; value: Expression }[] }
  | { kind: 'conditional'; test: Expression; yes: Expression; no: Expression | undefined }
  | { kind: 'filter'; name: string; value: Expression; args: Arguments; at: number }
  | { kind: 'test'; name: string; value: Expression; args: Arguments; at: number }
  | { kind: 'method'; name: string; value: Expression; args: Arguments }
  | { kind: 'call'; name: string; args: Arguments; at: number }

export interface Path {
  kind: 'path'
  root: string
  segments: (string | number)[]
  /** Offset of its root in the template. */
  at: number
}

export interface Arguments {
  list: Expression[]
  named: [name: string, value: Expression][]
}

const COMPARISONS = new Set(['==', '!=', '<', '<=', '>', '>='])
const LITERALS = new Map<string, null | boolean>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
  ['null', null],
])
const RESERVED = new Set(['and', 'or', 'not', 'in', 'is', 'if', 'else', 'for', 'elif'])

/** Reads expressions off a row of tokens, by recursive descent: one method per level of binding, loosest first. */
export class Parser {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  /** The whole row as one expression. */
  static whole(tokens: readonly Token[]): Expression {
    const parser = new Parser(tokens)
    const expression = parser.tuple()
    parser.end()
    return expression
  }

  end(): void {
    const token = this.#tokens[this.#at]
    if (token !== undefined) fail(`unexpected ${shown(token)}`, token.at)
  }

  /** An expression, or several with commas between, which are a list. */
  tuple(): Expression {
    const first = this.expression()
    if (!this.isSign(',')) return first
    const items = [first]
    while (this.takeSign(',')) if (this.#tokens[this.#at] !== undefined) items.push(this.expression())
    return { kind: 'list', items }
  }

  expression(): Expression {
    if (++this.#depth > LIMITS.depth) this.#fail(`it is nested more than ${LIMITS.depth} deep`)
    let value = this.or()
    while (this.takeName('if')) {
      const test = this.or()
      value = {
        kind: 'conditional',
        test,
        yes: value,
        no: this.takeName('else') ? this.expression() : undefined,
      }
    }
    this.#depth--
    return value
  }

  /** Like an expression, but stops before `if`: the list of a `{% for %}`. */
  or(): Expression {
    let left = this.#and()
    while (this.takeName('or')) left = { kind: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.takeName('and')) left = { kind: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    let negations = 0
    while (this.takeName('not')) negations++
    let value = this.#comparison()
    if (negations > LIMITS.depth) this.#fail(`it is nested more than ${LIMITS.depth} deep`)
    for (; negations > 0; negations--) value = { kind: 'not', value }
    return value
  }

  #comparison(): Expression {
    const first = this.#sum()
    const rest: { sign: string; value: Expression }[] = []
    for (;;) {
      const token = this.#tokens[this.#at]
      if (token?.kind === 'sign' && COMPARISONS.has(token.text)) this.#at++
      else if (this.isName('in')) this.#at++
      else if (this.isName('not') && this.isName('in', 1)) this.#at += 2
      else break
      const sign =
        token!.kind === 'name' && token!.text === 'not' ? 'not in' : (token as { text: string }).text
      rest.push({ sign, value: this.#sum() })
    }
    return rest.length === 0 ? first : { kind: 'comparison', first, rest }
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () =>
      this.#binary(['~'], () =>
        this.#binary(['*', '/', '//', '%'], () => this.#binary(['**'], () => this.#unary(true))),
      ),
    )
  }

  #binary(signs: string[], operand: () => Expression): Expression {
    let left = operand()
    for (;;) {
      const token = this.#tokens[this.#at]
      if (token?.kind !== 'sign' || !signs.includes(token.text)) return left
      this.#at++
      left = { kind: 'binary', sign: token.text, left, right: operand() }
    }
  }

  #unary(filters: boolean): Expression {
    let value: Expression
    if (this.isSign('-') || this.isSign('+')) {
      if (++this.#depth > LIMITS.depth) this.#fail(`it is nested more than ${LIMITS.depth} deep`)
      const kind = this.takeSign('-') ? 'negative' : 'positive'
      if (kind === 'positive') this.#at++
      value = { kind, value: this.#unary(false) }
      this.#depth--
    } else value = this.#members(this.#primary())
    return filters ? this.#filters(value) : value
  }

  #primary(): Expression {
    const token = this.#tokens[this.#at++]
    if (token === undefined) return this.#fail('an expression is missing at the end')
    if (token.kind === 'number') return { kind: 'literal', value: token.value }
    if (token.kind === 'string') {
      let text = token.text
      for (let next = this.#tokens[this.#at]; next?.kind === 'string'; next = this.#tokens[++this.#at])
        text += next.text
      return { kind: 'literal', value: text }
    }
    if (token.kind === 'name') {
      const literal = LITERALS.get(token.text)
      if (literal !== undefined) return { kind: 'literal', value: literal }
      if (RESERVED.has(token.text)) fail(`unexpected "${token.text}"`, token.at)
      if (this.isSign('(')) {
        return { kind: 'call', name: token.text, args: this.#arguments(), at: token.at }
      }
      return { kind: 'path', root: token.text, segments: [], at: token.at }
    }
    if (token.text === '[') return { kind: 'list', items: this.#items(']') }
    if (token.text === '{') return this.#dict()
    if (token.text === '(') {
      if (this.takeSign(')')) return { kind: 'list', items: [] }
      const first = this.expression()
      if (!this.takeSign(',')) {
        this.#expect(')')
        return first
      }
      return { kind: 'list', items: [first, ...this.#items(')')] }
    }
    return fail(`unexpected ${shown(token)}`, token.at)
  }

  #items(close: string): Expression[] {
    const items: Expression[] = []
    while (!this.takeSign(close)) {
      items.push(this.expression())
      if (!this.isSign(close)) this.#expect(',')
    }
    return items
  }

  #dict(): Expression {
    const entries: [Expression, Expression][] = []
    while (!this.takeSign('}')) {
      const key = this.expression()
      this.#expect(':')
      entries.push([key, this.expression()])
      if (!this.isSign('}')) this.#expect(',')
    }
    return { kind: 'dict', entries }
  }

  #members(start: Expression): Expression {
    let value = start
    for (;;) {
      if (this.takeSign('.')) {
        const token = this.#tokens[this.#at++]
        if (token?.kind === 'name' && this.isSign('(')) {
          value = { kind: 'method', name: token.text, value, args: this.#arguments() }
        } else if (token?.kind === 'name') value = extend(value, token.text)
        else if (token?.kind === 'number') value = extend(value, Number(token.value))
        else this.#fail('a name is missing after "."', token)
      } else if (this.takeSign('[')) value = this.#subscript(value)
      else if (this.isSign('(')) return this.#fail('only functions and methods can be called')
      else return value
    }
  }

  #subscript(base: Expression): Expression {
    const parts: (Expression | undefined)[] = [
      this.isSign(':') || this.isSign(']') ? undefined : this.expression(),
    ]
    while (this.takeSign(':')) {
      parts.push(this.isSign(':') || this.isSign(']') ? undefined : this.expression())
    }
    this.#expect(']')
    if (parts.length > 3) this.#fail('a slice has at most three parts')
    if (parts.length > 1) return { kind: 'slice', base, parts }
    const key = parts[0]
    if (key === undefined) return this.#fail('nothing stands between [ and ]')
    const fixed = key.kind === 'negative' ? key.value : key
    if (fixed.kind === 'literal' && (typeof fixed.value === 'string' || typeof fixed.value === 'number')) {
      if (key === fixed) return extend(base, fixed.value)
      if (typeof fixed.value === 'number') return extend(base, -fixed.value)
    }
    return { kind: 'item', base, key }
  }

  #filters(start: Expression): Expression {
    let value = start
    for (;;) {
      if (this.takeSign('|')) {
        const { text: name, at } = this.#word('filter')
        value = { kind: 'filter', name, value, args: this.isSign('(') ? this.#arguments() : NONE, at }
      } else if (this.takeName('is')) {
        const negated = this.takeName('not')
        const { text: name, at } = this.#word('test')
        value = { kind: 'test', name, value, args: this.#testArguments(), at }
        if (negated) value = { kind: 'not', value }
      } else if (this.isSign('.') || this.isSign('[')) {
        value = this.#members(value)
      } else return value
    }
  }

  #word(what: string): Token {
    const token = this.#tokens[this.#at++]
    if (token?.kind !== 'name') return this.#fail(`the name of a ${what} is missing`, token)
    return token
  }

  /** `is divisibleby 3` is `is divisibleby(3)`. */
  #testArguments(): Arguments {
    const token = this.#tokens[this.#at]
    if (this.isSign('(')) return this.#arguments()
    const begins =
      token?.kind === 'number' ||
      token?.kind === 'string' ||
      (token?.kind === 'name' && !RESERVED.has(token.text)) ||
      this.isSign('[') ||
      this.isSign('{')
    return begins ? { list: [this.#members(this.#primary())], named: [] } : NONE
  }

  #arguments(): Arguments {
    this.#expect('(')
    const args: Arguments = { list: [], named: [] }
    while (!this.takeSign(')')) {
      const token = this.#tokens[this.#at]
      if (token?.kind === 'name' && this.isSign('=', 1)) {
        this.#at += 2
        args.named.push([token.text, this.expression()])
      } else args.list.push(this.expression())
      if (!this.isSign(')')) this.#expect(',')
    }
    return args
  }

  isSign(text: string, ahead = 0): boolean {
    const token = this.#tokens[this.#at + ahead]
    return token?.kind === 'sign' && token.text === text
  }

  takeSign(text: string): boolean {
    const found = this.isSign(text)
    if (found) this.#at++
    return found
  }

  isName(text: string, ahead = 0): boolean {
    const token = this.#tokens[this.#at + ahead]
    return token?.kind === 'name' && token.text === text
  }

  takeName(text: string): boolean {
    const found = this.isName(text)
    if (found) this.#at++
    return found
  }

  /** Any word. */
  name(what: string): string {
    const token = this.#tokens[this.#at++]
    if (token?.kind !== 'name') return this.#fail(`${what} is missing`, token)
    return token.text
  }

  #expect(text: string): void {
    if (this.takeSign(text)) return
    const token = this.#tokens[this.#at]
    this.#fail(`expected "${text}", found ${token === undefined ? 'the end' : shown(token)}`)
  }

  /** Fails at a token: the next one unless another is named, or at the last when there is none. */
  #fail(message: string, token = this.#tokens[this.#at]): never {
    return fail(message, (token ?? this.#tokens.at(-1))?.at)
  }
}

const NONE: Arguments = { list: [], named: [] }

function extend(base: Expression, key: string | number): Expression {
  if (base.kind === 'path') {
    // Each member copies those before it.
    if (base.segments.length >= LIMITS.members) fail(`a path has at most ${LIMITS.members} members`)
    return { ...base, segments: [...base.segments, key] }
  }
  return { kind: 'item', base, key: { kind: 'literal', value: key } }
}

function shown(token: Token): string {
  return token.kind === 'string' ? `the string ${JSON.stringify(token.text)}` : `"${token.text}"`
}

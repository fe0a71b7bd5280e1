import { isObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'
import { binary } from './arithmetic.ts'
import { type Args, applyFilter, applyTest, callFunction } from './calls.ts'
import { compares, contains } from './comparison.ts'
import type { Arguments, Expression, Path } from './expression.ts'
import { boundText, fail } from './failure.ts'
import { LIMITS, takeSpent } from './limits.ts'
import { callMethod } from './methods.ts'
import { slice } from './sequences.ts'
import type { Statement } from './statements.ts'
import {
  charactersOf,
  describe,
  holds,
  keysOf,
  member,
  numeric,
  StepResult,
  settle,
  stored,
  toText,
} from './values.ts'

/** Where names come from. Whatever `lookup` throws passes through an evaluation unchanged. */
export interface Scope {
  /** Undefined when the name is unknown. `now` is the ISO time that `now()` gives; without it, the clock's. */
  lookup(name: string): unknown
}

/** Names bound inside a template: by `{% for %}` and `{% set %}`. */
interface Locals {
  names: Map<string, unknown>
  outer: Locals | undefined
}

/** A path as it stands in the scope, wrapper and all. */
export function readPath(path: Path, scope: Scope): unknown {
  return follow(scope.lookup(path.root), path.segments)
}

/** Names of HTTP headers have no case: results hold them in lower case, and are asked in any. */
function follow(root: unknown, segments: Path['segments']): unknown {
  let value = root
  for (const [i, segment] of segments.entries()) {
    if (value === undefined) return undefined
    const holder = value
    value = member(holder, segment)
    if (value === undefined && typeof segment === 'string' && segments[i - 1] === 'headers') {
      value = member(holder, segment.toLowerCase())
    }
  }
  return value
}

/**
 * One rendering. Nothing is evaluated that the result does not turn on: an untaken branch looks up no names,
 * so that a scope which loads values when they are looked at loads only those.
 */
export class Evaluation {
  readonly #scope: Scope
  #locals: Locals | undefined
  #fuel: number = LIMITS.fuel

  constructor(scope: Scope) {
    // What another left unpaid is not this one's.
    takeSpent()
    this.#scope = scope
  }

  /** The value of an expression: JSON or undefined. */
  value(expression: Expression): unknown {
    const value = this.raw(expression)
    return expression.kind === 'path' && expression.segments.length > 0
      ? value instanceof StepResult
        ? value.value
        : value
      : isDirect(expression)
        ? settle(value)
        : value
  }

  /** The value with a step's wrapper still on, and maps of the scope unread. */
  raw(expression: Expression): unknown {
    this.#burn(1)
    switch (expression.kind) {
      case 'literal':
        return expression.value
      case 'path':
        return this.#path(expression)
      case 'item':
        return member(this.raw(expression.base), this.value(expression.key))
      case 'slice':
        return slice(
          this.value(expression.base),
          expression.parts.map((part) => (part === undefined ? undefined : this.value(part))),
        )
      case 'list':
        return expression.items.map((item) => stored(this.value(item)))
      case 'dict': {
        const object: Record<string, unknown> = {}
        for (const [key, value] of expression.entries)
          put(object, toText(this.value(key)), stored(this.value(value)))
        return object
      }
      case 'not':
        return !holds(this.raw(expression.value))
      case 'negative':
      case 'positive': {
        const value = this.value(expression.value)
        const number = numeric(value)
        if (number === undefined) return fail(`${describe(value)} has no sign`)
        return expression.kind === 'positive' ? number : binary('-', 0, number)
      }
      case 'and': {
        const left = this.raw(expression.left)
        return holds(left) ? this.raw(expression.right) : left
      }
      case 'or': {
        const left = this.raw(expression.left)
        return holds(left) ? left : this.raw(expression.right)
      }
      case 'binary':
        return binary(
          expression.sign,
          this.#weighed(this.value(expression.left)),
          this.#weighed(this.value(expression.right)),
        )
      case 'comparison':
        return this.#comparison(expression)
      case 'conditional':
        if (holds(this.raw(expression.test))) return this.raw(expression.yes)
        return expression.no === undefined ? undefined : this.raw(expression.no)
      case 'filter':
        return this.#filter(expression)
      case 'test': {
        const { name, value, args } = expression
        if (name === 'defined') return this.raw(value) !== undefined
        if (name === 'undefined') return this.raw(value) === undefined
        return applyTest(name, this.#weighed(this.value(value)), this.#args(args))
      }
      case 'method':
        return this.#bounded(
          callMethod(expression.name, this.#method(expression.value), this.#args(expression.args)),
        )
      case 'call':
        return callFunction(expression.name, this.#args(expression.args), (name) => this.#scope.lookup(name))
      default:
        return expression satisfies never
    }
  }

  /** What statements print. */
  print(body: readonly Statement[]): string {
    let text = ''
    for (const statement of body) {
      const printed = this.#statement(statement)
      boundText(text.length + printed.length)
      text += printed
    }
    return text
  }

  #statement(statement: Statement): string {
    switch (statement.kind) {
      case 'text':
        return statement.text
      case 'output':
        return toText(this.value(statement.value))
      case 'if':
        for (const { test, body } of statement.branches) {
          if (test === undefined || holds(this.raw(test))) return this.print(body)
        }
        return ''
      case 'for':
        return this.#for(statement)
      case 'set':
        this.#bind(statement.names, this.value(statement.value))
        return ''
      case 'capture':
        this.#bind([statement.name], this.print(statement.body))
        return ''
      default:
        return statement satisfies never
    }
  }

  #for(statement: Statement & { kind: 'for' }): string {
    const outer = this.#locals
    let items = elements(this.value(statement.list))
    const { filter, names } = statement
    const round = () => {
      this.#burn(1)
      this.#locals = { names: new Map(), outer }
    }
    try {
      if (filter !== undefined) {
        items = items.filter((item) => {
          round()
          this.#bind(names, item)
          return holds(this.value(filter))
        })
      }
      if (items.length === 0) {
        this.#locals = outer
        return this.print(statement.otherwise)
      }
      let text = ''
      for (const [index, item] of items.entries()) {
        round()
        this.#bind(names, item)
        this.#bind(['loop'], loopOf(items, index))
        const printed = this.print(statement.body)
        boundText(text.length + printed.length)
        text += printed
      }
      return text
    } finally {
      this.#locals = outer
    }
  }

  #bind(names: string[], value: unknown): void {
    this.#locals ??= { names: new Map(), outer: undefined }
    if (names.length === 1) this.#locals.names.set(names[0]!, value)
    else {
      const parts = Array.isArray(value) ? value : []
      if (parts.length !== names.length)
        fail(`${describe(value)} cannot be taken apart into ${names.join(', ')}`)
      for (const [at, name] of names.entries()) this.#locals.names.set(name, parts[at])
    }
  }

  #path(path: Path): unknown {
    for (let locals = this.#locals; locals !== undefined; locals = locals.outer) {
      if (!locals.names.has(path.root)) continue
      return follow(locals.names.get(path.root), path.segments)
    }
    return readPath(path, this.#scope)
  }

  #comparison({ first, rest }: Expression & { kind: 'comparison' }): boolean {
    let left = this.value(first)
    for (const { sign, value } of rest) {
      const among = sign === 'in' || sign === 'not in'
      const right = among ? this.raw(value) : this.value(value)
      this.#weighed(right)
      if (among ? contains(right, left) === (sign === 'not in') : !compares(sign, left, right)) return false
      left = among ? settle(right) : right
    }
    return true
  }

  /** `default` evaluates its argument only when it is wanted, and leaves a step's wrapper on. */
  #filter({ name, value, args }: Expression & { kind: 'filter' }): unknown {
    if (name !== 'default' && name !== 'd') {
      const made = applyFilter(
        name,
        this.#weighed(this.value(value), QUICK.has(name) ? 6 : 3),
        this.#args(args),
      )
      return this.#bounded(made)
    }
    const given = this.raw(value)
    const named = new Map(args.named)
    const falsy = args.list[1] ?? named.get('boolean')
    if (given !== undefined && (falsy === undefined || !holds(this.value(falsy)) || holds(given)))
      return given
    const otherwise = args.list[0] ?? named.get('default_value')
    return otherwise === undefined ? '' : this.raw(otherwise)
  }

  /** `.get()` reads like `.name` does, so it wants the wrapper; other methods the bare value. */
  #method(base: Expression): { raw: unknown; value: () => unknown } {
    const raw = this.raw(base)
    return { raw, value: () => this.#weighed(settle(raw), 3) }
  }

  #args({ list, named }: Arguments): Args {
    const args: Args = { list: list.map((value) => this.value(value)), named: {} }
    for (const [name, value] of named) put(args.named, name, this.value(value))
    return args
  }

  #burn(amount: number): void {
    this.#fuel -= amount + takeSpent()
    if (this.#fuel < 0) fail('it takes too many operations')
  }

  /** What an operation goes through costs as it is long: 2 to the power of `shift` characters a unit. */
  #weighed(value: unknown, shift = 6): unknown {
    if (Array.isArray(value)) this.#burn(value.length >> 3)
    else if (typeof value === 'string') this.#burn(value.length >> shift)
    return value
  }

  #bounded(made: unknown): unknown {
    if (typeof made === 'string') boundText(made.length)
    this.#burn(0)
    return made
  }
}

/** Filters that go through a text at the speed of memory; others look at each character. */
const QUICK: ReadonlySet<string> = new Set([
  ...['length', 'count', 'lower', 'upper', 'string', 'safe', 'bool', 'int', 'float'],
  ...['tojson', 'to_json', 'b64encode', 'b64decode'],
])

/** True for what may hand on a value of the scope as it is. */
function isDirect({ kind, ...rest }: Expression): boolean {
  return (
    kind === 'path' ||
    kind === 'item' ||
    kind === 'and' ||
    kind === 'or' ||
    kind === 'conditional' ||
    (kind === 'filter' && 'name' in rest && (rest.name === 'default' || rest.name === 'd')) ||
    kind === 'method'
  )
}

function elements(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  if (isObject(value)) return keysOf(value)
  if (typeof value === 'string') return charactersOf(value)
  return fail(`${describe(value)} has no elements to loop over`)
}

function loopOf(items: readonly unknown[], index: number): Record<string, unknown> {
  const { length } = items
  return {
    index: index + 1,
    index0: index,
    revindex: length - index,
    revindex0: length - index - 1,
    first: index === 0,
    last: index === length - 1,
    length,
    previtem: stored(items[index - 1]),
    nextitem: stored(items[index + 1]),
  }
}

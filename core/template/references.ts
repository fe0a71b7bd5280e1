import type { Arguments, Expression, Path } from './expression.ts'
import type { Statement } from './statements.ts'

/** A path, and whether the template reckons with its not being there: `is defined`, `| default`. */
export type Mention = Path & { guarded: boolean }

/** A filter, test or function by its name. */
export interface Word {
  kind: 'filter' | 'test' | 'function'
  name: string
  at: number
}

/** What a template refers to. */
export interface Found {
  /** Paths that begin at a name from outside: not at a loop variable or a name that the template sets. */
  mentions: Mention[]
  words: Word[]
}

export function pathsOf(body: readonly Statement[]): Path[] {
  return findIn(body).mentions
}

export function findIn(body: readonly Statement[]): Found {
  const found: Found = { mentions: [], words: [] }
  walk(body, new Set(), found)
  return found
}

function walk(body: readonly Statement[], outer: ReadonlySet<string>, found: Found): void {
  // A name counts as bound from where it is set: before that it comes from outside.
  const bound = new Set(outer)
  for (const statement of body) {
    switch (statement.kind) {
      case 'text':
        break
      case 'output':
        visit(statement.value, bound, found)
        break
      case 'if':
        for (const branch of statement.branches) {
          if (branch.test !== undefined) visit(branch.test, bound, found)
          walk(branch.body, bound, found)
        }
        break
      case 'for': {
        visit(statement.list, bound, found)
        const inner = new Set([...bound, ...statement.names, 'loop'])
        if (statement.filter !== undefined) visit(statement.filter, inner, found)
        walk(statement.body, inner, found)
        walk(statement.otherwise, bound, found)
        break
      }
      case 'set':
        visit(statement.value, bound, found)
        for (const name of statement.names) bound.add(name)
        break
      case 'capture':
        walk(statement.body, bound, found)
        bound.add(statement.name)
        break
    }
  }
}

function visit(expression: Expression, bound: ReadonlySet<string>, found: Found, guarded = false): void {
  if (expression.kind === 'path') {
    if (!bound.has(expression.root)) found.mentions.push({ ...expression, guarded })
    return
  }
  const { kind } = expression
  if (kind === 'filter' || kind === 'test' || kind === 'call') {
    const { name, at } = expression
    found.words.push({ kind: kind === 'call' ? 'function' : kind, name, at })
    if ((kind === 'filter' && DEFAULTS.has(name)) || (kind === 'test' && DEFINED.has(name))) {
      visit(expression.value, bound, found, true)
      for (const part of argumentsOf(expression.args)) visit(part, bound, found, guarded)
      return
    }
  }
  for (const part of partsOf(expression)) if (part !== undefined) visit(part, bound, found, guarded)
}

const DEFAULTS = new Set(['default', 'd'])
const DEFINED = new Set(['defined', 'undefined'])

function partsOf(expression: Exclude<Expression, Path>): (Expression | undefined)[] {
  switch (expression.kind) {
    case 'literal':
      return []
    case 'item':
      return [expression.base, expression.key]
    case 'slice':
      return [expression.base, ...expression.parts]
    case 'list':
      return expression.items
    case 'dict':
      return expression.entries.flat()
    case 'negative':
    case 'positive':
    case 'not':
      return [expression.value]
    case 'and':
    case 'or':
    case 'binary':
      return [expression.left, expression.right]
    case 'comparison':
      return [expression.first, ...expression.rest.map(({ value }) => value)]
    case 'conditional':
      return [expression.test, expression.yes, expression.no]
    case 'filter':
    case 'test':
    case 'method':
      return [expression.value, ...argumentsOf(expression.args)]
    case 'call':
      return argumentsOf(expression.args)
    default:
      return expression satisfies never
  }
}

function argumentsOf({ list, named }: Arguments): Expression[] {
  return [...list, ...named.map(([, value]) => value)]
}

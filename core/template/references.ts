import type { Arguments, Expression, Path } from './expression.ts'
import type { Statement } from './statements.ts'

/** Paths that begin at a name from outside: not at a loop variable or a name that the template sets. */
export function pathsOf(body: readonly Statement[]): Path[] {
  const found: Path[] = []
  walk(body, new Set(), found)
  return found
}

function walk(body: readonly Statement[], outer: ReadonlySet<string>, found: Path[]): void {
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

function visit(expression: Expression, bound: ReadonlySet<string>, found: Path[]): void {
  if (expression.kind === 'path') {
    if (!bound.has(expression.root)) found.push(expression)
    return
  }
  for (const part of partsOf(expression)) if (part !== undefined) visit(part, bound, found)
}

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

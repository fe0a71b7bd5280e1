import { isObject, type Json } from '../schemas/json.ts'
import { type Expression, Parser } from '../template/expression.ts'
import { cut, hasTemplate, type Token, tokenise } from '../template/tokens.ts'

/*
 * Conditions and templates as texts that other conditions are made of. What cannot be parsed is left as it is: it
 * fails where it is used, with a message that names it.
 */

/** A condition that holds when all of them do; undefined, which is always true, when there is none. */
export function allOf(...conditions: (Json | undefined)[]): Json | undefined {
  const parts = conditions.filter((condition) => condition !== undefined && condition !== true) as Json[]
  if (parts.length < 2) return parts[0]
  const { before, expressions } = expressionsOf(parts)
  return `${before}{{ ${expressions.map((text) => `(${text})`).join(' and ')} }}`
}

/** A condition that holds when the other does not. */
export function not(condition: Json | undefined): Json {
  if (condition === undefined || condition === true) return false
  if (condition === false) return true
  const { before, expressions } = expressionsOf([condition])
  return `${before}{{ not (${expressions[0]}) }}`
}

/** A template's text as the inside of `{{ }}`; undefined when it is more than one expression. */
export function soleExpression(text: string): string | undefined {
  try {
    const pieces = cut(text).filter((piece) => piece.kind !== 'text' || piece.text.trim() !== '')
    if (pieces.length !== 1 || pieces[0]!.kind !== 'output') return undefined
    return text
      .trim()
      .slice(2, -2)
      .replace(/^-|[-+]$/g, '')
      .trim()
  } catch {
    return undefined
  }
}

const FALSE_WORDS = "['', 'false', '0', 'no', 'none', 'null', 'off', '{}', '[]']"

/** Each condition as an expression that is true or false, and what must be written before them. */
function expressionsOf(conditions: Json[]): { before: string; expressions: string[] } {
  let before = ''
  const all = JSON.stringify(conditions)
  const expressions = conditions.map((condition, i) => {
    if (typeof condition !== 'string') return JSON.stringify(condition)
    if (condition.trim() === '') return 'false'
    const expression = hasTemplate(condition) ? soleExpression(condition) : condition.trim()
    if (expression !== undefined) return isBoolean(expression) ? expression : truthOf(expression)
    let name = `_c${i}`
    while (all.includes(name)) name += '_'
    before += `{% set ${name} %}${condition}{% endset %}`
    return truthOf(name)
  })
  return { before, expressions }
}

/** A condition takes words such as "false" for no; `and` and `not` do not. */
function truthOf(expression: string): string {
  return `((${expression}) | string | trim | lower) not in ${FALSE_WORDS}`
}

function isBoolean(text: string): boolean {
  const yes = (expression: Expression): boolean => {
    switch (expression.kind) {
      case 'not':
      case 'comparison':
      case 'test':
        return true
      case 'and':
      case 'or':
        return yes(expression.left) && yes(expression.right)
      case 'literal':
        return typeof expression.value === 'boolean'
      default:
        return false
    }
  }
  try {
    return yes(Parser.whole(tokenise(text, 0, null).tokens))
  } catch {
    return false
  }
}

/** The condition with an expression in the place of `event.name`. */
export function atEvent(condition: Json | undefined, name: string): Json | undefined {
  return editCondition(condition, (tokens, i) => {
    const length = memberAt(tokens, i, 'event', 'name')
    return length === 0 ? undefined : { length, text: name }
  })
}

/** The condition with `loop.done` true at the end of the loop only, not already in its last round. */
export function atLoopEnd(condition: Json | undefined): Json | undefined {
  return editCondition(condition, (tokens, i) => {
    const length = memberAt(tokens, i, 'loop', 'done')
    return length === 0 ? undefined : { length, text: "(event.name == 'loop.done')" }
  })
}

/** A condition with other names in the place of some. */
export function renameInCondition(
  condition: Json | undefined,
  names: ReadonlyMap<string, string>,
): Json | undefined {
  return editCondition(condition, renaming(names))
}

/** A value whose templates have other names in the place of some. */
export function renameInTemplate(value: Json, names: ReadonlyMap<string, string>): Json {
  if (typeof value === 'string') return hasTemplate(value) ? edit(value, renaming(names)) : value
  if (Array.isArray(value)) return value.map((item) => renameInTemplate(item, names))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, renameInTemplate(item, names)]))
}

/** What to write instead of so many words from the i-th on. */
type Edit = (tokens: readonly Token[], i: number) => { length: number; text: string } | undefined

function editCondition(condition: Json | undefined, change: Edit): Json | undefined {
  return typeof condition === 'string' ? edit(condition, change) : condition
}

function edit(text: string, change: Edit): string {
  let rows: readonly (readonly Token[])[]
  try {
    rows = hasTemplate(text)
      ? cut(text).flatMap((piece) => (piece.kind === 'text' ? [] : [piece.tokens]))
      : [tokenise(text, 0, null).tokens]
  } catch {
    return text
  }
  let edited = ''
  let from = 0
  for (const tokens of rows) {
    for (let i = 0; i < tokens.length; i++) {
      const found = change(tokens, i)
      if (found === undefined) continue
      const last = tokens[i + found.length - 1]!
      edited += text.slice(from, tokens[i]!.at) + found.text
      from = last.at + last.text.length
      i += found.length - 1
    }
  }
  return edited + text.slice(from)
}

function renaming(names: ReadonlyMap<string, string>): Edit {
  return (tokens, i) => {
    const to = isRoot(tokens, i) ? names.get(tokens[i]!.text) : undefined
    return to === undefined ? undefined : { length: 1, text: to }
  }
}

/** True for a name that stands for a value of the scope: no member, filter or named argument. */
function isRoot(tokens: readonly Token[], i: number): boolean {
  const before = tokens[i - 1]
  const after = tokens[i + 1]
  return (
    tokens[i]!.kind === 'name' &&
    !(before?.kind === 'sign' && (before.text === '.' || before.text === '|')) &&
    !(after?.kind === 'sign' && after.text === '=')
  )
}

/** How many words from the i-th on are `root.name` or `root['name']`: none, or so many. */
function memberAt(tokens: readonly Token[], i: number, root: string, name: string): number {
  if (tokens[i]!.text !== root || !isRoot(tokens, i)) return 0
  const [sign, member, close] = tokens.slice(i + 1, i + 4)
  if (sign?.text === '.' && member?.kind === 'name' && member.text === name) return 3
  return sign?.text === '[' && member?.kind === 'string' && member.text === name && close?.text === ']'
    ? 4
    : 0
}

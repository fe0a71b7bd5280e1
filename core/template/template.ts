import { makeError } from '../errors.ts'
import { isObject, type Json } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'
import { Evaluation, readPath, type Scope } from './evaluate.ts'
import { type Expression, Parser } from './expression.ts'
import { Failure, fail, isExhaustion } from './failure.ts'
import { LIMITS } from './limits.ts'
import { pathsOf } from './references.ts'
import { parseTemplate, type Statement } from './statements.ts'
import { hasTemplate, tokenise } from './tokens.ts'
import { boundJson, StepResult, settle, stored, toText, truthy } from './values.ts'

export type { Scope } from './evaluate.ts'
export { StepResult, toText, truthy } from './values.ts'

/** Names that a compiled template or condition refers to. */
export interface References {
  /** Root names from outside: no loop variables, filters, tests, functions. */
  readonly roots: ReadonlySet<string>
  /** The same with the steps that follow, as far as they are known: `ctx.counter` is `['ctx', 'counter']`. */
  readonly paths: readonly (readonly (string | number)[])[]
}

/** A JSON value whose strings may be templates. */
export interface Template extends References {
  /** With native types: a string that is one expression gives its value, undefined gives null. */
  render(scope: Scope): Json
  /** Always text: for SQL and code. */
  renderText(scope: Scope): string
}

/** The `when` of an arc or a rule. */
export interface Condition extends References {
  test(scope: Scope): boolean
}

const NOTHING: References = { roots: new Set(), paths: [] }

/**
 * Compiles a value: strings anywhere in lists and objects are templates, keys are not. Throws
 * NOETL_ERR_TEMPLATE_PARSE; rendering throws NOETL_ERR_TEMPLATE_RENDER.
 */
export function compileTemplate(source: Json): Template {
  if (typeof source === 'string') return hasTemplate(source) ? compileText(source) : fixed(source)
  if (Array.isArray(source)) {
    const parts = source.map(compileTemplate)
    if (parts.every(isFixed)) return fixed(source)
    const render = (scope: Scope) => parts.map((part) => part.render(scope))
    return { ...merged(parts), render, renderText: (scope) => toText(render(scope)) }
  }
  if (isObject(source)) {
    const parts = Object.entries(source).map(([key, value]) => ({ key, template: compileTemplate(value) }))
    if (parts.every(({ template }) => isFixed(template))) return fixed(source)
    const render = (scope: Scope) => {
      const object: { [key: string]: Json } = {}
      for (const { key, template } of parts) put(object, key, template.render(scope))
      return object
    }
    return {
      ...merged(parts.map(({ template }) => template)),
      render,
      renderText: (scope) => toText(render(scope)),
    }
  }
  return fixed(source)
}

/** Compiles a condition: `{{ expression }}`, a text with templates, a value, or an expression without braces. */
export function compileCondition(source: Json): Condition {
  if (typeof source === 'string' && !hasTemplate(source) && source.trim() !== '') return compileBare(source)
  const template = compileTemplate(source)
  return { ...referencesOf(template), test: (scope) => truthy(template.render(scope)) }
}

const fixedTemplates = new WeakSet<Template>()

function fixed(value: Json): Template {
  const template: Template = { ...NOTHING, render: () => value, renderText: () => toText(value) }
  fixedTemplates.add(template)
  return template
}

function isFixed(template: Template): boolean {
  return fixedTemplates.has(template)
}

/** Compiled templates by source, the longest unused first. */
const kept = new Map<string, Template>()
let keptCharacters = 0

function compileText(source: string): Template {
  const known = kept.get(source)
  if (known !== undefined) {
    kept.delete(source)
    kept.set(source, known)
    return known
  }
  const template = makeTextTemplate(source)
  kept.set(source, template)
  keptCharacters += source.length
  for (const oldest of kept.keys()) {
    if (kept.size <= LIMITS.kept && keptCharacters <= LIMITS.keptCharacters) break
    kept.delete(oldest)
    keptCharacters -= oldest.length
  }
  return template
}

function makeTextTemplate(source: string): Template {
  const { body, references } = parsing(source, () => {
    const statements = parseTemplate(source)
    return { body: statements, references: makeReferences(statements) }
  })
  const value = soleValue(body)
  const print = (scope: Scope) => rendering(source, () => new Evaluation(scope).print(body))
  if (value === undefined) return { ...references, render: print, renderText: print }
  const evaluate = evaluator(source, value)
  return {
    ...references,
    render: (scope) => stored(evaluate(scope)),
    renderText: (scope) => {
      const text = toText(evaluate(scope))
      // A line break that follows the expression belongs to the text, not to the value.
      return body.length === 1 ? text : print(scope)
    },
  }
}

/** The expression of a text that is nothing else; a block scalar's closing line break does not count. */
export function soleValue(body: readonly Statement[]): Expression | undefined {
  const [first, second] = body
  if (first?.kind !== 'output' || body.length > 2) return undefined
  return second === undefined ||
    (second.kind === 'text' && /^\s*$/.test(second.text) && second.text.includes('\n'))
    ? first.value
    : undefined
}

function evaluator(source: string, value: Expression): (scope: Scope) => unknown {
  if (value.kind === 'path') return (scope) => settlePath(readPath(value, scope), value.segments.length)
  return (scope) =>
    rendering(source, () => {
      const made = new Evaluation(scope).value(value)
      if (typeof made === 'object' && made !== null && MAKES.has(value.kind)) boundJson(made)
      return made
    })
}

/** Expressions whose value is made anew of others, which may be larger than all of them. */
const MAKES: ReadonlySet<Expression['kind']> = new Set(['list', 'dict', 'binary', 'filter', 'method'])

/** Only a root may be a map whose members are fetched; below it a value is JSON, or a step's in its wrapper. */
function settlePath(value: unknown, depth: number): unknown {
  if (depth === 0) return settle(value)
  return value instanceof StepResult ? value.value : value
}

function compileBare(source: string): Condition {
  const { value, references } = parsing(source, () => {
    const { tokens } = tokenise(source, 0, null)
    const expression = Parser.whole(tokens)
    return { value: expression, references: makeReferences([{ kind: 'output', value: expression }]) }
  })
  const evaluate = evaluator(source, value)
  return { ...references, test: (scope) => truthy(evaluate(scope)) }
}

function makeReferences(body: readonly Statement[]): References {
  const found = pathsOf(body)
  const paths = new Map(
    found.map(({ root, segments }) => [JSON.stringify([root, ...segments]), [root, ...segments]]),
  )
  return { roots: new Set(found.map(({ root }) => root)), paths: [...paths.values()] }
}

function merged(parts: readonly References[]): References {
  return {
    roots: new Set(parts.flatMap(({ roots }) => [...roots])),
    paths: [
      ...new Map(parts.flatMap(({ paths }) => paths.map((path) => [JSON.stringify(path), path]))).values(),
    ],
  }
}

function referencesOf({ roots, paths }: References): References {
  return { roots, paths }
}

function parsing<T>(source: string, parse: () => T): T {
  try {
    if (source.length > LIMITS.source) fail(`it is longer than ${LIMITS.source} characters`)
    return parse()
  } catch (error) {
    throw told('NOETL_ERR_TEMPLATE_PARSE', source, error)
  }
}

function rendering<T>(source: string, render: () => T): T {
  try {
    return render()
  } catch (error) {
    throw told('NOETL_ERR_TEMPLATE_RENDER', source, error)
  }
}

/** The template's own fault as an error of the table; anything else as it is, for it is the scope's. */
function told(
  code: 'NOETL_ERR_TEMPLATE_PARSE' | 'NOETL_ERR_TEMPLATE_RENDER',
  source: string,
  error: unknown,
): unknown {
  const message =
    error instanceof Failure
      ? error.message
      : isExhaustion(error)
        ? 'it is nested too deeply or too long'
        : undefined
  return message === undefined ? error : makeError(code, [`${shorten(source)}: ${message}`])
}

function shorten(source: string): string {
  const line = source.replace(/\s+/g, ' ').trim()
  return line.length > 120 ? `${line.slice(0, 117)}...` : line
}

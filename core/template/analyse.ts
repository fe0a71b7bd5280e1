import { FUNCTIONS } from './calls.ts'
import { Evaluation } from './evaluate.ts'
import { type Expression, Parser } from './expression.ts'
import { Failure, fail, isExhaustion } from './failure.ts'
import { FILTERS } from './filters.ts'
import { libraryHas } from './library.ts'
import { LIMITS } from './limits.ts'
import { findIn, type Mention, type Word } from './references.ts'
import { SEQUENCE_FILTERS } from './sequences.ts'
import { parseTemplate, type Statement } from './statements.ts'
import { soleValue } from './template.ts'
import { TESTS } from './tests.ts'
import { hasTemplate, tokenise } from './tokens.ts'
import { truthy } from './values.ts'

export type { Mention } from './references.ts'

/** What there is to say about a template without any values at hand. */
export interface Analysis {
  /** It does not parse: why, and the offset where. Nothing else is known then. */
  problem?: { message: string; at: number }
  mentions: readonly Mention[]
  /** Filters, tests and functions that do not exist, with those that do. */
  unknown: readonly (Word & { there: readonly string[] })[]
  /** What a condition comes to, if that is always the same. */
  constant?: boolean
}

const NOTHING: Analysis = { mentions: [], unknown: [] }

/** A constant longer than this is not worked out. */
const MAX_CONSTANT = 1000

/** Reads a template, or a `when`, which may do without braces. Never throws for what stands in it. */
export function analyse(source: string, as: 'template' | 'condition'): Analysis {
  const bare = as === 'condition' && !hasTemplate(source)
  if (!bare && !hasTemplate(source)) return NOTHING
  if (bare && source.trim() === '') return { ...NOTHING, constant: false }
  try {
    if (source.length > LIMITS.source) fail(`it is longer than ${LIMITS.source} characters`, 0)
    const body: Statement[] = bare
      ? [{ kind: 'output', value: Parser.whole(tokenise(source, 0, null).tokens) }]
      : parseTemplate(source)
    const { mentions, words } = findIn(body)
    const unknown = words.flatMap((word) => {
      const there = alternatives(word)
      return there === undefined ? [] : [{ ...word, there }]
    })
    const constant = as === 'condition' && source.length <= MAX_CONSTANT ? constantOf(body) : undefined
    return { mentions, unknown, ...(constant === undefined ? {} : { constant }) }
  } catch (error) {
    return { ...NOTHING, problem: problemOf(error) }
  }
}

function problemOf(error: unknown): { message: string; at: number } {
  if (isExhaustion(error)) return { message: 'it is nested too deeply or too long', at: 0 }
  if (!(error instanceof Failure)) throw error
  return { message: error.message.replace(/ \(line \d+\)$/, ''), at: error.at ?? 0 }
}

/** True for an expression of literals alone, whose value is worked out in no time. */
function isFixed(expression: Expression): boolean {
  switch (expression.kind) {
    case 'literal':
      return true
    case 'not':
      return isFixed(expression.value)
    case 'and':
    case 'or':
      return isFixed(expression.left) && isFixed(expression.right)
    case 'comparison':
      return isFixed(expression.first) && expression.rest.every(({ value }) => isFixed(value))
    default:
      return false
  }
}

function constantOf(body: readonly Statement[]): boolean | undefined {
  const value = soleValue(body)
  if (value === undefined || !isFixed(value)) return undefined
  try {
    return truthy(new Evaluation({ lookup: () => undefined }).value(value))
  } catch (error) {
    if (error instanceof Failure) return undefined
    throw error
  }
}

/** The names there are instead of one that does not exist; undefined when it does. */
function alternatives({ kind, name }: Word): readonly string[] | undefined {
  if (kind === 'function') return FUNCTIONS.includes(name) ? undefined : FUNCTIONS
  const own: readonly ReadonlyMap<string, unknown>[] =
    kind === 'filter' ? [FILTERS, SEQUENCE_FILTERS] : [TESTS]
  if (own.some((names) => names.has(name)) || name === 'default' || name === 'd') return undefined
  return libraryHas(kind, name) ? undefined : [...own.flatMap((names) => [...names.keys()]), 'default']
}

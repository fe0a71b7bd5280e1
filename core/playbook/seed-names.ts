import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { hasTemplate } from '../template/tokens.ts'
import { ITERATOR_KEYS } from './seed-kinds.ts'

const PATH = /^[A-Za-z_]\w*(\.\w+|\[\d+\]|\[(['"])[^'"]*\2\])*$/

/**
 * What `from` says: a template, a value, or a path without braces. A single word is a path when it names something
 * that there is; else it is itself.
 */
export function readFrom(from: Json, known: ReadonlySet<string>): Json {
  if (typeof from !== 'string' || hasTemplate(from)) return from
  const path = from.trim()
  if (!PATH.test(path)) return from
  return /[.[]/.test(path) || known.has(path) ? `{{ ${path} }}` : from
}

/** The one bag of values has several names. */
export function bareName(name: string): string {
  return name.replace(/^(ctx|vars|workload)\./, '')
}

/** Names that a path without braces may begin with, besides steps, workload keys, ctx names and iterators. */
const VISIBLE = [
  'result',
  'response',
  'error',
  'event',
  'output',
  'data',
  'this',
  'vars',
  'workload',
  'ctx',
  'steps',
  'args',
  'item',
  'loop',
  'loop_index',
  'execution_id',
  'job',
]

/** Names that paths without braces may begin with in this playbook. */
export function knownNames(root: JsonObject): Set<string> {
  const names = new Set([...VISIBLE, ...Object.keys(isObject(root.workload) ? root.workload : {})])
  const walk = (value: Json | undefined): void => {
    if (Array.isArray(value)) {
      for (const item of value) walk(item)
      return
    }
    if (!isObject(value)) return
    for (const key of ['step', 'into', ...ITERATOR_KEYS]) {
      if (typeof value[key] === 'string') names.add(bareName(value[key]))
    }
    for (const key of ['set', 'vars']) {
      if (isObject(value[key])) for (const name of Object.keys(value[key])) names.add(bareName(name))
    }
    for (const item of Object.values(value)) walk(item)
  }
  walk(root.workflow)
  return names
}

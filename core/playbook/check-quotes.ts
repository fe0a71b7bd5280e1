import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Faults, Path } from './faults.ts'

/**
 * `x: {{ y }}` without quotes is no template: YAML reads a mapping whose key is a mapping. Nobody means that.
 */
export function checkQuotes(root: JsonObject, faults: Faults): void {
  const walk = (value: Json, path: Path): void => {
    if (Array.isArray(value)) for (const [i, item] of value.entries()) walk(item, [...path, i])
    if (!isObject(value)) return
    const [entry, second] = Object.entries(value)
    if (entry !== undefined && second === undefined && entry[1] === null && /^\{.*\}$/s.test(entry[0])) {
      faults.fault(
        path,
        'a template must stand in quotes; without them YAML reads a mapping',
        `"{${entry[0]}}"`,
      )
    } else for (const [key, item] of Object.entries(value)) walk(item, [...path, key])
  }
  walk(root, [])
}

/** The same where YAML cannot read the line at all. */
export function quotesHint(line: string | undefined): string {
  return /(?::|-)\s+\{[{%]/.test(line ?? '') ? ' (a template must stand in quotes)' : ''
}

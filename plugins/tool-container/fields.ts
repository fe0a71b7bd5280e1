import { isNumber, isObject, type Json, type JsonObject, ToolError } from '@noetl/core'

/** A field in either spelling: that of playbooks, or that of Kubernetes. Null counts as not given. */
export function field(given: JsonObject, ...names: string[]): Json | undefined {
  for (const name of names) {
    const value = given[name] ?? given[camel(name)]
    if (value !== undefined && value !== null) return value
  }
  return undefined
}

export function textField(given: JsonObject, ...names: string[]): string | undefined {
  const value = field(given, ...names)
  if (value === undefined || value === '') return undefined
  if (typeof value === 'string' || isNumber(value)) return String(value)
  throw misfit(names[0]!, 'a text', value)
}

/** A whole number from zero. */
export function numberField(given: JsonObject, ...names: string[]): number | undefined {
  const value = field(given, ...names)
  if (value === undefined || value === '') return undefined
  const number = typeof value === 'string' ? Number(value) : value
  if (typeof number === 'number' && Number.isFinite(number) && number >= 0) return number
  throw misfit(names[0]!, 'a number from 0', value)
}

/** A mapping of texts; what is no text becomes one, what is null is left out. */
export function textMap(given: JsonObject, ...names: string[]): Record<string, string> {
  const value = field(given, ...names)
  if (value === undefined) return {}
  if (!isObject(value)) throw misfit(names[0]!, 'a mapping', value)
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => (item === null ? [] : [[name, asText(item)]])),
  )
}

/** A list of texts, or one text as a list of one. */
export function textList(given: JsonObject, ...names: string[]): string[] {
  const value = field(given, ...names)
  if (value === undefined) return []
  return (Array.isArray(value) ? value : [value]).map(asText)
}

export function asText(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

export function misfit(name: string, expected: string, seen: Json): ToolError {
  const type = seen === null ? 'null' : Array.isArray(seen) ? 'a list' : `a value of type ${typeof seen}`
  return new ToolError('schema', `"${name}" must be ${expected}; seen: ${type}.`)
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

import { type JsonObject, ToolError } from '@noetl/core'
import type { SecretsInput } from './input.ts'

/** One secret that is asked for. */
export interface Reference {
  /** Name in the result; null for the only one. */
  as: string | null
  /** What the provider is asked for; may be empty where one place holds one secret. */
  name: string
  /** Field of a secret that is JSON. */
  key: string | null
}

/** The secrets that a step asks for. Throws ToolError `schema` when that is not clear. */
export function referencesOf(fields: SecretsInput): Reference[] {
  const own = askedBy(fields)
  // Arguments stand for the fields of the same names where the tool itself says nothing.
  const asked = own.length > 0 ? own : askedBy(plainNames(fields.input ?? {}))
  if (asked.length > 1) {
    throw new ToolError(
      'schema',
      `The secrets tool takes one of "secret" (or "name"), "names" and "map"; seen: ${asked.map(([what]) => what).join(', ')}.`,
    )
  }
  const key = fields.field ?? fields.path ?? null
  const references = (asked[0]?.[1] ?? [{ as: null, reference: '' }]).map(({ as, reference }) =>
    read(as, reference, key),
  )
  if (references.some(({ as }) => as === 'values')) {
    throw new ToolError(
      'schema',
      '"values" cannot be the name of a secret in the result: all are under that name. Choose another in "map".',
    )
  }
  return references
}

type Asked = [what: string, list: { as: string | null; reference: string }[]]

function askedBy(fields: Pick<SecretsInput, 'secret' | 'name' | 'names' | 'map'>): Asked[] {
  const asked: Asked[] = []
  for (const what of ['secret', 'name'] as const) {
    const reference = fields[what]
    if (typeof reference === 'string' && reference !== '') asked.push([what, [{ as: null, reference }]])
  }
  if (fields.names) asked.push(['names', fields.names.map((reference) => ({ as: reference, reference }))])
  if (fields.map) {
    asked.push(['map', Object.entries(fields.map).map(([as, reference]) => ({ as, reference }))])
  }
  return asked
}

function plainNames(args: Record<string, unknown>): { secret?: string; name?: string } {
  const { secret, name } = args
  if (typeof secret === 'string') return { secret }
  return typeof name === 'string' ? { name } : {}
}

/** `name#field`; the field of the step is for references without one. */
function read(as: string | null, reference: string, key: string | null): Reference {
  const at = reference.lastIndexOf('#')
  if (at === -1) return { as, name: reference, key }
  return { as, name: reference.slice(0, at), key: reference.slice(at + 1) || key }
}

/** The result: `{value}` of the only one, or all under `values` and each by its name. */
export function resultOf(
  references: readonly Reference[],
  values: readonly JsonObject[string][],
): JsonObject {
  if (references[0]?.as === null) return { value: values[0] ?? null }
  const all: JsonObject = Object.fromEntries(references.map(({ as }, i) => [as ?? '', values[i] ?? null]))
  return { ...all, values: all }
}

/** A secret as messages name it. */
export function nameOf(name: string): string {
  if (name === '') return 'The secret'
  return `The secret "${name.length > 200 ? `${name.slice(0, 200)}…` : name}"`
}

/** The parts of a name between slashes, each ready for a URL. Throws ToolError `schema` for one that leads elsewhere. */
export function urlParts(name: string, what: string): string {
  const parts = name.split('/')
  if (parts.some((part) => part === '' || part === '.' || part === '..' || !part.isWellFormed())) {
    throw new ToolError(
      'schema',
      `${what} cannot be part of a URL: what stands between slashes must not be empty, "." or "..".`,
    )
  }
  return parts.map(encodeURIComponent).join('/')
}

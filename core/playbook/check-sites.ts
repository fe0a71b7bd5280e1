import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { hasTemplate } from '../template/tokens.ts'
import type { Path } from './faults.ts'

/** A value of the document with its place. */
export interface Placed<T = Json> {
  value: T
  path: Path
}

/** A text that is evaluated when the playbook runs, and in whose place. */
export interface Site extends Placed<string> {
  as: 'template' | 'condition'
  where: Where
}

/** `step`: its name. */
export type Where = { in: 'workload' | 'keychain' | 'workbook' } | { in: 'step'; step: string }

/** Every text that is evaluated, found in the document itself: it knows the places. */
export function sitesOf(root: JsonObject): Site[] {
  const sites: Site[] = []
  const add = (where: Where, { value, path }: Placed, part: Part) =>
    walk(value, path, (found, at, relative) => {
      if (typeof found !== 'string') return
      const key = String(relative.at(-1))
      const ours = isOfLanguage(relative.slice(0, -1), part)
      const as = ours && CONDITIONS.has(key) ? 'condition' : 'template'
      if (as === 'template' && (!hasTemplate(found) || (ours && PROSE.has(key)))) return
      sites.push({ value: found, path: at, as, where })
    })
  add({ in: 'workload' }, { value: root.workload ?? null, path: ['workload'] }, 'data')
  for (const entry of itemsOf(root.keychain, ['keychain'])) add({ in: 'keychain' }, entry, 'data')
  for (const entry of workbookTools(root)) add({ in: 'workbook' }, entry, 'tool')
  for (const step of stepsOf(root)) {
    for (const { part, ...placed } of partsOf(step)) add({ in: 'step', step: step.name }, placed, part)
  }
  return sites
}

/** Every `set` of a step, its arcs and reactions, its tools and their rules. */
export function setsOf(root: JsonObject): Placed<JsonObject>[] {
  return valuesAt(root, (key) => key === 'set').flatMap(({ value, path }) =>
    isObject(value) ? [{ value, path }] : [],
  )
}

/** Conditions that are lists or mappings. */
export function oddConditions(root: JsonObject): Placed[] {
  return valuesAt(root, (key) => CONDITIONS.has(key)).filter(
    ({ value }) => typeof value === 'object' && value !== null,
  )
}

/** Values of steps and tools under keys of the language. */
function valuesAt(root: JsonObject, isWanted: (key: string) => boolean): Placed[] {
  const values: Placed[] = []
  const collect = (placed: Placed, part: Part) =>
    walk(placed.value, placed.path, (value, path, relative) => {
      if (!isWanted(String(relative.at(-1))) || !isOfLanguage(relative.slice(0, -1), part)) return
      values.push({ value, path })
    })
  for (const entry of workbookTools(root)) collect(entry, 'tool')
  for (const step of stepsOf(root)) for (const { part, ...placed } of partsOf(step)) collect(placed, part)
  return values
}

/** Items of `workflow` that are steps with a name. */
export function stepsOf(root: JsonObject): (Placed<JsonObject> & { name: string })[] {
  return itemsOf(root.workflow, ['workflow']).flatMap(({ value, path }) => {
    const name = isObject(value) ? (value.step ?? value.name) : undefined
    if (!isObject(value) || (typeof name !== 'string' && typeof name !== 'number')) return []
    return [{ value, path, name: String(name) }]
  })
}

/** The tools of a step, each as `{kind, …}` wherever it is written. */
export function toolsOf({ value, path }: Placed<JsonObject>): Placed<JsonObject>[] {
  const single = isObject(value.tool) ? [{ value: value.tool, path: [...path, 'tool'] }] : []
  const listed = [...itemsOf(value.tool, [...path, 'tool']), ...itemsOf(value.aside, [...path, 'aside'])]
  return [...single, ...listed.flatMap(unlabelled)]
}

/** Tools under `workbook`; an old spelling has their fields beside the name. */
export function workbookTools(root: JsonObject): Placed<JsonObject>[] {
  return itemsOf(root.workbook, ['workbook']).flatMap(({ value, path }) => {
    if (!isObject(value)) return []
    return isObject(value.tool) ? [{ value: value.tool, path: [...path, 'tool'] }] : [{ value, path }]
  })
}

/** Items of a list with their paths; none when it is no list. */
export function itemsOf(value: Json | undefined, path: Path): Placed[] {
  return Array.isArray(value) ? value.map((item, i) => ({ value: item, path: [...path, i] })) : []
}

/** `{fetch: {kind: http}}` is a tool under its label. */
function unlabelled({ value, path }: Placed): Placed<JsonObject>[] {
  if (!isObject(value)) return []
  const [entry, second] = Object.entries(value)
  if ('kind' in value || entry === undefined || second !== undefined || !isObject(entry[1]))
    return [{ value, path }]
  return 'kind' in entry[1] ? [{ value: entry[1], path: [...path, entry[0]] }] : [{ value, path }]
}

/** What a value is a part of: in `data` no key has a meaning of ours. */
type Part = 'step' | 'tool' | 'data'

function partsOf(step: Placed<JsonObject>): (Placed & { part: Part })[] {
  const { tool: _tool, aside: _aside, ...rest } = step.value
  const tools = toolsOf(step).map((tool) => ({ ...tool, part: 'tool' as const }))
  return [{ value: rest, path: step.path, part: 'step' }, ...tools]
}

const CONDITIONS = new Set(['when', 'cond', 'retry_when'])
const PROSE = new Set(['desc', 'description'])
/** Mappings whose keys are the author's own. */
const OWN = new Set(['args', 'input', 'set', 'vars', 'data', 'from', 'in', 'result', 'cursor'])

/** True for a mapping whose keys have the meaning that the language gives them. */
function isOfLanguage(above: Path, part: Part): boolean {
  if (part === 'data' || above.some((key) => OWN.has(String(key)))) return false
  if (part === 'step' || above.length === 0) return true
  // The other fields are the tool's own.
  const [field, next] = above
  return (
    field === 'retry' || field === 'sink' || (field === 'spec' && (next === undefined || next === 'policy'))
  )
}

function walk(
  value: Json,
  path: Path,
  visit: (value: Json, path: Path, relative: Path) => void,
  relative: Path = [],
): void {
  visit(value, path, relative)
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    const step = Array.isArray(value) ? Number(key) : key
    walk(inner, [...path, step], visit, [...relative, step])
  }
}

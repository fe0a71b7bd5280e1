import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { besideOf } from './check-beside.ts'
import { inWords, misfitOf } from './check-schema.ts'
import { type Placed, stepsOf, toolsOf, workbookTools } from './check-sites.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { TASK_KEYS } from './tasks.ts'
import { wordOf } from './values.ts'

/**
 * Holds the fields of each tool against the schema that the tool itself has for them: a field it does not know, a
 * literal of a wrong type, a field that is missing. What comes from a template is known only when it runs.
 */
export function checkTools(root: JsonObject, tools: readonly ToolDescription[], faults: Faults): void {
  const byKind = new Map(tools.map((tool) => [tool.kind, tool]))
  for (const step of stepsOf(root)) {
    for (const tool of toolsOf(step).flatMap(withProbe)) {
      const description = byKind.get(wordOf(tool.value.kind))
      if (description === undefined || description.kind === 'workbook') continue
      checkTool(tool, { description, whose: `step "${step.name}"`, faults, complete: true })
    }
    for (const { what, complete, ...beside } of besideOf(step)) {
      const description = byKind.get(wordOf(beside.value.kind))
      const whose = `${what} step "${step.name}"`
      if (description !== undefined) checkTool(beside, { description, whose, faults, complete })
    }
  }
  for (const tool of workbookTools(root)) {
    const description = byKind.get(wordOf(tool.value.kind ?? tool.value.type))
    // What an entry of the workbook leaves out, the step that uses it may say.
    if (description !== undefined)
      checkTool(tool, { description, whose: 'workbook', faults, complete: false })
  }
}

/** What an entry of the workbook has beside a tool's fields. */
const OF_WORKBOOK = ['assert', 'type']
/** A tool, and the one that tells whether an earlier run of it was done. */
function withProbe({ value, path }: Placed<JsonObject>): Placed<JsonObject>[] {
  const probe = isObject(value.probe) ? [{ value: value.probe, path: [...path, 'probe'] }] : []
  return [{ value, path }, ...probe]
}

const OF_SPEC = ['policy', 'when', 'aside', 'rows']

function checkTool(
  { value, path }: Placed<JsonObject>,
  about: { description: ToolDescription; whose: string; faults: Faults; complete: boolean },
): void {
  const { description, whose, faults, complete } = about
  const { kind, input } = description
  const properties = isObject(input.properties) ? input.properties : {}
  const names = Object.keys(properties)
  const fields = fieldsOf({ value, path }, properties, complete ? [] : OF_WORKBOOK)
  for (const [name, field] of fields) {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (schema !== undefined) {
      checkField(field, name, schema, about)
      continue
    }
    if (names.length === 0 || isObject(input.additionalProperties)) continue
    const message = `${whose}: the tool ${kind} has no field "${name}"`
    const meant = () => nearest(name, names)[0]
    if (input.additionalProperties === false) faults.fault(field.path, message, meant)
    else faults.warn(field.path, `${message}; it is ignored`, meant)
  }
  if (!complete) return
  for (const name of Array.isArray(input.required) ? input.required : []) {
    if (typeof name !== 'string' || fields.has(name) || name === 'input') continue
    faults.fault(path, `${whose}: the tool ${kind} needs "${name}": ${aboutField(properties[name])}`)
  }
}

/** The fields as the tool will get them: those under `spec` below its own, `credential` as `auth`. */
function fieldsOf(
  { value, path }: Placed<JsonObject>,
  properties: JsonObject,
  others: readonly string[],
): Map<string, Placed> {
  const fields = new Map<string, Placed>()
  const add = (from: JsonObject, at: Path, but: readonly string[]) => {
    for (const [name, field] of Object.entries(from)) {
      // `args` that is no mapping is a field of the tool's own: the words of a command line.
      const own = !TASK_KEYS.includes(name) || (name === 'args' && !isObject(field) && field !== null)
      if (own && !but.includes(name)) fields.set(name, { value: field, path: [...at, name] })
    }
  }
  if (isObject(value.spec)) add(value.spec, [...path, 'spec'], OF_SPEC)
  add(value, path, others)
  const credential = fields.get('credential')
  if (credential !== undefined && !fields.has('auth') && Object.hasOwn(properties, 'auth')) {
    fields.delete('credential')
    fields.set('auth', credential)
  }
  return fields
}

function checkField(
  { value, path }: Placed,
  name: string,
  schema: Json,
  { description: { kind }, whose, faults, complete }: Parameters<typeof checkTool>[1],
): void {
  // An entry of the workbook names arguments that it has none for yet.
  if (value === null && !complete) return
  const wrong = misfitOf(value, schema)
  if (wrong === undefined) return
  const field = [name, ...wrong.path].join('.')
  const message = `${whose}: field "${field}" of the tool ${kind} is ${wrong.seen}; ${wrong.expected} was expected`
  const seen = wrong.path.reduce<Json | undefined>(memberOf, value)
  const meant = () => (typeof seen === 'string' ? nearest(seen, wrong.words)[0] : undefined)
  faults.fault([...path, ...wrong.path], message, meant)
}

function memberOf(value: Json | undefined, key: string | number): Json | undefined {
  if (Array.isArray(value)) return value[Number(key)]
  return isObject(value) ? value[key] : undefined
}

function aboutField(schema: Json | undefined): string {
  const description =
    isObject(schema) && typeof schema.description === 'string' ? ` (${schema.description})` : ''
  return `${inWords(schema)}${description}`
}

import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { mapping, text } from './values.ts'

/** Tools that steps use by name: `workbook: [{name, tool: {kind, …}}]`, the tool's fields by that name. */
export type Workbook = ReadonlyMap<string, JsonObject>

export function readWorkbook(value: Json | undefined, faults: Faults): Workbook {
  const tools = new Map<string, JsonObject>()
  if (value === undefined || value === null) return tools
  if (!Array.isArray(value)) {
    faults.fault(['workbook'], 'workbook must be a list of {name, tool: {kind, …}}')
    return tools
  }
  for (const [i, entry] of value.entries()) {
    const path = ['workbook', i]
    if (!isObject(entry)) {
      faults.fault(path, 'an entry of workbook must be a mapping {name, tool: {kind, …}}')
      continue
    }
    const name = text(entry.name, [...path, 'name'], faults)
    const { name: _name, desc: _desc, assert: _assert, tool, ...rest } = entry
    // An old spelling has the tool's fields beside the name, with its kind as `type`.
    const fields = isObject(tool) ? tool : { ...rest, kind: entry.kind ?? entry.type ?? null }
    if (name === undefined) faults.fault(path, 'an entry of workbook needs a name')
    else if (typeof fields.kind !== 'string') {
      faults.fault(path, `workbook entry "${name}" needs a tool with a kind: tool: {kind: python, …}`)
    } else if (fields.kind === 'workbook') {
      faults.fault(path, `workbook entry "${name}" is of kind workbook itself; name the tool's own kind`)
    } else if (tools.has(name))
      faults.fault([...path, 'name'], `there are two workbook entries named "${name}"`)
    else tools.set(name, fields)
  }
  return tools
}

/**
 * The tool that `{kind: workbook, name, …}` stands for: the entry's fields, the referring tool's laid over
 * them. Arguments that the entry only names (null) stand until a step gives them.
 */
export function fromWorkbook(
  value: JsonObject,
  path: Path,
  about: { step: string; workbook: Workbook; faults: Faults; given: JsonObject },
): JsonObject | undefined {
  const { step, workbook, faults } = about
  const wanted = text(value.task ?? value.name, [...path, 'name'], faults)
  // In a list `name` is the label; beside it, or instead of it, `task` may name the entry.
  const entry = workbook.get(wanted ?? '') ?? workbook.get(typeof value.name === 'string' ? value.name : '')
  if (entry === undefined) {
    const names = [...workbook.keys()]
    faults.fault(
      [...path, 'name'],
      `step "${step}" uses workbook entry "${wanted ?? ''}", which does not exist; there are: ${names.join(', ') || 'none'}`,
      wanted === undefined ? undefined : nearest(wanted, names)[0],
    )
    return undefined
  }
  const { kind: _kind, name: _name, task: _task, input, args, ...over } = value
  const named = { ...mapping(entry.args, path, faults), ...mapping(entry.input, path, faults) }
  // What the step gives lies under the tool's arguments, but a placeholder does not hide it.
  const own = Object.fromEntries(
    Object.entries(named).filter(([name, held]) => held !== null || !Object.hasOwn(about.given, name)),
  )
  const given = {
    ...mapping(args, [...path, 'args'], faults),
    ...mapping(input, [...path, 'input'], faults),
  }
  const { args: _args, ...fields } = entry
  return { ...fields, ...over, input: { ...own, ...given } }
}

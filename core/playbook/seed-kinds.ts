import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Faults, Path } from './faults.ts'
import { mapping } from './values.ts'

const LIST_KEYS = ['in', 'collection', 'items', 'over', 'list', 'loop_list']
/** How the name of the element is spelled. */
export const ITERATOR_KEYS = ['iterator', 'element', 'as', 'var']
const IN_FLIGHT_KEYS = ['max_in_flight', 'concurrency', 'max_concurrency', 'max_workers']
const BODY_KEYS = ['task', 'tool', 'do', 'body']

/**
 * The kinds that were loops of their own: `iterator`, whose `task` is the tool of each round, and `playbooks`, which
 * calls one for each element, or each playbook of a list. Both give a step with `loop` and a plain tool.
 */
export function unfoldKinds(step: JsonObject, path: Path, faults: Faults): JsonObject {
  const tool = step.tool
  if (!isObject(tool)) return step
  if (tool.kind === 'iterator') return unfoldIterator(step, tool, path, faults)
  return tool.kind === 'playbooks' ? unfoldPlaybooks(step, tool, path, faults) : step
}

function unfoldIterator(step: JsonObject, tool: JsonObject, path: Path, faults: Faults): JsonObject {
  const { kind: _kind, ...fields } = tool
  const { loop, rest } = takeLoop(step, fields, 'item', path, faults)
  const key = BODY_KEYS.find((name) => rest[name] !== undefined)
  const body = key === undefined ? undefined : bodyOf(rest[key]!)
  if (body === undefined) {
    faults.fault([...path, 'tool'], 'a tool of kind iterator needs "task: {kind, …}", the tool of each round')
    return { ...step, tool: null, loop }
  }
  const { [key!]: _body, args, input, sink, desc: _desc, name: _name, ...own } = rest
  const given = {
    ...mapping(args, [...path, 'tool', 'args'], faults),
    ...mapping(input, [...path, 'tool', 'input'], faults),
  }
  return {
    ...step,
    ...(Object.keys(given).length > 0
      ? { args: { ...mapping(step.args, [...path, 'args'], faults), ...given } }
      : {}),
    tool: isObject(body) ? { ...own, ...body, ...(sink === undefined ? {} : { sink }) } : body,
    loop,
  }
}

/** `{kind, …}`, a list of them, or one of them under `tool`. */
function bodyOf(value: Json): Json | undefined {
  if (Array.isArray(value)) return value
  if (!isObject(value)) return undefined
  if (isObject(value.tool)) {
    const { tool, ...around } = value
    return { ...around, ...tool }
  }
  if (typeof value.kind === 'string') return value
  const { tool, type, ...fields } = value
  const kind = tool ?? type
  return typeof kind === 'string' ? { ...fields, kind } : undefined
}

function unfoldPlaybooks(step: JsonObject, tool: JsonObject, path: Path, faults: Faults): JsonObject {
  const { kind: _kind, playbooks, paths, playbook, ...fields } = tool
  const several = playbooks ?? paths
  if (several === undefined) {
    const { loop, rest } = takeLoop(step, fields, 'item', path, faults)
    return { ...step, tool: { ...rest, kind: 'playbook', path: rest.path ?? playbook ?? null }, loop }
  }
  const list = Array.isArray(several) ? several.map(playbookOf) : several
  const { loop, rest } = takeLoop(step, { ...fields, in: list }, 'playbook', path, faults)
  const name = typeof loop.iterator === 'string' ? loop.iterator : 'playbook'
  // A list that is only known when it runs may hold paths, or mappings with a path.
  const path_ = `{{ ${name}.path if ${name} is mapping else ${name} }}`
  const payload = `{{ ${name}.args if ${name} is mapping else none }}`
  return { ...step, tool: { ...rest, kind: 'playbook', path: path_, payload }, loop }
}

function playbookOf(value: Json): Json {
  if (!isObject(value)) return { path: value, args: null }
  return {
    path: value.path ?? value.playbook ?? value.name ?? null,
    args: value.args ?? value.input ?? value.payload ?? null,
  }
}

/** The fields of a tool that say over what it loops, beside those of the step's own `loop`, which win. */
function takeLoop(
  step: JsonObject,
  fields: JsonObject,
  iterator: string,
  path: Path,
  faults: Faults,
): { loop: JsonObject; rest: JsonObject } {
  const rest = { ...fields }
  const take = (keys: string[]): JsonObject => {
    const key = keys.find((name) => rest[name] !== undefined)
    if (key === undefined) return {}
    const value = rest[key]!
    delete rest[key]
    return { [keys[0]!]: value }
  }
  const loop = {
    iterator,
    ...take(LIST_KEYS),
    ...take(ITERATOR_KEYS),
    ...take(['mode']),
    ...take(IN_FLIGHT_KEYS),
    ...mapping(step.loop, [...path, 'loop'], faults),
  }
  return { loop, rest }
}

import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { itemsOf, type Placed, toolsOf } from './check-sites.ts'
import type { Path } from './faults.ts'
import { kindOfSink, SINK_KEYS } from './seed-sink.ts'

/** A call that a step makes beside its tools, written as a tool: what it has of that tool's own fields. */
export interface Beside extends Placed<JsonObject> {
  /** What it is, in words. */
  what: string
  /** All that the tool needs is written there. */
  complete: boolean
}

/** The claim of a loop over a cursor, and the sinks of a step, of its tools and of its case. */
export function besideOf(step: Placed<JsonObject>): Beside[] {
  const { value, path } = step
  const sinks = [
    ...sinksAt(value.sink, [...path, 'sink']),
    ...toolsOf(step).flatMap((tool) => sinksAt(tool.value.sink, [...tool.path, 'sink'])),
    ...sinksWithin(value.case ?? null, [...path, 'case']),
  ]
  return [...cursorOf(value.loop, [...path, 'loop']), ...sinks]
}

function cursorOf(loop: Json | undefined, path: Path): Beside[] {
  const spec = isObject(loop) && isObject(loop.spec) ? loop.spec : {}
  const [cursor, at] =
    isObject(loop) && loop.cursor !== undefined
      ? [loop.cursor, [...path, 'cursor']]
      : [spec.cursor, [...path, 'spec', 'cursor']]
  if (!isObject(cursor)) return []
  const { kind = 'postgres', claim = '', ...config } = cursor
  return [{ value: { kind, ...config, command: claim }, path: at, what: 'the cursor of', complete: true }]
}

function sinksAt(value: Json | undefined, path: Path): Beside[] {
  if (Array.isArray(value)) return itemsOf(value, path).flatMap((item) => sinksAt(item.value, item.path))
  if (!isObject(value)) return []
  const own = isObject(value.tool) ? value.tool : {}
  const fields = Object.entries({ ...value, ...own }).filter(([key]) => !SINK_KEYS.includes(key))
  const auth = own.auth ?? value.auth
  const kind = kindOfSink(value, own)
  const tool = { kind, ...Object.fromEntries(fields), ...(auth === undefined ? {} : { auth }) }
  return [{ value: tool, path, what: 'the sink of', complete: false }]
}

/** Sinks stand anywhere among the actions of a case. */
function sinksWithin(value: Json, path: Path): Beside[] {
  if (Array.isArray(value)) return itemsOf(value, path).flatMap((item) => sinksWithin(item.value, item.path))
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const at = [...path, key]
    if (key === 'sink') return sinksAt(inner, at)
    return ['then', 'else'].includes(key) ? sinksWithin(inner, at) : []
  })
}

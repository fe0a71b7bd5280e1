import { isObject } from '../schemas/json.ts'
import { Decimal } from '../schemas/numbers.ts'
import type { Args } from './calls.ts'
import { fail } from './failure.ts'
import { replace, strip } from './filters.ts'
import { formatMethod } from './format.ts'
import { libraryMethod } from './library.ts'
import { entriesOf, join } from './sequences.ts'
import { describe, member, toText } from './values.ts'

/** Calls a Python method of a value. A method of nothing is nothing, as a member of nothing is. */
export function callMethod(name: string, base: { raw: unknown; value: () => unknown }, args: Args): unknown {
  const { list, named } = args
  if (base.raw === undefined || base.raw === null) return name === 'get' ? list[1] : undefined
  if (name === 'get' && typeof base.raw === 'object' && !(base.raw instanceof Decimal)) {
    const found = member(base.raw, list[0])
    return found === undefined ? (list[1] ?? null) : found
  }
  const value = base.value()
  if (typeof value === 'string') return stringMethod(name, value, list, named)
  if (isObject(value)) {
    if (name === 'items') return entriesOf(value)
    if (name === 'keys') return Object.keys(value)
    if (name === 'values') return Object.values(value)
  }
  if (!isObject(value) && !Array.isArray(value)) return fail(`${describe(value)} has no method ${name}()`)
  return libraryMethod(name, value, args)
}

function stringMethod(name: string, text: string, list: unknown[], named: Record<string, unknown>): unknown {
  switch (name) {
    case 'upper':
      return text.toUpperCase()
    case 'lower':
      return text.toLowerCase()
    case 'strip':
      return strip(text, list[0], 'both')
    case 'lstrip':
      return strip(text, list[0], 'left')
    case 'rstrip':
      return strip(text, list[0], 'right')
    case 'startswith':
      return text.startsWith(toText(list[0]))
    case 'endswith':
      return text.endsWith(toText(list[0]))
    case 'replace':
      return replace(text, list)
    case 'join':
      return join(Array.isArray(list[0]) ? list[0] : fail('join() takes a list'), text)
    case 'format':
      return formatMethod(text, list, named)
    default:
      return libraryMethod(name, text, { list, named })
  }
}

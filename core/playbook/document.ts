import { isScalar, type Node } from 'yaml'
import { isNoetlError, makeError, type NoetlError } from '../errors.ts'
import { isObject, type JsonObject } from '../schemas/json.ts'
import { PLAYBOOK_LIMITS } from '../schemas/playbook-limits.ts'
import { quotesHint } from './check-quotes.ts'
import type { Path, Places } from './faults.ts'
import { offsetInSource } from './scalar-place.ts'
import { MAX_DEPTH, parseText, Refused } from './yaml-text.ts'
import { valuesOf, type YamlValues } from './yaml-values.ts'

/** A YAML document as plain values, which remembers where each of them stands. */
export interface ReadDocument extends Places {
  root: JsonObject
  /** How many nodes were looked at to make it. */
  visited: number
}

/** NOETL_ERR_PLAYBOOK_TOO_LARGE: what was seen, and how much is taken. */
export function tooLarge(seen: string, limit: number, place = { line: 1, column: 1 }): NoetlError {
  const message = `it has ${seen}; ${limit} at most are taken`
  return makeError('NOETL_ERR_PLAYBOOK_TOO_LARGE', [seen, limit], {
    details: { seen, limit, faults: [{ message, ...place, path: '' }] },
  })
}

/** Faults of the text that are told: after the first the others are often its echoes. */
const MAX_ERRORS = 10

/**
 * Reads YAML text; throws NOETL_ERR_PLAYBOOK_YAML with line and column. The work is in proportion to the text, and
 * what goes beyond `maxNodes` keys and values is refused on the way.
 */
export function readDocument(text: string, { maxNodes = PLAYBOOK_LIMITS.nodes } = {}): ReadDocument {
  const at = placesIn(text)
  const refuse = (errors: { line: number; column: number; message: string }[]) => {
    const first = errors[0]!
    return makeError(
      'NOETL_ERR_PLAYBOOK_YAML',
      [`line ${first.line}, column ${first.column}: ${first.message}`],
      {
        details: { ...first, faults: errors.map((error) => ({ ...error, path: '' })) },
      },
    )
  }
  const nul = text.indexOf('\0')
  if (nul >= 0) {
    throw refuse([{ ...at(nul), message: 'there is a NUL character, which text cannot hold' }])
  }
  let contents: Node | null
  let values: YamlValues
  try {
    const { document, second } = parseText(text, maxNodes)
    const errors = document.errors.slice(0, MAX_ERRORS).map((error) => {
      const place = at(error.pos[0])
      return { ...place, message: `${error.message}${quotesHint(text.split('\n', place.line).at(-1))}` }
    })
    if (second !== undefined) {
      errors.push({ ...at(second), message: 'a second document begins here; a file holds one playbook' })
    }
    if (errors.length > 0) throw refuse(errors)
    contents = document.contents
    values = valuesOf(contents, text, maxNodes)
    const { twice } = values
    if (twice.length > 0) {
      throw refuse(
        twice.map((key) => ({
          ...at(key.at),
          message: `Map keys must be unique; "${shown(key.key)}" is repeated`,
        })),
      )
    }
  } catch (error) {
    if (isNoetlError(error)) throw error
    if (error instanceof Refused && error.tooMuch) throw tooLarge(error.message, maxNodes, at(error.at))
    if (error instanceof Refused) throw refuse([{ ...at(error.at), message: error.message }])
    // The reader goes down a stack of its own for some forms, which ends before our limit.
    if (!(error instanceof RangeError)) throw error
    throw refuse([{ line: 1, column: 1, message: `it is nested more than ${MAX_DEPTH} levels deep` }])
  }
  const { root, visited, member } = values
  if (!isObject(root))
    throw refuse([{ line: 1, column: 1, message: 'a mapping (key: value) was expected at the top' }])
  /** The nodes on the way to a path, as far as there are any. */
  const wayTo = (path: Path) => {
    const way: { key: Node | null; value: Node | null }[] = [{ key: contents, value: contents }]
    for (const part of path) {
      const { value } = way.at(-1)!
      const found = value === null ? undefined : member(value, part)
      if (found === undefined) break
      way.push(found)
    }
    return way
  }
  const placeOf = (path: Path) => {
    const placed = wayTo(path).findLast(({ key }) => key?.range)
    return at(placed?.key?.range?.[0] ?? 0)
  }
  return {
    root,
    visited,
    placeOf,
    placeIn(path, offset) {
      const way = wayTo(path)
      const node = way.length === path.length + 1 ? way.at(-1)!.value : null
      return isScalar(node) && node.range ? at(offsetInSource(text, node, offset)) : placeOf(path)
    },
  }
}

function shown(key: string): string {
  return key.length > 60 ? `${key.slice(0, 60)}…` : key
}

/** Gives line and column, from 1, of an offset. The reader's own count misses lines of texts that it cannot read. */
function placesIn(text: string): (offset: number) => { line: number; column: number } {
  const starts = [0]
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) starts.push(end + 1)
  return (offset) => {
    let [low, high] = [0, starts.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (starts[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - starts[low]! + 1 }
  }
}

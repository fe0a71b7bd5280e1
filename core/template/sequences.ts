import { isObject } from '../schemas/json.ts'
import { binary } from './arithmetic.ts'
import type { Args } from './calls.ts'
import { boundText, fail } from './failure.ts'
import {
  charactersOf,
  compare,
  describe,
  equal,
  holds,
  keysOf,
  member,
  stored,
  toJson,
  toText,
} from './values.ts'

/** Filters and tests by name, for filters that apply one to each element. */
interface Named {
  filter(name: string, value: unknown, args: Args): unknown
  test(name: string, value: unknown, args: Args): boolean
}

type Filter = (value: unknown, args: Args, named: Named) => unknown

/** Filters over lists, objects and the characters of strings. They keep the order of keys. */
export const SEQUENCE_FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ['first', (value) => listOf(value)[0]],
  ['last', (value) => listOf(value).at(-1)],
  ['list', (value) => listOf(value)],
  ['items', (value) => entriesOf(value)],
  ['dictsort', (value) => entriesOf(value).sort(([a], [b]) => order(a, b))],
  ['keys', (value) => entriesOf(value).map(([key]) => key)],
  ['values', (value) => entriesOf(value).map(([, item]) => item)],
  [
    'reverse',
    (value) =>
      typeof value === 'string' ? charactersOf(value).reverse().join('') : [...listOf(value)].reverse(),
  ],
  [
    'join',
    (value, args) => join(listOf(value), args.list[0] ?? args.named.d, args.list[1] ?? args.named.attribute),
  ],
  [
    'sum',
    (value, { list, named }) =>
      by(listOf(value), list[0] ?? named.attribute).reduce(
        (total: unknown, item) => binary('+', total, item),
        list[1] ?? named.start ?? 0,
      ),
  ],
  ['min', (value, { named }) => extreme(listOf(value), named.attribute, -1)],
  ['max', (value, { named }) => extreme(listOf(value), named.attribute, 1)],
  ['sort', (value, args) => sort(listOf(value), args)],
  ['unique', (value, { list, named }) => unique(listOf(value), list[1] ?? named.attribute)],
  ['map', map],
  ['select', (value, args, named) => listOf(value).filter((item) => passes(item, args.list, named))],
  ['reject', (value, args, named) => listOf(value).filter((item) => !passes(item, args.list, named))],
  ['selectattr', (value, args, named) => byAttribute(value, args, named, true)],
  ['rejectattr', (value, args, named) => byAttribute(value, args, named, false)],
])

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (value === undefined) return []
  if (typeof value === 'string') return charactersOf(value)
  if (isObject(value)) return keysOf(value)
  return fail(`${describe(value)} is no list`)
}

export function entriesOf(value: unknown): [string, unknown][] {
  if (value === undefined) return []
  if (isObject(value)) return keysOf(value).map((key) => [key, value[key]])
  return fail(`${describe(value)} is no object`)
}

export function join(list: readonly unknown[], separator: unknown, attribute?: unknown): string {
  const texts = by(list, attribute).map(toText)
  const between = toText(separator)
  boundText(texts.reduce((sum, text) => sum + text.length + between.length, 0))
  return texts.join(between)
}

/** Elements, or what stands at a dotted path in each. */
function by(list: readonly unknown[], attribute: unknown): readonly unknown[] {
  return attribute === undefined || attribute === null ? list : list.map((item) => at(item, attribute))
}

function at(item: unknown, attribute: unknown): unknown {
  if (typeof attribute !== 'string') return member(item, attribute)
  return attribute
    .split('.')
    .reduce(
      (value: unknown, key) => member(value, Array.isArray(value) && /^\d+$/.test(key) ? Number(key) : key),
      item,
    )
}

function map(value: unknown, args: Args, named: Named): unknown[] {
  const { attribute } = args.named
  if (attribute !== undefined) {
    const { default: otherwise } = args.named
    return by(listOf(value), attribute).map((item) => stored(item === undefined ? otherwise : item))
  }
  const [name, ...list] = args.list
  if (typeof name !== 'string') return fail('map takes the name of a filter, or attribute=')
  return listOf(value).map((item) => stored(named.filter(name, item, { list, named: args.named })))
}

function passes(item: unknown, [name, ...list]: unknown[], named: Named): boolean {
  if (name === undefined) return holds(item)
  return typeof name === 'string'
    ? named.test(name, item, { list, named: {} })
    : fail('the name of a test is missing')
}

function byAttribute(value: unknown, args: Args, named: Named, wanted: boolean): unknown[] {
  const [attribute, ...test] = args.list
  if (attribute === undefined) fail('selectattr and rejectattr take the name of an attribute')
  return listOf(value).filter((item) => passes(at(item, attribute), test, named) === wanted)
}

/** Strings are ordered without regard to case, as Jinja2 does. */
function order(left: unknown, right: unknown): number {
  return compare(folded(left), folded(right))
}

function folded(value: unknown): unknown {
  return typeof value === 'string' ? value.toLowerCase() : value
}

function sort(list: readonly unknown[], args: Args): unknown[] {
  const attribute = args.named.attribute ?? args.list[2]
  const cased = holds(args.named.case_sensitive ?? args.list[1])
  const sign = holds(args.named.reverse ?? args.list[0]) ? -1 : 1
  const keyed = list.map((item) => ({ item, key: attribute == null ? item : at(item, attribute) }))
  return keyed
    .sort((a, b) => sign * (cased ? compare(a.key, b.key) : order(a.key, b.key)))
    .map(({ item }) => item)
}

function extreme(list: readonly unknown[], attribute: unknown, sign: number): unknown {
  if (list.length === 0) return undefined
  const key = (item: unknown) => (attribute == null ? item : at(item, attribute))
  return list.reduce((best, item) => (sign * order(key(item), key(best)) > 0 ? item : best))
}

function unique(list: readonly unknown[], attribute: unknown): unknown[] {
  const seen = new Set<string>()
  return list.filter((item) => {
    const key = toJson(folded(attribute == null ? item : at(item, attribute)))
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

/** `value[from:to:step]`. */
export function slice(value: unknown, [from, to, step]: readonly unknown[]): unknown {
  if (value === undefined || value === null) return undefined
  const list = typeof value === 'string' ? charactersOf(value) : value
  if (!Array.isArray(list)) return fail(`${describe(value)} cannot be cut`)
  const by = bound(step) ?? 1
  if (by === 0) fail('the step of a slice cannot be 0')
  const clamp = (at: number) => {
    const place = at < 0 ? at + list.length : at
    return Math.max(by < 0 ? -1 : 0, Math.min(place, by < 0 ? list.length - 1 : list.length))
  }
  const start = bound(from) === undefined ? (by < 0 ? list.length - 1 : 0) : clamp(bound(from)!)
  const end = bound(to) === undefined ? (by < 0 ? -1 : list.length) : clamp(bound(to)!)
  const cut: unknown[] = []
  for (let at = start; by < 0 ? at > end : at < end; at += by) cut.push(list[at])
  return typeof value === 'string' ? cut.join('') : cut
}

function bound(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  return Number.isSafeInteger(value) ? (value as number) : fail('the parts of a slice are whole numbers')
}

/** Position and equality for the list methods. */
export function indexOf(list: readonly unknown[], value: unknown): number {
  return list.findIndex((item) => equal(item, value))
}

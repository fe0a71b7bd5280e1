import { boundList, boundText, fail } from './failure.ts'
import { FILTERS } from './filters.ts'
import { libraryFilter, libraryTest } from './library.ts'
import { SEQUENCE_FILTERS } from './sequences.ts'
import { TESTS } from './tests.ts'
import { describe } from './values.ts'

/** Evaluated arguments of a call. */
export interface Args {
  list: unknown[]
  named: Record<string, unknown>
}

export function applyFilter(name: string, value: unknown, args: Args): unknown {
  const own = FILTERS.get(name)
  if (own !== undefined) return own(value, args)
  const sequence = SEQUENCE_FILTERS.get(name)
  if (sequence !== undefined) return sequence(value, args, { filter: applyFilter, test: applyTest })
  // The library makes the whole text before anyone can look at its length.
  if (name === 'indent') boundText(widthOf(value, args))
  return libraryFilter(name, value, args)
}

/** Characters that indenting a text would make. */
function widthOf(value: unknown, { list, named }: Args): number {
  const text = typeof value === 'string' ? value : ''
  const width = Number(list[0] ?? named.width ?? 4)
  return text.length + text.split('\n').length * (Number.isFinite(width) ? Math.max(0, width) : 0)
}

export function applyTest(name: string, value: unknown, args: Args): boolean {
  const own = TESTS.get(name)
  return own === undefined ? libraryTest(name, value, args) : own(value, args.list[0])
}

/** Name under which a scope that has tokens gives the function for them: no template can say it. */
export const TOKENS = 'token()'

/** Functions that a template may call. */
export const FUNCTIONS: readonly string[] = ['now', 'range', 'dict', 'namespace', 'token']

export function callFunction(name: string, args: Args, lookup: (name: string) => unknown): unknown {
  switch (name) {
    case 'now': {
      const given = lookup('now')
      return typeof given === 'string' ? given : new Date().toISOString()
    }
    case 'range':
      return range(args.list)
    case 'dict':
    case 'namespace':
      return args.named
    case 'token':
      return token(args, lookup(TOKENS))
    default:
      return fail(`the function ${name}() is not known; there are now, range and dict`)
  }
}

function token({ list, named }: Args, get: unknown): unknown {
  if (typeof get === 'function') return get(list[0], list[1] ?? named.audience)
  return fail('token() is there in the fields of tools only, where the worker has the credentials')
}

function range(list: unknown[]): number[] {
  const numbers = list.map((value) =>
    typeof value === 'number' && Number.isInteger(value)
      ? value
      : fail(`range() takes whole numbers, not ${describe(value)}`),
  )
  const [start, stop, step] =
    numbers.length < 2 ? [0, numbers[0], 1] : [numbers[0]!, numbers[1], numbers[2] ?? 1]
  if (stop === undefined || step === 0) return fail('range() takes an end, and a step that is not 0')
  const length = Math.max(0, Math.ceil((stop - start) / step))
  boundList(length)
  return Array.from({ length }, (_, at) => start + at * step)
}

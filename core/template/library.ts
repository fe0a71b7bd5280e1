import { createRequire } from 'node:module'
import type { Environment } from 'minijinja-js'
import { isObject } from '../schemas/json.ts'
import { Decimal, readNumber } from '../schemas/numbers.ts'
import { put } from '../schemas/put.ts'
import type { Args } from './calls.ts'
import { Failure, fail } from './failure.ts'
import { LIMITS } from './limits.ts'
import { stored } from './values.ts'

/*
 * What is not answered here natively goes to minijinja: one filter, test or method at a time, with its operands
 * evaluated before, so that nothing else is copied over. It orders the keys of objects and makes no difference
 * between null and undefined, hence it is asked last.
 */

const require = createRequire(import.meta.url)
const FUEL = 100_000

let environment: Environment | undefined

export function libraryFilter(name: string, value: unknown, args: Args): unknown {
  return evaluate((operands) => `(v0)|${name}(${operands})`, value, args)
}

export function libraryTest(name: string, value: unknown, args: Args): boolean {
  return evaluate((operands) => `(v0) is ${name}(${operands})`, value, args) === true
}

export function libraryMethod(name: string, value: unknown, args: Args): unknown {
  return evaluate((operands) => `(v0).${name}(${operands})`, value, args)
}

/** Whether there is a filter or a test of this name at all. */
export function libraryHas(kind: 'filter' | 'test', name: string): boolean {
  try {
    evaluate(() => (kind === 'filter' ? `(v0)|${name}` : `(v0) is ${name}`), null, { list: [], named: {} })
  } catch (error) {
    return !/^(unknown (filter|test)|syntax error):/.test((error as Error).message)
  }
  return true
}

function evaluate(write: (operands: string) => string, value: unknown, { list, named }: Args): unknown {
  const context: Record<string, unknown> = {}
  const add = (operand: unknown) => {
    const name = `v${Object.keys(context).length}`
    if (typeof operand === 'number' && Math.abs(operand) > LIMITS.range && Object.keys(context).length > 0) {
      fail(`${operand} is too large a number here`)
    }
    context[name] = marked(stored(operand))
    return name
  }
  add(value)
  const operands = [
    ...list.map(add),
    ...Object.entries(named).map(([name, operand]) => `${name}=${add(operand)}`),
  ]
  try {
    return plain(load().evalExpr(write(operands.join(', ')), context))
  } catch (error) {
    if (error instanceof Failure) throw error
    const message = (error as Error).message ?? String(error)
    if (!/ \(in <expression>|JavaScript number/.test(message)) discard()
    return fail(message.split('\n')[0]!.replace(/ \(in <expression>.*$/, ''))
  }
}

function load(): Environment {
  if (environment === undefined) {
    const library = require('minijinja-js') as typeof import('minijinja-js')
    environment = new library.Environment()
    environment.enablePyCompat()
    environment.undefinedBehavior = 'chainable'
    environment.fuel = FUEL
  }
  return environment
}

/** After a panic the WebAssembly instance is spoilt for good: the next call loads a fresh one. */
function discard(): void {
  environment = undefined
  delete require.cache[require.resolve('minijinja-js')]
}

/** Stands before the digits of a number that the library does not carry; no text has it. */
const MARK = '\uf8ffnumber:'

/** A value with such numbers marked. */
function marked(value: unknown): unknown {
  if (typeof value === 'bigint' || value instanceof Decimal) return `${MARK}${value}`
  if (Array.isArray(value)) return value.map(marked)
  if (!isObject(value)) return value
  const object: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) put(object, key, marked(item))
  return object
}

/** Its maps, big integers and marked numbers as JSON has them. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value
  if (typeof value === 'string' && value.includes(MARK)) {
    return value.startsWith(MARK) ? readNumber(value.slice(MARK.length)) : value.replaceAll(MARK, '')
  }
  if (Array.isArray(value)) return value.map((item) => stored(plain(item)))
  if (!(value instanceof Map)) return value
  const object: Record<string, unknown> = {}
  for (const [key, item] of value) put(object, String(key), stored(plain(item)))
  return object
}

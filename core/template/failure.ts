import { LIMITS } from './limits.ts'

/** What a template did wrong, before it is known which template: becomes a NOETL_ERR_TEMPLATE_* at the edge. */
export class Failure extends Error {
  override name = 'Failure'
  /** Offset in the template of what is wrong, where that is known. */
  at: number | undefined

  constructor(message: string, at?: number) {
    super(message)
    this.at = at
  }
}

export function fail(message: string, at?: number): never {
  throw new Failure(message, at)
}

/** Refuses a text before it is made. */
export function boundText(length: number): void {
  if (length > LIMITS.output) fail(`the text would be longer than ${LIMITS.output} characters`)
}

export function boundList(length: number): void {
  if (length > LIMITS.range) fail(`the list would have more than ${LIMITS.range} elements`)
}

/** True for what V8 throws when recursion or a string has no end: a fault of the template, not of the scope. */
export function isExhaustion(error: unknown): error is RangeError {
  return error instanceof RangeError && /call stack|string length/i.test(error.message)
}

/** Adds place and line to a failure, once: the innermost piece that failed is the place. */
export function located(error: unknown, source: string, at: number): unknown {
  if (error instanceof Error && !/ \(line \d+\)$/.test(error.message)) {
    const place = error instanceof Failure ? (error.at ?? at) : at
    if (error instanceof Failure) error.at = place
    error.message += ` (line ${source.slice(0, place).split('\n').length})`
  }
  return error
}

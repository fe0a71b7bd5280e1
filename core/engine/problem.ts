import { isNoetlError } from '../errors.ts'
import { type CallError, makeCallError } from '../schemas/command.ts'

/**
 * The failure of a step whose own templates cannot be evaluated. Anything that is no error of the gateway
 * (NotLoaded, a bug) goes on up.
 */
export function failureOf(problem: unknown): CallError {
  if (!isNoetlError(problem)) throw problem
  return callError(problem.code, problem.message)
}

/** An error that the gateway itself found. */
export function callError(code: string, message: string): CallError {
  const kind = code.startsWith('NOETL_ERR_TEMPLATE') ? 'transform' : 'unknown'
  return makeCallError({ kind, message, code })
}

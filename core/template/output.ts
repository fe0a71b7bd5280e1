import type { CallError } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'

/**
 * What rules and `set` see as `output`: an envelope that says how the call went, and the result's own
 * keys flat beside it. `data` is the result's own `data` where it has one, else the whole result.
 */
export function outputOf(call: {
  result: Json
  error: CallError | null
  facets: JsonObject
  meta: JsonObject
}): JsonObject {
  const { result, error, facets } = call
  const own = isObject(result) ? result : {}
  const data = Object.hasOwn(own, 'data') ? own.data! : result
  return {
    ...own,
    status: error === null ? 'ok' : 'error',
    data,
    response: data,
    error: error as unknown as Json,
    http: facets.http ?? {},
    pg: facets.pg ?? {},
    py: facets.py ?? {},
    meta: call.meta,
  }
}

/** What a name holds after an error that was let pass: the envelope's keys over what there was of a result. */
export function errorEnvelope(result: Json, error: CallError): JsonObject {
  return {
    ...(isObject(result) ? result : { data: result }),
    status: 'error',
    error: error as unknown as Json,
  }
}

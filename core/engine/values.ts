import type { Json, JsonObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'

/** Values by ctx name: a bare name means the same as `ctx.` there; `iter.` and `step.` end with the step. */
export function ctxValues(rendered: Json): JsonObject {
  const values: JsonObject = {}
  for (const [key, value] of Object.entries(rendered as JsonObject)) {
    if (key.startsWith('iter.') || key.startsWith('step.')) continue
    put(values, key.replace(/^(ctx|vars|workload)\./, ''), value)
  }
  return values
}

import { makeError } from './errors.ts'
import type { JsonObject } from './schemas/json.ts'
import { roughBytes } from './schemas/rough-bytes.ts'

/**
 * What ctx may hold, as JSON, roughly, in bytes. A value is written with each event that sets it and goes along with
 * each command that names it; results, which are stored aside once, may be larger.
 */
export const CTX_LIMITS = { value: 4 * 2 ** 20, whole: 32 * 2 ** 20 } as const

/** Refuses values that are too large for ctx, alone or beside `others`, the bytes of what stays there. */
export function boundCtx(set: JsonObject, others: () => number = () => 0): void {
  let bytes = 0
  for (const [name, value] of Object.entries(set)) {
    const own = roughBytes(value, CTX_LIMITS.value)
    if (own > CTX_LIMITS.value) refuse(`ctx.${name}`, CTX_LIMITS.value)
    bytes += own
  }
  if (bytes > SMALL && bytes + others() > CTX_LIMITS.whole) refuse('ctx as a whole', CTX_LIMITS.whole)
}

/** Values this small change nothing that a look at all the others would be worth. */
const SMALL = 1024

function refuse(what: string, limit: number): never {
  throw makeError('NOETL_ERR_CTX_TOO_LARGE', [what, limit])
}

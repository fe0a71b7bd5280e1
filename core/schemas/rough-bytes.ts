import { Decimal } from './numbers.ts'

/** What a value takes as JSON, roughly; no longer exact once over `limit`. */
export function roughBytes(value: unknown, limit = Number.POSITIVE_INFINITY): number {
  switch (typeof value) {
    case 'string':
      return Buffer.byteLength(value) + 2
    case 'number':
      return Number.isInteger(value) && Math.abs(value) < 1000 ? 3 : String(value).length
    case 'bigint':
      return String(value).length
    case 'object': {
      if (value === null) return 4
      if (value instanceof Decimal) return value.text.length
      let bytes = 2
      if (Array.isArray(value)) {
        for (const item of value) {
          bytes += roughBytes(item, limit - bytes) + 1
          if (bytes > limit) break
        }
        return bytes
      }
      for (const [key, item] of Object.entries(value)) {
        bytes += key.length + 4 + roughBytes(item, limit - bytes)
        if (bytes > limit) break
      }
      return bytes
    }
    default:
      return 5
  }
}

import type { Scope } from '../../../core/template/template.ts'

/** A scope of fixed values, own names only. */
export function scopeOf(values: Readonly<Record<string, unknown>>): Scope {
  return { lookup: (name) => (Object.hasOwn(values, name) ? values[name] : undefined) }
}

import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Faults, Path } from './faults.ts'

/** A mapping, or a fault; absent and null count as empty. */
export function mapping(value: Json | undefined, path: Path, faults: Faults): JsonObject {
  if (value === undefined || value === null) return {}
  if (isObject(value)) return value
  faults.fault(path, `${String(path.at(-1))} must be a mapping (key: value)`)
  return {}
}

/** Text of a field, or a fault. */
export function text(value: Json | undefined, path: Path, faults: Faults): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string' && value.trim() !== '') return value
  if (typeof value === 'number') return String(value)
  faults.fault(path, `${String(path.at(-1))} must be a text`)
  return undefined
}

/** Says which keys are not known; they are ignored, for playbooks carry notes of their own. */
export function warnUnknownKeys(
  object: JsonObject,
  known: readonly string[],
  path: Path,
  about: { faults: Faults; nearest: (wrong: string, names: Iterable<string>) => string[] },
): void {
  for (const key of Object.keys(object)) {
    if (known.includes(key)) continue
    about.faults.warn(
      [...path, key],
      `"${key}" is not known here and is ignored`,
      about.nearest(key, known)[0],
    )
  }
}

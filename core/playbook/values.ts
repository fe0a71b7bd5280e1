import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { isPlaceName } from '../schemas/lanes.ts'
import { isNumber } from '../schemas/numbers.ts'
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
  if (isNumber(value)) return String(value)
  faults.fault(path, `${String(path.at(-1))} must be a text`)
  return undefined
}

/** `lane` of a `spec`, if it has one. */
export function laneIn(spec: Json | undefined, path: Path, faults: Faults): { lane?: string } {
  const value = isObject(spec) ? spec.lane : undefined
  if (value === undefined || value === null) return {}
  if (typeof value === 'string' && isPlaceName(value)) return { lane: value }
  faults.fault(
    [...path, 'lane'],
    `lane is ${JSON.stringify(value)}; a name of letters, digits, - and _ was expected, such as normal`,
  )
  return {}
}

/** A value as it is shown or looked up: text as it is, lists and mappings as JSON, for theirs could be any. */
export function wordOf(value: Json | undefined): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value)
}

/** A number, or text that is one; NaN for everything else. */
export function numberOf(value: Json | undefined): number {
  return isNumber(value) || typeof value === 'string' ? Number(value) : Number.NaN
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
      () => about.nearest(key, known)[0],
    )
  }
}

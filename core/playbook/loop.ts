import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Cursor, Loop } from '../schemas/playbook.ts'
import { hasTemplate } from '../template/tokens.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { mapping, numberOf, text, wordOf } from './values.ts'

const DEFAULT_IN_FLIGHT = 8
/** More rounds than this are never in flight at once. */
export const MAX_IN_FLIGHT = 10_000
const DEFAULT_FRAME_ROWS = 100
const MAX_FRAME_ROWS = 10_000
const MAX_ROW_CONCURRENCY = 100

/** `loop: {in, iterator, spec: {mode, max_in_flight}}`; the first dialect has `mode` directly under `loop`. */
export function readLoop(value: Json | undefined, path: Path, faults: Faults): Loop | undefined {
  if (value === undefined || value === null) return undefined
  if (!isObject(value)) {
    faults.fault(path, 'loop must be {in, iterator, spec: {mode, max_in_flight}}')
    return undefined
  }
  const spec = { ...value, ...mapping(value.spec, [...path, 'spec'], faults) }
  const cursor = spec.mode === 'cursor' || 'cursor' in value ? readCursor(spec, path, faults) : undefined
  if (cursor === undefined && !('in' in value)) faults.fault(path, 'a loop needs "in: <list>"')
  const mode = cursor === undefined ? (spec.mode ?? 'sequential') : 'parallel'
  const parallel = mode === 'parallel' || mode === 'async'
  if (!parallel && mode !== 'sequential') {
    faults.fault(
      [...path, 'mode'],
      `mode is ${JSON.stringify(mode)}; sequential or parallel was expected`,
      nearest(wordOf(mode), ['sequential', 'parallel'])[0],
    )
  }
  const maxInFlight = readInFlight(
    spec.max_in_flight ?? (cursor === undefined ? DEFAULT_IN_FLIGHT : 1),
    [...path, 'max_in_flight'],
    faults,
  )
  return {
    in: value.in ?? null,
    iterator: text(value.iterator, [...path, 'iterator'], faults) ?? 'item',
    mode: parallel ? 'parallel' : 'sequential',
    ...(cursor === undefined ? {} : { cursor }),
    maxInFlight: parallel ? maxInFlight : 1,
  }
}

function readInFlight(value: Json, path: Path, faults: Faults): number | string {
  if (typeof value === 'string' && hasTemplate(value)) return value
  const number = numberOf(value)
  if (!Number.isInteger(number) || number < 1) {
    faults.fault(path, `max_in_flight is ${JSON.stringify(value)}; a whole number from 1 was expected`)
    return 1
  }
  if (number > MAX_IN_FLIGHT) {
    faults.warn(path, `max_in_flight is ${number}; no more than ${MAX_IN_FLIGHT} are ever in flight at once`)
  }
  return Math.min(MAX_IN_FLIGHT, number)
}

/** `loop: {cursor: {kind, auth, claim}, spec: {mode: cursor, frame: {max_rows, row_concurrency, max_seconds}}}`. */
function readCursor(spec: JsonObject, path: Path, faults: Faults): Cursor | undefined {
  const at = [...path, 'cursor']
  const fields = mapping(spec.cursor, at, faults)
  const { kind = 'postgres', claim, ...config } = fields
  if (kind !== 'postgres' && kind !== 'duckdb') {
    faults.fault(
      [...at, 'kind'],
      `a cursor of kind ${JSON.stringify(kind)} is unknown; postgres or duckdb was expected`,
    )
  }
  if (typeof claim !== 'string' || claim.trim() === '') {
    faults.fault(at, 'a cursor needs "claim": SQL that marks rows as taken and returns them')
  }
  const frame = mapping(spec.frame, [...path, 'spec', 'frame'], faults)
  const number = (key: string, otherwise: number, most: number): number => {
    const value = frame[key] ?? otherwise
    if (typeof value === 'number' && value > 0) return Math.min(most, value)
    faults.fault(
      [...path, 'spec', 'frame', key],
      `${key} is ${JSON.stringify(value)}; a number above 0 was expected`,
    )
    return otherwise
  }
  return {
    kind: wordOf(kind),
    config: { ...config, command: claim ?? '' },
    maxRows: Math.ceil(number('max_rows', DEFAULT_FRAME_ROWS, MAX_FRAME_ROWS)),
    rowConcurrency: Math.ceil(number('row_concurrency', 1, MAX_ROW_CONCURRENCY)),
    ...(frame.max_seconds === undefined ? {} : { maxSeconds: number('max_seconds', 3600, 86_400) }),
  }
}

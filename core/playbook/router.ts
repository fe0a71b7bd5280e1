import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Arc, Router } from '../schemas/playbook.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { laneIn, mapping, text, warnUnknownKeys, wordOf } from './values.ts'

const ROUTER_KEYS = ['spec', 'mode', 'arcs', 'desc']
const ARC_KEYS = ['step', 'when', 'cond', 'set', 'args', 'input', 'then', 'desc', 'name', 'spec']

/** True for the form `{spec, arcs}`; every other form is of the seed dialect. */
export function isRouter(next: Json | undefined): boolean {
  return next === undefined || next === null || (isObject(next) && !('step' in next))
}

/**
 * Reads `next` in all its forms: a router; a step's name; a list of names, `{step, when?}`,
 * `{when, then: […]}` and `{else: […]}`; one `{step}`. A list without conditions leads to all its steps,
 * one with conditions to the first that matches.
 */
export function readNext(next: Json | undefined, path: Path, faults: Faults): Router {
  if (next === undefined || next === null) return { mode: 'exclusive', arcs: [] }
  if (typeof next === 'string' || (isObject(next) && 'step' in next)) {
    return { mode: 'exclusive', arcs: readArcs([next], path, faults, () => path) }
  }
  if (Array.isArray(next)) {
    const conditional = next.some(
      (item) => isObject(item) && ('when' in item || 'else' in item || 'cond' in item),
    )
    return {
      mode: next.length > 1 && !conditional ? 'inclusive' : 'exclusive',
      arcs: readArcs(next, path, faults),
    }
  }
  if (!isObject(next)) {
    faults.fault(path, 'next must be {spec: {mode}, arcs: [{step, when}]}, a step or a list of steps')
    return { mode: 'exclusive', arcs: [] }
  }
  warnUnknownKeys(next, ROUTER_KEYS, path, { faults, nearest })
  const spec = mapping(next.spec, [...path, 'spec'], faults)
  const mode = spec.mode ?? next.mode ?? 'exclusive'
  if (mode !== 'exclusive' && mode !== 'inclusive') {
    faults.fault(
      [...path, 'spec', 'mode'],
      `mode is ${JSON.stringify(mode)}; exclusive or inclusive was expected`,
      nearest(wordOf(mode), ['exclusive', 'inclusive'])[0],
    )
  }
  const arcs = next.arcs ?? []
  if (!Array.isArray(arcs)) {
    faults.fault([...path, 'arcs'], 'arcs must be a list of {step, when?, set?}')
    return { mode: 'exclusive', arcs: [] }
  }
  return {
    mode: mode === 'inclusive' ? 'inclusive' : 'exclusive',
    arcs: readArcs(arcs, [...path, 'arcs'], faults),
    ...(spec.on_no_match === 'quiet' ? { quiet: true as const } : {}),
  }
}

function readArcs(
  items: Json[],
  path: Path,
  faults: Faults,
  placeOf = (i: number): Path => [...path, i],
): Arc[] {
  let groups = 0
  return items.flatMap((item, i) => {
    const at = placeOf(i)
    const clause = isObject(item) ? (['else', 'then'] as const).find((key) => key in item) : undefined
    if (!isObject(item) || clause === undefined) return readTargets(item, {}, at, faults)
    const when = clause === 'else' ? undefined : (item.when ?? item.cond)
    const common = { group: groups, ...(when === undefined || when === null ? {} : { when }) }
    const arcs = readTargets(item[clause], common, [...at, clause], faults)
    if (arcs.length > 0) groups += 1
    return arcs
  })
}

function readTargets(
  targets: Json | undefined,
  common: { when?: Json; group?: number },
  path: Path,
  faults: Faults,
): Arc[] {
  const list = Array.isArray(targets) ? targets : [targets ?? null]
  return list.flatMap((target, i) => {
    const at = Array.isArray(targets) ? [...path, i] : path
    const inner = isObject(target) && !('step' in target) ? (target.then ?? target.next) : undefined
    if (inner !== undefined) return readTargets(inner, common, at, faults)
    return readTarget(target, common, at, faults)
  })
}

function readTarget(
  target: Json,
  common: { when?: Json; group?: number },
  path: Path,
  faults: Faults,
): Arc[] {
  if (typeof target === 'string')
    return [marked({ step: target, set: {}, args: {}, ...common }, path, faults)]
  if (!isObject(target)) {
    faults.fault(path, 'an arc must be {step, when?, set?} or the name of a step')
    return []
  }
  warnUnknownKeys(target, ARC_KEYS, path, { faults, nearest })
  const step = text(target.step, [...path, 'step'], faults)
  if (step === undefined) {
    if (!('step' in target) || target.step === null) faults.fault(path, 'an arc needs "step: <name>"')
    return []
  }
  const when = target.when ?? target.cond
  const args: JsonObject = {
    ...mapping(target.args, [...path, 'args'], faults),
    ...mapping(target.input, [...path, 'input'], faults),
  }
  const arc: Arc = {
    step,
    set: mapping(target.set, [...path, 'set'], faults),
    args,
    ...common,
    ...laneIn(target.spec, [...path, 'spec'], faults),
    // `when:` with nothing behind it is the same as no `when`.
    ...(when === undefined || when === null ? {} : { when }),
  }
  return [marked(arc, path, faults)]
}

/** Remembers where the arc was written, for what is said of it later. */
function marked(arc: Arc, path: Path, faults: Faults): Arc {
  faults.mark(arc, path)
  return arc
}

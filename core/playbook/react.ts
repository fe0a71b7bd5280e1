import { isObject, type Json } from '../schemas/json.ts'
import type { Collect, Reaction, Step, Target } from '../schemas/playbook.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { mapping, text, warnUnknownKeys } from './values.ts'

const MOMENTS = ['enter', 'call', 'exit'] as const
const REACTION_KEYS = ['when', 'set', 'collect', 'call', 'next', 'desc']

/**
 * `react: {enter: […], call: […], exit: […]}`, each a list of `{when, set, collect: [{into, from, mode}], call:
 * [{step, args}], next: [{step, args}]}`: what follows from an event of a step. Of each event the first that matches is
 * taken. Without `next` the step's own says where to go on; an empty one leads nowhere.
 */
export function readReact(
  value: Json | undefined,
  path: Path,
  faults: Faults,
): Pick<Step, 'onEnter' | 'onCall' | 'onExit'> {
  const react = mapping(value, path, faults)
  warnUnknownKeys(react, MOMENTS, path, { faults, nearest })
  const [onEnter = [], onCall = [], onExit = []] = MOMENTS.map((moment) => {
    return listAt(
      react[moment],
      [...path, moment],
      faults,
      'a list of {when, set, collect, call, next}',
    ).flatMap((item) => readReaction(item.value, item.path, faults) ?? [])
  })
  return { onEnter, onCall, onExit }
}

function readReaction(value: Json, path: Path, faults: Faults): Reaction | undefined {
  if (!isObject(value)) {
    faults.fault(path, 'a reaction must be a mapping {when, set, collect, call, next}')
    return undefined
  }
  warnUnknownKeys(value, REACTION_KEYS, path, { faults, nearest })
  const { when } = value
  const targets = (key: 'call' | 'next') =>
    listAt(value[key], [...path, key], faults, 'a list of {step, args}').flatMap((item) =>
      readTarget(item, faults),
    )
  return {
    ...(when === undefined || when === null ? {} : { when }),
    set: mapping(value.set, [...path, 'set'], faults),
    collect: listAt(value.collect, [...path, 'collect'], faults, 'a list of {into, from, mode}').flatMap(
      (item) => readCollect(item, faults),
    ),
    calls: targets('call'),
    next: value.next === undefined || value.next === null ? null : targets('next'),
  }
}

function readCollect({ value, path }: { value: Json; path: Path }, faults: Faults): Collect[] {
  const into = isObject(value) ? text(value.into, [...path, 'into'], faults) : undefined
  if (!isObject(value) || into === undefined || value.from === undefined) {
    faults.fault(path, 'it must be {into: <name>, from: <value>, mode: append|extend}')
    return []
  }
  const { mode = 'append' } = value
  if (mode !== 'append' && mode !== 'extend') {
    faults.fault([...path, 'mode'], `mode is ${JSON.stringify(mode)}; append or extend was expected`)
    return []
  }
  return [{ into, from: value.from, mode }]
}

function readTarget({ value, path }: { value: Json; path: Path }, faults: Faults): Target[] {
  const step = isObject(value) ? text(value.step, [...path, 'step'], faults) : undefined
  if (!isObject(value) || step === undefined) {
    faults.fault(path, 'a target must be {step: <name>, args}')
    return []
  }
  return [{ step, args: mapping(value.args, [...path, 'args'], faults) }]
}

function listAt(
  value: Json | undefined,
  path: Path,
  faults: Faults,
  expected: string,
): { value: Json; path: Path }[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value.map((item, i) => ({ value: item, path: [...path, i] }))
  faults.fault(path, `${expected} was expected`)
  return []
}

import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { AdmitRule, Rule } from '../schemas/playbook.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { mapping, wordOf } from './values.ts'

export const ACTIONS = ['continue', 'retry', 'fail', 'break', 'jump'] as const
export const BACKOFFS = ['none', 'fixed', 'linear', 'exponential'] as const

/** `[{when, then: {do, …}}, {else: {then: {…}}}]`; `then` may be left out in either. */
export function readRules(value: Json | undefined, path: Path, faults: Faults): Rule[] {
  return clauses(value, path, faults).flatMap(({ when, then, at }) => readRule(when, then, at, faults) ?? [])
}

function readRule(when: Json | undefined, then: JsonObject, path: Path, faults: Faults): Rule | undefined {
  const {
    do: action = 'continue',
    to,
    attempts = 3,
    max_attempts,
    delay = 1,
    backoff = 'none',
    message,
  } = then
  const word = ACTIONS.find((known) => known === action)
  if (word === undefined) {
    faults.fault(
      [...path, 'do'],
      `"do: ${wordOf(action)}" is unknown; ${ACTIONS.join(', ')} were expected`,
      nearest(wordOf(action), ACTIONS)[0],
    )
    return undefined
  }
  if (word === 'jump' && typeof to !== 'string') {
    faults.fault(path, '"do: jump" needs "to: <label>"')
    return undefined
  }
  const pace = BACKOFFS.find((known) => known === backoff)
  if (pace === undefined) {
    faults.fault(
      [...path, 'backoff'],
      `"backoff: ${wordOf(backoff)}" is unknown; ${BACKOFFS.join(', ')} were expected`,
      nearest(wordOf(backoff), BACKOFFS)[0],
    )
    return undefined
  }
  return {
    ...(when === undefined ? {} : { when }),
    do: word,
    ...(typeof to === 'string' ? { to } : {}),
    attempts: max_attempts ?? attempts,
    delay,
    backoff: pace,
    set: mapping(then.set, [...path, 'set'], faults),
    ...(message === undefined ? {} : { message }),
    ...(then.result === undefined ? {} : { result: then.result }),
  }
}

/** The old block `retry: {max_attempts, initial_delay|delay, backoff, …}`, also `true` or a number of runs. */
export function readRetryBlock(value: Json | undefined, path: Path, faults: Faults): Rule[] {
  if (value === undefined || value === null || value === false) return []
  if (typeof value !== 'object' && typeof value !== 'number' && value !== true) {
    faults.fault(path, 'retry must be a mapping such as {max_attempts: 3, delay: 1}')
    return []
  }
  const block = isObject(value) ? value : typeof value === 'number' ? { max_attempts: value } : {}
  const then: JsonObject = {
    do: 'retry',
    attempts: block.max_attempts ?? block.attempts ?? 3,
    delay: block.initial_delay ?? block.delay ?? 1,
    backoff: typeof block.backoff === 'string' ? block.backoff : 'none',
  }
  const when = block.when ?? block.retry_when ?? "{{ output.status == 'error' }}"
  return readRule(when, then, path, faults) === undefined ? [] : [readRule(when, then, path, faults)!]
}

/** `{rules: [{when, then: {allow}}, {else: …}]}`: the first that matches says whether the step may run. */
export function readAdmit(value: Json | undefined, path: Path, faults: Faults): AdmitRule[] {
  if (value === undefined || value === null) return []
  const rules = isObject(value) ? value.rules : value
  return clauses(rules, isObject(value) ? [...path, 'rules'] : path, faults).map(({ when, then }) => ({
    ...(when === undefined ? {} : { when }),
    allow: then.allow !== false,
  }))
}

function clauses(
  value: Json | undefined,
  path: Path,
  faults: Faults,
): { when: Json | undefined; then: JsonObject; at: Path }[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) {
    faults.fault(path, 'a list of {when, then} was expected')
    return []
  }
  return value.flatMap((clause, i) => {
    const at = [...path, i]
    if (!isObject(clause)) {
      faults.fault(at, 'a mapping {when, then} or {else} was expected')
      return []
    }
    const otherwise = 'else' in clause
    const body = otherwise ? clause.else : clause
    if (!isObject(body)) {
      faults.fault(at, '"else" must hold {then: {…}} or the action itself')
      return []
    }
    const then = body.then ?? body
    if (!isObject(then)) {
      faults.fault([...at, 'then'], '"then" must be a mapping such as {do: continue}')
      return []
    }
    return [
      { when: otherwise ? undefined : clause.when, then, at: body.then === undefined ? at : [...at, 'then'] },
    ]
  })
}

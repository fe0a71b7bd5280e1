import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Collect, Target } from '../schemas/playbook.ts'
import { lay } from '../schemas/put.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { bareName, readFrom } from './seed-names.ts'
import { mapping, text, wordOf } from './values.ts'

/** When a clause of `case` is looked at: before the tool, after it, as the step is left, at the end of its loop. */
export type Moment = 'enter' | 'call' | 'exit' | 'done'

/** It stands behind a `result` in the same list of actions, so that it sees what that one gave. */
export interface Late {
  late?: true
}

/** One clause of `case`, its actions sorted by what they are. */
export interface Clause {
  path: Path
  moment: Moment
  when: Json | undefined
  /** Names in ctx. */
  set: JsonObject
  collect: (Collect & Late)[]
  calls: (Target & Late)[]
  /** Null: it says nothing of the way on. */
  next: (Target & Late)[] | null
  /** What is set behind a `result` of the same list. */
  setLate: JsonObject
  sinks: { value: Json; path: Path }[]
  retry?: { value: Json; path: Path }
  /** Text of the failure; null when none is given. */
  fail?: { message: Json }
  result?: { from: Json }
}

const ACTIONS = ['next', 'set', 'collect', 'call', 'sink', 'retry', 'result', 'fail'] as const
const BESIDE = ['step', 'args', 'input', 'when', 'cond', 'else', 'then', 'desc', 'description', 'name']

/** `case: [{when, then}, …, {else}]`: of each event the first clause that holds. */
export function readCase(
  value: Json | undefined,
  path: Path,
  about: { looped: boolean; known: ReadonlySet<string>; faults: Faults },
): Clause[] {
  const { faults } = about
  if (value === undefined || value === null) return []
  const clauses: Clause[] = []
  for (const [i, item] of (Array.isArray(value) ? value : [value]).entries()) {
    const at = Array.isArray(value) ? [...path, i] : path
    if (!isObject(item)) {
      faults.fault(at, 'a clause of "case" must be a mapping {when, then}')
      continue
    }
    const otherwise = 'else' in item
    const condition = otherwise ? undefined : (item.when ?? item.cond)
    // `when:` with nothing behind it is the same as no `when`.
    const when = condition === null ? undefined : condition
    const clause: Clause = {
      path: at,
      moment: otherwise ? momentOfElse(clauses) : momentOf(when, about.looped),
      when,
      set: {},
      setLate: {},
      collect: [],
      calls: [],
      next: null,
      sinks: [],
    }
    const body = otherwise ? item.else : item
    const inThen = isObject(body) && 'then' in body
    const actions = isObject(body) && inThen ? body.then : body
    const place = [...at, ...(otherwise ? ['else'] : []), ...(inThen ? ['then'] : [])]
    readActions(clause, actions ?? [], place, about)
    clauses.push(clause)
  }
  return clauses
}

/** By the events that the condition names; of the others, all are over when the call is. */
function momentOf(when: Json | undefined, looped: boolean): Moment {
  if (typeof when !== 'string') return 'call'
  const text = when
    .replace(/!=\s*(['"])[\w.]+\1/g, '')
    .replace(/\bnot\s+in\s*[[(][^\])]*[\])]/g, '')
    .replace(/\bnot\s+\(?\s*loop\.done\b/g, '')
    .replace(/\bloop\.done\s*==\s*false\b/gi, '')
  if (/(['"])step\.enter\1/.test(text)) return 'enter'
  if (looped && /\bloop\.done\b/.test(text)) return 'done'
  return /(['"])step\.exit\1/.test(text) && !/(['"])call\./.test(text) ? 'exit' : 'call'
}

/** `else` comes after the last chance of the clauses before it. */
function momentOfElse(before: Clause[]): Moment {
  return before.some(({ moment }) => moment === 'exit') ? 'exit' : 'call'
}

type About = { known: ReadonlySet<string>; faults: Faults }

/** One action, or a list of them; a step's name alone is the way on. */
function readActions(clause: Clause, value: Json, path: Path, about: About): void {
  const late: Late = clause.result === undefined ? {} : { late: true }
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) readActions(clause, item, [...path, i], about)
    return
  }
  if (typeof value === 'string') {
    addNext(clause, [{ step: value, args: {}, ...late }])
    return
  }
  const { faults } = about
  if (!isObject(value)) {
    faults.fault(path, `an action must be a mapping such as {next: <step>}; there are: ${ACTIONS.join(', ')}`)
    return
  }
  for (const key of Object.keys(value)) {
    if (ACTIONS.some((known) => known === key) || BESIDE.includes(key)) continue
    faults.fault(
      [...path, key],
      `"${key}" is no action of a case; there are: ${ACTIONS.join(', ')}`,
      nearest(key, ACTIONS)[0],
    )
  }
  const targets = (of: Json, at: Path): (Target & Late)[] =>
    readTargets(of, at, about.faults).map((target) => ({ ...target, ...late }))
  if ('step' in value) addNext(clause, targets(value, path))
  if (value.next !== undefined && value.next !== null) {
    const args = { ...mapping(value.args, [...path, 'args'], faults) }
    const found = targets(value.next, [...path, 'next'])
    addNext(
      clause,
      found.map((target) => ({ ...target, args: { ...args, ...target.args } })),
    )
  }
  const set = ctxNames(mapping(value.set, [...path, 'set'], faults))
  lay(late.late ? clause.setLate : clause.set, set)
  const collects = readCollect(value.collect, [...path, 'collect'], about)
  clause.collect.push(...collects.map((collect) => ({ ...collect, ...late })))
  if (value.call !== undefined) clause.calls.push(...targets(value.call, [...path, 'call']))
  clause.sinks.push(...listOf(value.sink, [...path, 'sink']))
  if (value.retry !== undefined && value.retry !== null && value.retry !== false) {
    clause.retry = { value: value.retry, path: [...path, 'retry'] }
  }
  if ('result' in value) {
    const result = value.result!
    const from = isObject(result) && 'from' in result ? result.from! : result
    clause.result = { from: readFrom(from, about.known) }
  }
  if ('fail' in value && value.fail !== false) {
    const { fail } = value
    const message = isObject(fail)
      ? (fail.message ?? fail.error ?? null)
      : typeof fail === 'string'
        ? fail
        : null
    clause.fail = { message }
  }
}

function addNext(clause: Clause, targets: (Target & Late)[]): void {
  clause.next = [...(clause.next ?? []), ...targets]
}

/** A step's name, `{step, args}`, or a list of either. */
function readTargets(value: Json, path: Path, faults: Faults): Target[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => readTargets(item, [...path, i], faults))
  if (typeof value === 'string') return [{ step: value, args: {} }]
  if (!isObject(value)) {
    faults.fault(path, 'a target must be the name of a step or {step, args}')
    return []
  }
  const step = text(value.step, [...path, 'step'], faults)
  if (step === undefined) {
    if (value.step === undefined || value.step === null) faults.fault(path, 'a target needs "step: <name>"')
    return []
  }
  const args = {
    ...mapping(value.args, [...path, 'args'], faults),
    ...mapping(value.input, [...path, 'input'], faults),
  }
  return [{ step, args }]
}

function readCollect(value: Json | undefined, path: Path, about: About): Collect[] {
  const { faults, known } = about
  return listOf(value, path).flatMap(({ value: item, path: at }) => {
    if (!isObject(item)) {
      faults.fault(at, '"collect" must be {from, into, mode: append|extend}')
      return []
    }
    const into = text(item.into, [...at, 'into'], faults)
    if (into === undefined) {
      if (item.into === undefined || item.into === null) faults.fault(at, '"collect" needs "into: <name>"')
      return []
    }
    const mode = item.mode ?? 'append'
    if (mode !== 'append' && mode !== 'extend') {
      faults.fault(
        [...at, 'mode'],
        `mode is ${JSON.stringify(mode)}; append or extend was expected`,
        nearest(wordOf(mode), ['append', 'extend'])[0],
      )
    }
    return [
      {
        into: bareName(into),
        from: readFrom(item.from ?? 'result', known),
        mode: mode === 'extend' ? ('extend' as const) : ('append' as const),
      },
    ]
  })
}

function listOf(value: Json | undefined, path: Path): { value: Json; path: Path }[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value)
    ? value.map((item, i) => ({ value: item, path: [...path, i] }))
    : [{ value, path }]
}

/** All names that an action writes are the execution's. */
function ctxNames(set: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(set).map(([name, value]) => [`ctx.${bareName(name)}`, value]))
}

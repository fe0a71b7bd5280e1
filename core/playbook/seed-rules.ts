import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Rule } from '../schemas/playbook.ts'
import { allOf, atEvent, soleExpression } from './conditions.ts'
import type { Faults } from './faults.ts'
import { readRules } from './rules.ts'
import type { Clause } from './seed-case.ts'
import { numberOf } from './values.ts'

/*
 * `retry`, `fail` and `result` must act before the call is told, hence on the worker: they are rules of the step's
 * tool. Rules are first-match too, so that each clause before the last of these is a rule as well: one that leaves
 * the outcome as it is.
 *
 * Once a rule has changed the outcome, a condition may no longer say of it what it said before. What such a clause has
 * to do beside it is therefore taken by a mark, a name in ctx that its rule sets: which clause it was, and the values
 * that its other actions take from the result as it was.
 *
 * What differs from looking at all clauses anew at every event: clauses of `step.exit` with one of these actions are
 * looked at after those of the call, and not when one of these matched that is a rule; after the last repeat of a
 * `retry` the clauses behind it have their turn.
 */

/** A clause with its place in the list, and what has become of it on the worker. */
export interface Ruled {
  clause: Clause
  index: number
  /** Its condition as it stands while the call is judged. */
  when: Json | undefined
  /** Its rule sets the mark: its other actions are taken by it, not by its condition. */
  decided: boolean
  /** It fails the execution, or it must run its sinks although the call failed. */
  raises: boolean
}

/** Name in ctx that says which clause decided a call. */
export interface Mark {
  name: string
  /** The mark as an expression. */
  value: string
}

export function markOf(kind: 'case' | 'enter' | 'failed', step: string): Mark {
  const name = `_${kind}:${step}`
  return { name, value: `ctx[${JSON.stringify(name)}]` }
}

/** Clauses that are looked at when a call has ended, in order: those of the call, then those of the exit. */
export function ruledClauses(clauses: Clause[]): Ruled[] {
  const at = (moment: Clause['moment']) => clauses.filter((clause) => clause.moment === moment)
  const others = (clause: Clause) =>
    clauses.some(
      (other) => other !== clause && other.moment !== 'enter' && (actsAfter(other) || other.sinks.length > 0),
    )
  return [...at('call'), ...at('exit')].map((clause) => {
    const { fail, result, sinks } = clause
    const fails = fail !== undefined
    const raises = sinks.length > 0 && (fails || (result === undefined && looksAtError(clause.when)))
    const acts = actsAfter(clause) || sinks.length > 0 || others(clause)
    return {
      clause,
      index: clauses.indexOf(clause),
      when: clause.moment === 'exit' ? atEvent(clause.when, "'step.exit'") : clause.when,
      decided: fails || raises || (result !== undefined && acts),
      raises,
    }
  })
}

/** It does something once the call is told: all but rules and sinks. What comes with a rule is set by the rule. */
export function actsAfter({ collect, calls, next, set, setLate, retry, fail, result }: Clause): boolean {
  const ruled = retry !== undefined || fail !== undefined || result !== undefined
  if (Object.keys(setLate).length > 0) return true
  return collect.length > 0 || calls.length > 0 || next !== null || (!ruled && Object.keys(set).length > 0)
}

function looksAtError(when: Json | undefined): boolean {
  return typeof when === 'string' && /\berror\b/.test(when)
}

/** The rules that the clauses come to. */
export function rulesOf(ruled: Ruled[], mark: Mark, step: string, faults: Faults): Rule[] {
  const isRule = ({ clause, decided }: Ruled) =>
    decided || clause.retry !== undefined || clause.result !== undefined
  const last = ruled.findLastIndex(isRule)
  if (last < 0) return []
  // A mark that a call left must not stand for the next one; after a failure that nothing catches there is none.
  const resets = ruled.some(({ decided, raises, clause }) => decided && (raises || clause.fail === undefined))
  const reset: JsonObject = resets ? { [`ctx.${mark.name}`]: null } : {}
  const rules: Rule[] = []
  const exhausted: Rule[] = []
  for (const [i, one] of ruled.slice(0, last + 1).entries()) {
    const { clause, when } = one
    const decides = one.decided || clause.result !== undefined
    if (clause.retry !== undefined) {
      const [rule] = retryRule(clause, when, reset, faults)
      if (rule === undefined) continue
      // Where a clause behind it has something to say when the repeats are over, it is only a rule until then.
      if (!decides && !ruled.slice(i + 1, last + 1).some(isRule)) rules.push(rule)
      else {
        const bounded = allOf(rule.when, `{{ _attempt < ${numberIn(rule.attempts)} }}`)
        rules.push({ ...rule, when: bounded! })
        exhausted.push(rule)
      }
    }
    if (decides) rules.push(decidingRule(one, mark, step, reset))
    else if (clause.retry === undefined) rules.push(...neutralRules(when, reset))
  }
  return [...rules, ...exhausted, ...(resets ? neutralRules(undefined, reset) : [])]
}

/** The outcome stays as it is: an error fails, a result goes on. */
function neutralRules(when: Json | undefined, set: JsonObject): Rule[] {
  const failed = allOf(when, '{{ error is defined }}')!
  return [
    rule({ when: failed, do: 'fail', set }),
    rule({ ...(when === undefined ? {} : { when }), do: 'continue', set }),
  ]
}

function decidingRule(
  { clause, index, when, decided, raises }: Ruled,
  mark: Mark,
  step: string,
  reset: JsonObject,
): Rule {
  const { fail, result } = clause
  const condition = when === undefined ? {} : { when }
  const set = {
    ...clause.set,
    ...(decided && (raises || fail === undefined)
      ? { [`ctx.${mark.name}`]: markValue(clause, index, raises, step) }
      : reset),
    // Of several rounds at once another may come after this one, so that the failure has a mark of its own.
    ...(fail !== undefined ? { [`ctx.${markOf('failed', step).name}`]: true } : {}),
  }
  if (raises || fail === undefined) {
    return rule({
      ...condition,
      do: 'continue',
      set,
      ...(result === undefined ? {} : { result: result.from }),
    })
  }
  return rule({ ...condition, do: 'fail', set, ...(fail.message === null ? {} : { message: fail.message }) })
}

/** Which clause it was, and what its other actions take from the result before a rule changes it. */
function markValue(
  { collect, calls, next, fail }: Clause,
  index: number,
  raises: boolean,
  step: string,
): JsonObject {
  // What is late is taken from the result as it is then.
  const args = [...calls, ...(next ?? [])].map((target) => (target.late ? {} : target.args))
  const message = `'a case of step ${step.replace(/[\\']/g, '')} says fail'`
  const raise: Json =
    fail === undefined
      ? "{{ {'message': error.message} if error is defined else none }}"
      : { message: fail.message ?? `{{ error.message if error is defined else ${message} }}` }
  return {
    clause: index,
    ...(collect.length > 0 ? { collect: collect.map(({ from, late }) => (late ? null : from)) } : {}),
    ...(args.some((given) => Object.keys(given).length > 0) ? { args } : {}),
    ...(raises ? { raise } : {}),
  }
}

function retryRule(clause: Clause, when: Json | undefined, reset: JsonObject, faults: Faults): Rule[] {
  const { value, path } = clause.retry!
  const given = isObject(value) ? value : typeof value === 'number' ? { max_attempts: value } : {}
  const { backoff = 'none', delay, initial_delay } = given
  const then: JsonObject = {
    do: 'retry',
    attempts: given.max_attempts ?? given.attempts ?? 3,
    delay: delay ?? initial_delay ?? 1,
    // A number is what each wait is multiplied by.
    backoff: typeof backoff === 'number' ? (backoff > 1 ? 'exponential' : 'fixed') : backoff,
    set: { ...clause.set, ...reset },
  }
  const condition = allOf(when, given.when ?? undefined)
  return readRules(
    [{ ...(condition === undefined ? {} : { when: condition }), then }],
    path.slice(0, -1),
    faults,
  )
}

function numberIn(value: Json): string {
  if (typeof value !== 'string') return String(numberOf(value) || 3)
  return `((${soleExpression(value) ?? JSON.stringify(value)}) | int(3))`
}

function rule(fields: Pick<Rule, 'do' | 'set'> & Partial<Rule>): Rule {
  return { attempts: 3, delay: 1, backoff: 'none', ...fields }
}

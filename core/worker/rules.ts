import { type CallError, makeCallError } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Rule, Task } from '../schemas/playbook.ts'
import { compileCondition, compileTemplate, type Scope } from '../template/template.ts'
import type { CallOutcome } from './call-tool.ts'

/** What the rules of a task say after one run of it. */
export type Verdict =
  | { do: 'next' | 'break'; set: JsonObject; result?: Json }
  | { do: 'jump'; to: string; set: JsonObject; result?: Json }
  | { do: 'retry'; afterSeconds: number; set: JsonObject }
  | { do: 'fail'; error: CallError; set: JsonObject }

/** A wait longer than this is a mistake. */
const MAX_WAIT_SECONDS = 3600

/** The first rule that matches decides; with none, an ok goes on and an error fails. */
export function judge(task: Task, outcome: CallOutcome, run: number, scope: Scope): Verdict {
  const rule = task.rules.find(
    (candidate) => candidate.when === undefined || compileCondition(candidate.when).test(scope),
  )
  if (rule === undefined) {
    return outcome.error === null ? { do: 'next', set: {} } : { do: 'fail', error: outcome.error, set: {} }
  }
  const set = compileTemplate(rule.set).render(scope) as JsonObject
  const result = rule.result === undefined ? {} : { result: compileTemplate(rule.result).render(scope) }
  switch (rule.do) {
    case 'continue':
      return { do: 'next', set, ...result }
    case 'break':
      return { do: 'break', set, ...result }
    case 'jump':
      return { do: 'jump', to: rule.to ?? '', set, ...result }
    case 'fail':
      return { do: 'fail', error: failure(task, outcome, rule, scope), set }
    case 'retry': {
      const attempts = numberOf(rule.attempts, scope, 3)
      if (run >= attempts) return { do: 'fail', error: exhausted(task, outcome, run), set }
      return { do: 'retry', afterSeconds: waitOf(rule, outcome, run, scope), set }
    }
  }
  rule.do satisfies never
}

function waitOf(rule: Rule, outcome: CallOutcome, run: number, scope: Scope): number {
  const delay = Math.max(0, numberOf(rule.delay, scope, 1))
  const factor = rule.backoff === 'linear' ? run : rule.backoff === 'exponential' ? 2 ** (run - 1) : 1
  return Math.min(MAX_WAIT_SECONDS, Math.max(delay * factor, outcome.error?.retry_after ?? 0))
}

function numberOf(written: Json, scope: Scope, otherwise: number): number {
  const value = typeof written === 'string' ? compileTemplate(written).render(scope) : written
  const number = typeof value === 'string' && value.trim() === '' ? Number.NaN : Number(value)
  return Number.isFinite(number) && !isObject(value) && value !== null ? number : otherwise
}

function failure(task: Task, outcome: CallOutcome, rule: Rule, scope: Scope): CallError {
  const text = rule.message === undefined ? undefined : compileTemplate(rule.message).renderText(scope)
  if (outcome.error !== null) return text === undefined ? outcome.error : { ...outcome.error, message: text }
  return makeCallError({ kind: 'tool_error', message: text ?? `a rule of "${task.label}" says fail` })
}

function exhausted(task: Task, outcome: CallOutcome, run: number): CallError {
  const runs = `${run} ${run === 1 ? 'run' : 'runs'}`
  if (outcome.error === null) {
    return makeCallError({
      kind: 'tool_error',
      message: `"${task.label}" was not as its rule wants it after ${runs}`,
    })
  }
  return { ...outcome.error, message: `${outcome.error.message} (after ${runs})` }
}

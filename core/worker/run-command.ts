import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type CallError, type LeasedCommand, makeCallError, type Outcome } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Task } from '../schemas/playbook.ts'
import { lay, put } from '../schemas/put.ts'
import { errorEnvelope } from '../template/output.ts'
import { compileCondition, compileTemplate } from '../template/template.ts'
import type { Credential, ToolLog } from '../tools/define.ts'
import type { ToolRegistry } from '../tools/registry.ts'
import { type Called, callTask, namesAfter, outputAfter, problemOf } from './call-task.ts'
import type { CallOutcome } from './call-tool.ts'
import { judge, type Verdict } from './rules.ts'
import { runFrame } from './run-frame.ts'
import { makeStepScope, type StepScope } from './step-scope.ts'

/**
 * Runs a command: its body, or for a frame of rows the body once for each. Rejects only with the signal's reason.
 */
export function runCommand(command: LeasedCommand, around: Surroundings): Promise<Outcome> {
  return command.frame === null ? runBody(command, around) : runFrame(command, command.frame, around)
}

/**
 * A rule that repeats a call after so long or longer ends the command: its slot is free meanwhile, the delay is
 * held in Postgres, and another command goes on.
 */
const LEAVE_SECONDS = 5

/** Calls that one command makes, jumps included, before it counts as endless. */
const MAX_CALLS = 100_000

export interface Surroundings {
  tools: ToolRegistry
  log: Logger
  signal: AbortSignal
  /** What tools log, kept for who looks at the execution; absent: `log`. */
  toolLog?: ToolLog
  /** Of the command's span. */
  traceparent?: string
  credentials(alias: string): Promise<Credential>
  /** Values of the keychain entries that the command names, by entry; those that cannot be had are left out. */
  keychain(command: LeasedCommand): Promise<JsonObject>
  now(): string
}

/** What the items of a pipeline left behind. */
interface Left {
  label: string
  result: Json
  /** It failed, and a rule let it pass. */
  passed: boolean
  /** It gave an object, which is part of the merge; an envelope around nothing is not. */
  merges: boolean
}

/** Where a body is: all that goes on with it when it has waited for another execution. */
interface Progress {
  /** Index of the task. */
  at: number
  /** Which run of this call it is under a retry rule; 0: none yet. */
  run: number
  /** How often each task was begun. */
  visits: Record<string, number>
  left: Left[]
  calls: number
}

/**
 * Runs the body of a command: its tools in order, each with its rules. Every end but an abort, a template that cannot be evaluated included, is an outcome. A tool that waits for
 * another execution ends the command; `resume` of a later command goes on from there.
 */
export async function runBody(
  command: LeasedCommand,
  around: Surroundings,
  mayLeave = true,
): Promise<Outcome> {
  const { tasks, pipeline } = command.body
  const keychain = command.context.keychain.length === 0 ? {} : await around.keychain(command)
  const scope = makeStepScope(command, { now: around.now, keychain })
  const startedAt = performance.now()
  const progress = progressOf(command)
  const { left } = progress
  let resumed = command.resume?.outcome ?? null
  let error: CallError | null = null
  let facets: JsonObject = {}
  const outcome = () => ({
    result: pipeline ? merge(left, tasks.length) : (left.at(-1)?.result ?? null),
    set: scope.assigned,
    ...(Object.keys(scope.step).length === 0 ? {} : { step: scope.step }),
    meta: {
      duration_ms: Math.round((performance.now() - startedAt) * 1000) / 1000,
      calls: progress.calls,
      facets,
    },
  })
  while (progress.at < tasks.length && error === null) {
    const task = tasks[progress.at]!
    if (progress.run === 0) {
      const passed = passedOver(task, scope)
      if (passed === true) {
        progress.at += 1
        continue
      }
      if (passed !== false) {
        error = passed
        break
      }
      put(progress.visits, task.label, visitsOf(progress, task.label) + 1)
    }
    let verdict: Verdict
    let last: CallOutcome
    for (;;) {
      around.signal.throwIfAborted()
      let called: Called
      if (resumed !== null) {
        called = { ...resumed, facets: {}, durationMs: 0 }
        resumed = null
      } else {
        progress.run += 1
        progress.calls += 1
        const place = { ...placeOfCall(progress, task), scope, around }
        called = (await askProbe(command, task, place)) ?? (await callTask(command, task, place))
      }
      if ('child' in called) {
        const resume = { ...progress, scope: scope.save() } as unknown as JsonObject
        return { ...outcome(), status: 'waiting', error: null, child: called.child, resume }
      }
      last = called
      verdict = judged(command.step, task, last, progress.run, scope, around)
      facets = task.aside ? facets : last.facets
      if (verdict.do !== 'retry') break
      around.log.info(
        {
          step: command.step,
          task: task.label,
          run: progress.run,
          after_s: verdict.afterSeconds,
          why: last.error?.message,
        },
        'a call is repeated by rule',
      )
      const tooLarge = assigned(scope, verdict.set)
      if (tooLarge !== null) {
        verdict = { do: 'fail', error: tooLarge, set: {} }
        break
      }
      if (mayLeave && verdict.afterSeconds >= LEAVE_SECONDS) {
        const resume = { ...progress, scope: scope.save() } as unknown as JsonObject
        const { afterSeconds: delay_seconds } = verdict
        return { ...outcome(), status: 'retrying', error: last.error, delay_seconds, resume }
      }
      await wait(verdict.afterSeconds * 1000, undefined, { signal: around.signal }).catch(() =>
        around.signal.throwIfAborted(),
      )
    }
    const passed = last.error !== null && verdict.do !== 'fail'
    const plain = verdict.do === 'fail' || !('result' in verdict) ? last.result : (verdict.result ?? null)
    const result = passed ? errorEnvelope(plain, last.error!) : plain
    if (!task.aside) {
      const own = verdict.do === 'fail' ? plain : result
      left.push({ label: task.label, result: own, passed, merges: isObject(plain) })
    }
    const { run } = progress
    progress.run = 0
    if (verdict.do === 'fail') {
      error = assigned(scope, verdict.set) ?? verdict.error
      break
    }
    error = finish(task, result, verdict, { last, scope, run, step: command.step })
    if (error !== null || verdict.do === 'break') break
    if (progress.calls >= MAX_CALLS) {
      error = makeCallError({
        kind: 'tool_error',
        message: `"jump" went on for ${MAX_CALLS} calls without an end`,
      })
      break
    }
    progress.at = verdict.do === 'jump' ? placeOf(verdict.to, progress.at, tasks) : progress.at + 1
  }
  return error === null ? { ...outcome(), status: 'ok', error } : { ...outcome(), status: 'error', error }
}

/**
 * What a task's probe knows of a run of it that was begun before and not heard of again: the result that it had,
 * or nothing. A probe gives `{done: true, result?}` or anything else.
 */
async function askProbe(
  command: LeasedCommand,
  task: Task,
  place: Parameters<typeof callTask>[2],
): Promise<CallOutcome | undefined> {
  if (task.probe === undefined || command.attempt === 1) return undefined
  const probed = await callTask(command, task.probe, place)
  if ('child' in probed) return undefined
  if (probed.error !== null) return probed
  const told = probed.result
  if (!isObject(told) || told.done !== true) return undefined
  return { ...probed, result: told.result ?? told }
}

function progressOf({ resume }: LeasedCommand): Progress {
  const fresh: Progress = { at: 0, run: 0, visits: {}, left: [], calls: 0 }
  if (resume === null) return fresh
  const { scope: _scope, ...progress } = resume.state
  return { ...fresh, ...(progress as unknown as Partial<Progress>) }
}

function visitsOf({ visits }: Progress, label: string): number {
  return Object.hasOwn(visits, label) ? visits[label]! : 0
}

function placeOfCall(progress: Progress, { label }: Task): { run: number; visit: number } {
  return { run: progress.run, visit: visitsOf(progress, label) || 1 }
}

/** Whether a task's own condition keeps it from running; its error when that cannot be told. */
function passedOver(task: Task, scope: StepScope): boolean | CallError {
  if (task.when === undefined) return false
  try {
    return !compileCondition(task.when).test(scope.with(scope.latest()))
  } catch (problem) {
    return problemOf(problem)
  }
}

/** What a task's rules say to one run of it. */
function judged(
  step: string,
  task: Task,
  outcome: CallOutcome,
  run: number,
  scope: StepScope,
  around: Surroundings,
): Verdict {
  const names = namesAfter(step, task, outcome, run)
  scope.remember(names)
  try {
    return judge(task, outcome, run, scope.with(names))
  } catch (problem) {
    return { do: 'fail', error: problemOf(problem, around), set: {} }
  }
}

/** Applies what a rule sets; gives the error when ctx has no room for it. */
function assigned(scope: StepScope, set: JsonObject): CallError | null {
  try {
    scope.assign(set)
    return null
  } catch (problem) {
    return problemOf(problem)
  }
}

/** Applies the rule's `set`, then the tool's own, then binds the result. An error of its templates is returned. */
function finish(
  task: Task,
  result: Json,
  verdict: Verdict,
  about: { last: CallOutcome; scope: StepScope; run: number; step: string },
): CallError | null {
  const { last, scope, run, step } = about
  const tooLarge = assigned(scope, verdict.set)
  if (tooLarge !== null) return tooLarge
  const names = namesAfter(step, task, last, run)
  try {
    scope.assign(compileTemplate(task.set).render(scope.with(names)) as JsonObject)
  } catch (problem) {
    return problemOf(problem)
  }
  // Of a result that a rule put in the place of another the envelope is its own.
  if (!task.aside) {
    const replaced = 'result' in verdict ? { ...last, result: verdict.result ?? null } : last
    scope.bind(task.label, result, outputAfter(replaced, run))
  }
  return null
}

function placeOf(to: string, at: number, tasks: Task[]): number {
  if (to === 'previous' || to === '@previous') return Math.max(0, at - 1)
  const place = tasks.findIndex((task) => task.label === to)
  return place < 0 ? at + 1 : place
}

/**
 * The result of a pipeline: what its items gave as objects, merged in order, and each item under its own
 * name. Of items that failed and were let pass, the envelope is left out of the merge.
 */
function merge(left: Left[], items: number): Json {
  const only = left.at(-1)
  if (items === 1 && only !== undefined && !isObject(only.result)) return only.result
  const merged: JsonObject = {}
  const named: JsonObject = {}
  for (const { label, result, passed, merges } of left) {
    put(named, label, result)
    if (!merges || !isObject(result)) continue
    const { status, error, http, ...rest } = result
    lay(merged, passed ? rest : result)
  }
  return { ...merged, ...named }
}

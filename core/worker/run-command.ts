import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import { isNoetlError } from '../errors.ts'
import { type CallError, type LeasedCommand, makeCallError, type Outcome } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Task } from '../schemas/playbook.ts'
import { errorEnvelope, outputOf } from '../template/output.ts'
import { compileTemplate, type Scope, StepResult } from '../template/template.ts'
import type { Credential, ToolCall } from '../tools/define.ts'
import type { ToolRegistry } from '../tools/registry.ts'
import { type CallOutcome, callTool, fault } from './call-tool.ts'
import { judge, type Verdict } from './rules.ts'
import { makeStepScope, type StepScope } from './step-scope.ts'

/** Calls that one command makes, jumps included, before it counts as endless. */
const MAX_CALLS = 100_000

export interface Surroundings {
  tools: ToolRegistry
  log: Logger
  signal: AbortSignal
  credentials(alias: string): Promise<Credential>
  now(): string
}

/** What the items of a pipeline left behind. */
interface Left {
  label: string
  result: Json
  /** It failed, and a rule let it pass. */
  passed: boolean
}

/**
 * Runs the body of a command: its tools in order, each with its rules. Rejects only with the signal's
 * reason; every other end, a template that cannot be evaluated included, is an outcome.
 */
export async function runCommand(command: LeasedCommand, around: Surroundings): Promise<Outcome> {
  const { tasks, pipeline } = command.body
  const scope = makeStepScope(command, around.now)
  const startedAt = performance.now()
  const left: Left[] = []
  const visits = new Map<string, number>()
  let error: CallError | null = null
  let facets: JsonObject = {}
  let calls = 0
  for (let at = 0, visit = 0; at < tasks.length && error === null; ) {
    const task = tasks[at]!
    if (visit === 0) {
      visit = (visits.get(task.label) ?? 0) + 1
      visits.set(task.label, visit)
    }
    let run = 0
    let verdict: Verdict
    let last: CallOutcome
    for (;;) {
      run += 1
      calls += 1
      around.signal.throwIfAborted()
      ;({ outcome: last, verdict } = await runOnce(command, task, { run, visit, scope, around }))
      facets = last.facets
      if (verdict.do !== 'retry') break
      around.log.info(
        {
          step: command.step,
          task: task.label,
          run,
          after_s: verdict.afterSeconds,
          why: last.error?.message,
        },
        'a call is repeated by rule',
      )
      scope.assign(verdict.set)
      await wait(verdict.afterSeconds * 1000, undefined, { signal: around.signal }).catch(() =>
        around.signal.throwIfAborted(),
      )
    }
    const passed = last.error !== null && verdict.do !== 'fail'
    const result = passed ? errorEnvelope(last.result, last.error!) : last.result
    left.push({ label: task.label, result: verdict.do === 'fail' ? last.result : result, passed })
    visit = 0
    if (verdict.do === 'fail') {
      scope.assign(verdict.set)
      error = verdict.error
      break
    }
    error = finish(task, result, verdict, { last, scope, run, step: command.step })
    if (error !== null || verdict.do === 'break') break
    if (calls >= MAX_CALLS) {
      error = makeCallError({
        kind: 'tool_error',
        message: `"jump" went on for ${MAX_CALLS} calls without an end`,
      })
      break
    }
    at = verdict.do === 'jump' ? placeOf(verdict.to, at, tasks) : at + 1
  }
  const result = pipeline ? merge(left) : (left.at(-1)?.result ?? null)
  const meta = { duration_ms: Math.round((performance.now() - startedAt) * 1000) / 1000, calls, facets }
  const base = { result, set: scope.assigned, meta }
  return error === null ? { ...base, status: 'ok', error: null } : { ...base, status: 'error', error }
}

/** One call of a task's tool, and what its rules say to it. */
async function runOnce(
  command: LeasedCommand,
  task: Task,
  at: { run: number; visit: number; scope: StepScope; around: Surroundings },
): Promise<{ outcome: CallOutcome; verdict: Verdict }> {
  const { run, scope, around } = at
  const outcome = await callOnce(command, task, at)
  const rules = scope.with(namesAfter(command.step, task, outcome, run))
  try {
    return { outcome, verdict: judge(task, outcome, run, rules) }
  } catch (problem) {
    return { outcome, verdict: { do: 'fail', error: problemOf(problem, around), set: {} } }
  }
}

async function callOnce(
  command: LeasedCommand,
  task: Task,
  { run, visit, scope, around }: { run: number; visit: number; scope: StepScope; around: Surroundings },
): Promise<CallOutcome> {
  const loaded = around.tools.get(task.kind)
  if (loaded === undefined) {
    const kinds = around.tools.kinds().join(', ')
    return {
      result: null,
      error: fault('NOETL_ERR_TOOL_UNKNOWN', [task.kind, kinds], 'unknown'),
      facets: {},
      durationMs: 0,
    }
  }
  let fields: JsonObject
  try {
    fields = renderFields(
      command,
      task,
      scope.with({ _task: task.label, _attempt: run }),
      loaded.tool.textFields ?? [],
    )
  } catch (problem) {
    return { result: null, error: problemOf(problem, around), facets: {}, durationMs: 0 }
  }
  const call: ToolCall = {
    signal: around.signal,
    log: around.log,
    attempt: run,
    idempotencyKey: `${command.command_id}-${task.label}-${visit}`,
    executionId: command.execution_id,
    step: command.step,
    credentials: around.credentials,
    context: scope.all,
  }
  return callTool(loaded, fields, call, around.log)
}

/** The tool's fields with their templates evaluated; arguments of step, task and arc under `input`. */
function renderFields(
  command: LeasedCommand,
  task: Task,
  scope: Scope,
  textFields: readonly string[],
): JsonObject {
  const input: JsonObject = {
    ...(compileTemplate(command.body.input).render(scope) as JsonObject),
    ...(compileTemplate(task.input).render(scope) as JsonObject),
    ...command.args,
  }
  // Arguments are visible to the other fields: under `args` and `input`, and bare where nothing else has the name.
  const inner: Scope = {
    lookup(name) {
      if (name === 'args' || name === 'input') return input
      const value = scope.lookup(name)
      return value === undefined && Object.hasOwn(input, name) ? input[name] : value
    },
  }
  const fields: JsonObject = { input }
  for (const [key, value] of Object.entries(task.config)) {
    const text = textFields.includes(key)
    if (text && typeof value === 'string') fields[key] = compileTemplate(value).renderText(inner)
    else if (text && Array.isArray(value)) fields[key] = value.map((part) => renderPart(part, inner))
    else fields[key] = compileTemplate(value).render(inner)
  }
  return fields
}

function renderPart(part: Json, scope: Scope): Json {
  return typeof part === 'string'
    ? compileTemplate(part).renderText(scope)
    : compileTemplate(part).render(scope)
}

function namesAfter(step: string, task: Task, outcome: CallOutcome, run: number): Record<string, unknown> {
  const { result, error, facets, durationMs } = outcome
  const output = outputOf({ result, error, facets, meta: { attempt: run, duration_ms: durationMs } })
  const own = new StepResult(error === null ? result : errorEnvelope(result, error))
  return {
    output,
    outcome: output,
    result: own,
    response: own,
    [step]: own,
    [task.label]: own,
    _prev: own,
    _task: task.label,
    _attempt: run,
    ...(error === null ? {} : { error }),
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
  scope.assign(verdict.set)
  try {
    scope.assign(
      compileTemplate(task.set).render(scope.with(namesAfter(step, task, last, run))) as JsonObject,
    )
  } catch (problem) {
    return problemOf(problem)
  }
  scope.bind(task.label, result)
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
function merge(left: Left[]): Json {
  const [only] = left
  if (left.length === 1 && only !== undefined && !isObject(only.result)) return only.result
  const merged: JsonObject = {}
  const named: JsonObject = {}
  for (const { label, result, passed } of left) {
    named[label] = result
    if (!isObject(result)) continue
    const { status, error, http, ...rest } = result
    Object.assign(merged, passed ? rest : result)
  }
  return { ...merged, ...named }
}

function problemOf(problem: unknown, around?: Surroundings): CallError {
  if (isNoetlError(problem)) {
    const kind = problem.code.startsWith('NOETL_ERR_TEMPLATE') ? 'transform' : 'unknown'
    return makeCallError({ kind, message: problem.message, code: problem.code })
  }
  around?.log.error({ err: problem }, 'a step failed in a way that it should not')
  return fault(
    'NOETL_ERR_INTERNAL',
    [problem instanceof Error ? problem.message : String(problem)],
    'unknown',
  )
}

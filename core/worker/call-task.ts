import { randomBytes } from 'node:crypto'
import { publish } from '../channels.ts'
import { isNoetlError, makeError } from '../errors.ts'
import { type CallError, type Child, type LeasedCommand, makeCallError } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Task } from '../schemas/playbook.ts'
import { installHint } from '../schemas/plugin-packages.ts'
import { put } from '../schemas/put.ts'
import { withSpan } from '../schemas/trace.ts'
import { TOKENS } from '../template/calls.ts'
import { errorEnvelope, outputOf } from '../template/output.ts'
import { compileTemplate, type Scope, StepResult } from '../template/template.ts'
import { type ToolCall, ToolError } from '../tools/define.ts'
import { type CallOutcome, callTool, fault } from './call-tool.ts'
import { readChild } from './child.ts'
import type { Surroundings } from './run-command.ts'
import type { StepScope } from './step-scope.ts'
import { makeTokens, type Tokens, TokenWanted } from './tokens.ts'

/** What a call came to; or the execution that is to be waited for. */
export type Called = CallOutcome | { child: Child }

/** One call of a task's tool: finds it, renders its fields, runs it. */
export async function callTask(
  command: LeasedCommand,
  task: Task,
  at: { run: number; visit: number; scope: StepScope; around: Surroundings },
): Promise<Called> {
  const { run, visit, scope, around } = at
  const loaded = around.tools.get(task.kind)
  if (loaded === undefined && task.kind !== 'playbook') {
    const kinds = `${around.tools.kinds().join(', ')}${installHint(task.kind)}`
    return failed(fault('NOETL_ERR_TOOL_UNKNOWN', [task.kind, kinds], 'unknown'))
  }
  let fields: JsonObject
  try {
    fields = await renderWithTokens(scope, around, (tokens) =>
      renderFields(
        command,
        task,
        scope.with({ _task: task.label, _attempt: run, [TOKENS]: tokens }),
        loaded?.tool.textFields ?? [],
      ),
    )
  } catch (problem) {
    return failed(problemOf(problem, around))
  }
  if (loaded === undefined) {
    const child = readChild(fields)
    return 'child' in child ? child : failed(child.error)
  }
  const traced = around.traceparent && withSpan(around.traceparent, randomBytes(8).toString('hex'))
  const call: ToolCall = {
    signal: around.signal,
    log: around.toolLog ?? around.log,
    attempt: run,
    idempotencyKey: keyOf(command, task, visit),
    executionId: command.execution_id,
    step: command.step,
    ...(traced === undefined ? {} : { traceparent: traced }),
    credentials: around.credentials,
    context: scope.all,
  }
  const outcome = await callTool(loaded, fields, call, around.log)
  publish('noetl:call', {
    execution_id: command.execution_id,
    ...{ command_id: command.command_id, step: command.step, task: task.label, kind: task.kind },
    ...(outcome.error === null ? { status: 'ok' } : { status: 'error', error: outcome.error.kind }),
    seconds: outcome.durationMs / 1000,
    ...(traced === undefined ? {} : { traceparent: traced, parent_span: around.traceparent!.slice(36, 52) }),
  })
  return task.rows && outcome.error === null ? { ...outcome, result: rowsOf(outcome.result) } : outcome
}

/** One call of a step run has one key, whatever command makes it and however often. */
function keyOf({ run_id, iteration }: LeasedCommand, { label }: Task, visit: number): string {
  return [run_id, ...(iteration === null ? [] : [iteration.index]), label, visit].join('-')
}

function failed(error: CallError): CallOutcome {
  return { result: null, error, facets: {}, durationMs: 0 }
}

/** The first generation's result of SQL: the rows of the last statement, or how many it changed. */
function rowsOf(result: Json): Json {
  if (!isObject(result) || !Array.isArray(result.rows)) return result
  const columns = Array.isArray(result.columns) ? result.columns : []
  if (result.rows.length > 0 || columns.length > 0) return result.rows
  return { status: 'ok', rowcount: result.row_count ?? result.affected_rows ?? 0 }
}

/** Tokens of one tool's fields, at most. */
const MAX_TOKENS = 20

/** Renders, and once more for each token that is asked for and must be had first. */
async function renderWithTokens(
  scope: StepScope,
  around: Surroundings,
  render: (tokens: Tokens['get']) => JsonObject,
): Promise<JsonObject> {
  const keychain = scope.with({}).lookup('keychain')
  const tokens = makeTokens(isObject(keychain) ? keychain : {}, around)
  for (let fetched = 0; ; fetched++) {
    try {
      return render(tokens.get)
    } catch (problem) {
      if (!(problem instanceof TokenWanted) || fetched >= MAX_TOKENS) throw problem
      await tokens.fetch(problem)
    }
  }
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
    if (text && typeof value === 'string') put(fields, key, compileTemplate(value).renderText(inner))
    else if (text && Array.isArray(value))
      put(
        fields,
        key,
        value.map((part) => renderPart(part, inner)),
      )
    else put(fields, key, compileTemplate(value).render(inner))
  }
  // A step that asks for a credential must not go on without one, to whatever is there by default.
  const { auth } = task.config
  if (typeof auth === 'string' && auth.includes('{{') && (fields.auth === null || fields.auth === '')) {
    throw makeError('NOETL_ERR_CREDENTIAL_EMPTY', [auth])
  }
  return fields
}

function renderPart(part: Json, scope: Scope): Json {
  return typeof part === 'string'
    ? compileTemplate(part).renderText(scope)
    : compileTemplate(part).render(scope)
}

/** The envelope of one run of a call. */
export function outputAfter({ result, error, facets, durationMs }: CallOutcome, run: number): JsonObject {
  return outputOf({ result, error, facets, meta: { attempt: run, duration_ms: durationMs } })
}

/** Names that rules and `set` see once a call has ended. */
export function namesAfter(
  step: string,
  task: Task,
  outcome: CallOutcome,
  run: number,
): Record<string, unknown> {
  const { result, error } = outcome
  const output = outputAfter(outcome, run)
  const own = new StepResult(error === null ? result : errorEnvelope(result, error))
  return {
    output,
    outcome: output,
    result: own,
    response: own,
    event: {
      name: error === null ? 'call.done' : 'call.error',
      step,
      timestamp: new Date().toISOString(),
      payload: { result, error: error as unknown as Json },
    },
    [step]: own,
    [task.label]: own,
    _prev: own,
    _task: task.label,
    _attempt: run,
    ...(error === null ? {} : { error }),
  }
}

/** An error of the gateway as that of a call; anything else is a bug, and logged. */
export function problemOf(problem: unknown, around?: Surroundings): CallError {
  if (problem instanceof ToolError) return problem.toCallError()
  if (isNoetlError(problem)) {
    const kind = problem.code.startsWith('NOETL_ERR_TEMPLATE')
      ? 'transform'
      : problem.code === 'NOETL_ERR_CREDENTIAL_EMPTY'
        ? 'auth'
        : 'unknown'
    return makeCallError({ kind, message: problem.message, code: problem.code })
  }
  around?.log.error({ err: problem }, 'a step failed in a way that it should not')
  return fault(
    'NOETL_ERR_INTERNAL',
    [problem instanceof Error ? problem.message : String(problem)],
    'unknown',
  )
}

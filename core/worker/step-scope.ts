import { boundCtx } from '../ctx-limits.ts'
import type { CallError, CommandContext, LeasedCommand } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { lay, put } from '../schemas/put.ts'
import { roughBytes } from '../schemas/rough-bytes.ts'
import { outputOf } from '../template/output.ts'
import { makeScope } from '../template/scope.ts'
import { type Scope, StepResult } from '../template/template.ts'

/** Names that templates of one command see, and the values that `set` gave them so far. */
export interface StepScope {
  /** The scope with names of the moment laid over. */
  with(extras: Readonly<Record<string, unknown>>): Scope
  /** Applies rendered `set` values to their scopes, all or, when ctx has no room for them, none: then it throws. */
  assign(values: JsonObject): void
  /** Binds the result of a pipeline's item to its label and to `_prev`, and its envelope for what is aside. */
  bind(label: string, result: Json, output: JsonObject): void
  /** Keeps the names that the last call left, for the condition of the task after it. */
  remember(names: Readonly<Record<string, unknown>>): void
  /** Those names; before any call, none. */
  latest(): Readonly<Record<string, unknown>>
  /** `ctx` values assigned so far: they go back with the report. */
  readonly assigned: JsonObject
  /** `step.*` values assigned so far. */
  readonly step: JsonObject
  /** Everything by name, for code that looks at it whole. */
  all(): JsonObject
  /** What was bound and assigned so far, for the command that goes on after a wait. */
  save(): JsonObject
}

export function makeStepScope(
  command: LeasedCommand,
  around: { now: () => string; keychain: JsonObject },
): StepScope {
  const { context, iteration, body } = command
  const saved = command.resume?.state.scope as { [part: string]: JsonObject } | undefined
  const ctx: JsonObject = { ...context.ctx, ...saved?.assigned }
  const assigned: JsonObject = { ...saved?.assigned }
  const bound: Record<string, unknown> = { ...saved?.bare }
  const results: JsonObject = {}
  const outputs: JsonObject = {}
  const iter: JsonObject =
    iteration === null
      ? {}
      : {
          [iteration.iterator]: iteration.item,
          index: iteration.index,
          _index: iteration.index,
          _total: iteration.total,
        }
  lay(iter, saved?.iter)
  const perRun: JsonObject = { ...saved?.step }
  const bare: JsonObject = { ...saved?.bare }
  const looped: Record<string, unknown> =
    iteration === null
      ? {}
      : {
          item: iteration.item,
          loop_index: iteration.index,
          loop: {
            index: iteration.index,
            first: iteration.index === 0,
            last: iteration.index === iteration.total - 1,
            length: iteration.total,
          },
          [iteration.iterator]: iteration.item,
        }
  const names = {
    executionId: command.execution_id,
    parentExecutionId: command.parent_execution_id,
    ctxFirst: command.playbook.dialect === 'seed',
    workload: () => context.workload,
    ctxNames: () => Object.keys(ctx),
    ctx: (name: string) => (Object.hasOwn(ctx, name) ? ctx[name] : undefined),
    stepNames: () => [...new Set([...Object.keys(context.steps), ...Object.keys(context.stubs)])],
    step: (name: string) => stepResult(context, name),
    previous: () => {
      if (context.previous === undefined) return undefined
      const { previous, previous_stub: stub } = context
      return stub === null ? new StepResult(previous) : new StepResult(stub, () => previous)
    },
    now: around.now,
  }
  let latest: Readonly<Record<string, unknown>> = {}
  const scope: StepScope = {
    with: (extras) =>
      makeScope(names, {
        ...command.args,
        ...looped,
        iter,
        step: perRun,
        results,
        _outputs: outputs,
        keychain: around.keychain,
        ...bound,
        ...extras,
      }),
    assign(values) {
      // What is the execution's goes back with the report, and is held to what ctx takes.
      const ofCtx = Object.entries(values).filter(([key]) => {
        const [scope] = splitKey(key)
        return scope === 'ctx' || (scope === 'bare' && !body.pipeline)
      })
      boundCtx(Object.fromEntries(ofCtx), () => roughBytes(assigned))
      for (const [key, value] of Object.entries(values)) {
        const [scope, name] = splitKey(key)
        if (scope === 'iter') put(iter, name, value)
        else if (scope === 'step') put(perRun, name, value)
        else if (scope === 'bare') {
          put(bound, name, value)
          put(bare, name, value)
        }
        // A single tool has no pipeline in which a bare name could be used: it is the execution's.
        if (scope === 'ctx' || (scope === 'bare' && !body.pipeline)) {
          put(ctx, name, value)
          put(assigned, name, value)
        }
      }
    },
    bind(label, result, output) {
      put(outputs, label, output)
      outputs._prev = output
      put(results, label, result)
      put(bound, label, new StepResult(result))
      bound._prev = new StepResult(result)
    },
    remember(names) {
      latest = names
    },
    latest: () => latest,
    assigned,
    step: perRun,
    all: () => ({
      ...ctx,
      ...context.workload,
      ...context.steps,
      ...command.args,
      ...(iteration === null ? {} : { [iteration.iterator]: iteration.item, iter }),
      execution_id: command.execution_id,
      parent_execution_id: command.parent_execution_id,
      workload: context.workload,
      ctx,
      steps: context.steps,
      job: { uuid: command.execution_id, execution_id: command.execution_id, id: command.execution_id },
    }),
    save: () => ({
      assigned,
      bare,
      step: perRun,
      iter: Object.fromEntries(Object.entries(iter).filter(([name]) => !Object.hasOwn(looped, name))),
      results,
    }),
  }
  // In the order in which they were bound: the last is what `_prev` names.
  for (const [label, result] of Object.entries(saved?.results ?? {}))
    scope.bind(label, result, envelopeOf(result))
  lay(bound, saved?.bare)
  return scope
}

/** What is known after a wait of the call that gave a result: whether it failed, and with what. */
function envelopeOf(result: Json): JsonObject {
  const failed = isObject(result) && result.status === 'error' && isObject(result.error)
  const error = failed ? (result.error as unknown as CallError) : null
  return outputOf({ result, error, facets: {}, meta: {} })
}

function stepResult({ steps, stubs }: CommandContext, name: string): StepResult | undefined {
  if (Object.hasOwn(stubs, name)) return new StepResult(stubs[name]!, () => steps[name] ?? null)
  return Object.hasOwn(steps, name) ? new StepResult(steps[name]!) : undefined
}

function splitKey(key: string): ['ctx' | 'iter' | 'step' | 'bare', string] {
  const dot = key.indexOf('.')
  const scope = dot < 0 ? '' : key.slice(0, dot)
  const name = key.slice(dot + 1)
  if (scope === 'ctx' || scope === 'vars') return ['ctx', name]
  if (scope === 'iter' || scope === 'step') return [scope, name]
  return ['bare', key]
}

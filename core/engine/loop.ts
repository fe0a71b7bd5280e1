import type { CallError } from '../schemas/command.ts'
import type { LoopRun } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { loopResult } from '../store/results.ts'
import { externalise, INLINE_BYTES, loopStub } from './aside.ts'
import { issueCommand, tellReaction } from './enter.ts'
import type { StepPlan } from './plan.ts'
import { failureOf } from './problem.ts'
import { react } from './react.ts'
import { type CallFacts, finishStep, isStopped, namesAfter } from './route.ts'
import type { Turn } from './turn.ts'

/** Begins a loop: the list is taken now, once, and kept in the `loop.started` event. */
export function startLoop(turn: Turn, planned: StepPlan, items: Json[], meta: JsonObject): void {
  const id = turn.env.newId(turn.state.last)
  turn.tell({
    event_type: 'loop.started',
    event_id: id,
    node_id: id,
    node_name: planned.step.name,
    node_type: 'loop',
    context: { items },
    meta: {
      total: items.length,
      mode: planned.step.loop!.cursor === undefined ? planned.step.loop!.mode : 'cursor',
      ...meta,
    },
  })
  continueLoop(turn, id)
}

/** Issues what fits into the window, or ends the loop when nothing is under way and nothing is to come. */
export function continueLoop(turn: Turn, runId: string): void {
  const run = turn.state.runs[runId]!
  const planned = turn.plan.step(run.step)
  if (run.loop === undefined || planned === undefined) return
  const { mode, cursor } = planned.step.loop!
  const maxInFlight = run.loop.inFlight ?? Number(planned.step.loop!.maxInFlight)
  const total = cursor === undefined ? run.loop.total : run.loop.dry ? 0 : Number.POSITIVE_INFINITY
  const stopped = isStopped(turn) || (mode === 'sequential' && run.loop.error !== undefined)
  let open = Object.keys(run.open).length
  if (!stopped) {
    for (let index = run.loop.issued; index < total && open < maxInFlight; index++, open++) {
      const { previous, args } = run
      issueCommand(turn, planned, {
        run: { id: runId, index },
        ...(previous === undefined ? {} : { previous }),
        ...(args === undefined ? {} : { args }),
      })
    }
  }
  if (open === 0) endLoop(turn, runId, run.loop, run.loop.error ?? null)
}

function endLoop(turn: Turn, runId: string, loop: LoopRun, error: CallError | null): void {
  const { step } = turn.state.runs[runId]!
  const last = turn.plan.step(step)?.step.loopResult === 'last'
  const event_id = turn.env.newId(turn.state.last)
  const telling = {
    event_id,
    event_type: 'loop.done',
    node_id: runId,
    node_name: step,
    node_type: 'loop',
    status: error === null ? 'ok' : 'error',
  } as const
  const { executionId } = turn.known
  if (last) {
    const result = turn.iterations(runId).at(-1)?.result ?? null
    const { near, stored } = externalise(result, { executionId, eventId: event_id, step, select: [] })
    if (stored !== undefined) turn.stored.push(stored)
    turn.tell({
      ...telling,
      result: near,
      ...(stored === undefined ? {} : { meta: { stored: stored.store } }),
    })
  } else {
    const { failed, bytes, rows } = loop
    const stats = { total: rows ?? loop.total, success: (rows ?? loop.done) - failed, failed }
    const frames: JsonObject = rows === undefined ? {} : { frames: true }
    if (2 * bytes > INLINE_BYTES) {
      // The list of results would be stored twice: here, and in the events of the iterations.
      const result = loopStub(stats, { executionId, eventId: event_id, step, bytes: 2 * bytes })
      turn.tell({ ...telling, result, meta: { stored: 'loop', ...frames } })
    } else {
      const iterations = loop.done === 0 ? [] : turn.iterations(runId)
      turn.tell({ ...telling, result: loopResult(iterations, stats, rows !== undefined) })
    }
  }
  finishStep(turn, runId, error, { facets: {}, meta: {} })
}

/** Takes the reactions of a step to the end of one iteration. */
export function reactToIteration(
  turn: Turn,
  runId: string,
  call: { eventId: string; index: number | null; error: CallError | null; facts: CallFacts },
): void {
  const run = turn.state.runs[runId]!
  const planned = turn.plan.step(run.step)
  if (planned === undefined || run.loop === undefined) return
  const { index } = call
  for (const [reactions, event] of [
    [planned.onCall, call.error === null ? 'call.done' : 'call.error'],
    [planned.onExit, 'step.exit'],
  ] as const) {
    if (reactions.length === 0) continue
    const { total } = run.loop
    const item = turn.items(run.loop.at)[index ?? 0] ?? null
    const names = namesAfter(planned, turn.result(call.eventId), call.error, {
      ...call.facts,
      event,
      at: turn.env.now,
      more: {
        ...run.args,
        [planned.step.loop!.iterator]: item,
        item,
        loop_index: index,
        loop: {
          index,
          first: index === 0,
          last: index === total - 1,
          length: total,
          done: index === total - 1,
        },
      },
    })
    try {
      const reacted = react(reactions, {
        from: run.step,
        previous: call.eventId,
        ctx: (name) => turn.ctx(name),
        scopeWith: (set) => turn.scope(names, { set, previous: call.eventId }),
      })
      if (reacted === undefined) continue
      turn.bound(reacted.set)
      tellReaction(turn, run.step, reacted)
    } catch (problem) {
      const error = failureOf(problem)
      turn.tell({
        event_type: 'ctx.updated',
        node_id: runId,
        node_name: run.step,
        status: 'error',
        ...(index === null ? {} : { current_index: index }),
        error: error as unknown as Json,
        // One that failed by itself is counted already.
        meta: { source: run.step, ...(call.error === null ? { failed: true } : {}) },
      })
      return
    }
  }
}

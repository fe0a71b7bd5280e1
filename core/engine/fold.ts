import type { CallError } from '../schemas/command.ts'
import type { Event } from '../schemas/event.ts'
import type { Run, State, Token, Value } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'
import type { Trace } from '../schemas/trace.ts'

/** Values longer than this, as JSON, are kept by the id of their event. In characters. */
const INLINE = 256

/** State of an execution of which nothing has happened yet. */
export const NOTHING: State = Object.freeze({ last: '0', ctx: {}, runs: {}, held: [], done: 0 })

/**
 * Parts of a state that whoever folds has made, and nobody else has seen: they are changed in place, for a turn of
 * hundreds of events over thousands of runs would do little else than copy.
 */
export type Own = WeakSet<object>

/**
 * The only way in which state changes: one event at a time, without looking at anything else. Hence the
 * events of an execution, folded in order, give its state.
 */
export function fold(state: State, event: Event): State {
  return foldOwn(state, event, new WeakSet())
}

/** The same, in which parts of the state that are in `own` are changed in place, and new ones are put there. */
export function foldOwn(state: State, event: Event, own: Own): State {
  const next: State = { ...state, last: event.event_id }
  const context = event.context ?? {}
  switch (event.event_type) {
    case 'playbook.started':
      next.held = addTokens(next.held, context.next, own)
      if (typeof event.meta?.depth === 'number') next.depth = event.meta.depth
      if (event.meta?.trace_context !== undefined) next.trace = event.meta.trace_context as unknown as Trace
      if (typeof event.meta?.lane === 'string') next.lane = event.meta.lane
      break
    case 'command.issued':
      delete next.idle
      enter(next, event, own)
      next.runs = changeRun(next, event, own, (run) => issue(run, event, own))
      break
    case 'loop.started':
      next.idle = (next.idle ?? 0) + 1
      enter(next, event, own)
      next.runs = changeRun(next, event, own, (run) => {
        run.loop = {
          at: event.event_id,
          total: Number(event.meta?.total ?? 0),
          issued: 0,
          done: 0,
          failed: 0,
          bytes: 0,
          ...(event.meta?.mode === 'cursor' ? { rows: 0 } : {}),
          ...(typeof event.meta?.max_in_flight === 'number' ? { inFlight: event.meta.max_in_flight } : {}),
        }
      })
      break
    case 'step.enter':
      if (event.meta?.command_id === undefined) {
        next.idle = (next.idle ?? 0) + 1
        enter(next, event, own)
      }
      break
    case 'step.skipped': {
      next.held = without(next.held, tokenFor(next.held, event), own)
      break
    }
    case 'ctx.updated':
      if (event.meta?.failed === true) next.runs = changeRun(next, event, own, (run) => failRound(run, event))
      next.held = addTokens(next.held, context.next, own)
      break
    case 'call.waiting':
      next.runs = changeRun(next, event, own, (run) => wait(run, event, own))
      break
    case 'call.retrying':
      next.runs = changeRun(next, event, own, (run) => leave(run, event, own))
      break
    case 'call.done':
    case 'call.error':
      next.runs = changeRun(next, event, own, (run) => settle(run, event, own))
      break
    case 'step.exit': {
      next.runs = mine(next.runs, own)
      delete next.runs[event.node_id ?? '']
      next.done += 1
      next.held = addTokens(next.held, context.next, own)
      if (event.meta?.recovers === true) delete next.failure
      if (event.status === 'error' && event.meta?.caught !== true && next.failure === undefined) {
        next.failure = { step: event.node_name ?? '', error: event.error as unknown as CallError }
      }
      break
    }
    case 'playbook.completed':
    case 'playbook.failed':
    case 'playbook.cancelled':
      next.held = []
      next.runs = {}
      break
  }
  if (event.meta?.final === true) next.final = true
  if (context.set !== undefined) next.ctx = setValues(next.ctx, context.set as JsonObject, event.event_id)
  if (Array.isArray(context.unset)) next.ctx = unsetValues(next.ctx, context.unset)
  return next
}

/** A part of a state that may be changed. */
function mine<T extends object>(part: T, own: Own): T {
  if (own.has(part)) return part
  const copy = { ...part }
  own.add(copy)
  return copy
}

function mineList<T>(part: T[], own: Own): T[] {
  if (own.has(part)) return part
  const copy = [...part]
  own.add(copy)
  return copy
}

/** A step run begins: its token is used up. */
function enter(next: State, event: Event, own: Own): void {
  const id = event.node_id ?? event.event_id
  if (next.runs[id] !== undefined) return
  const step = event.node_name ?? ''
  const token = tokenFor(next.held, event)
  next.held = without(next.held, token, own)
  const run: Run = { step, open: {} }
  own.add(run)
  own.add(run.open)
  if (token?.previous !== undefined) run.previous = token.previous
  if (token !== undefined && Object.keys(token.args).length > 0) run.args = token.args
  if (token?.lane !== undefined) run.lane = token.lane
  next.runs = mine(next.runs, own)
  next.runs[id] = run
}

/** The token that an event uses up. Of several for one step that are beside the flow, the oldest goes first. */
function tokenFor(held: Token[], event: Event): Token | undefined {
  const aside = event.meta?.aside === true
  return held.find((token) => token.step === event.node_name && (token.aside === true) === aside)
}

function without(held: Token[], token: Token | undefined, own: Own): Token[] {
  if (token === undefined) return held
  const tokens = mineList(held, own)
  tokens.splice(tokens.indexOf(token), 1)
  return tokens
}

function changeRun(state: State, event: Event, own: Own, change: (run: Run) => void): Record<string, Run> {
  const id = event.node_id ?? event.event_id
  const there = state.runs[id]
  if (there === undefined) return state.runs
  const runs = mine(state.runs, own)
  const run = mine(there, own)
  runs[id] = run
  change(run)
  return runs
}

function issue(run: Run, event: Event, own: Own): void {
  const index = event.current_index ?? null
  run.open = mine(run.open, own)
  const resumed = event.meta?.resumes
  delete run.open[String(resumed)]
  run.open[event.event_id] = index
  if (run.waits && resumed !== undefined) {
    run.waits = mine(run.waits, own)
    delete run.waits[String(resumed)]
  }
  if (run.loop && index !== null) run.loop = { ...run.loop, issued: Math.max(run.loop.issued, index + 1) }
}

/** The command is done with; an execution takes its place. */
function wait(run: Run, event: Event, own: Own): void {
  const id = String(event.meta?.child_execution_id)
  const command = String(event.meta?.command_id)
  const index = run.open[command] ?? null
  run.open = mine(run.open, own)
  delete run.open[command]
  run.open[id] = index
  run.waits = mine(run.waits ?? {}, own)
  run.waits[id] = event.event_id
}

/** The command is done with; another follows. */
function leave(run: Run, event: Event, own: Own): void {
  run.open = mine(run.open, own)
  delete run.open[String(event.meta?.command_id)]
}

function settle(run: Run, event: Event, own: Own): void {
  leave(run, event, own)
  // Of a parked iteration another command goes on when a person says so; it counts then.
  if (run.loop && event.meta?.parked !== true) {
    const failed = event.event_type === 'call.error'
    const { rows = 0, failed: failedRows } = (event.meta ?? {}) as { rows?: number; failed?: number }
    const before = run.loop
    run.loop = {
      ...before,
      done: before.done + 1,
      failed: before.failed + (failedRows ?? (failed ? 1 : 0)),
      ...(before.rows === undefined ? {} : { rows: before.rows + rows }),
      ...(before.rows !== undefined && (rows === 0 || before.dry) ? { dry: true as const } : {}),
      bytes: before.bytes + Number(event.meta?.bytes ?? 0),
    }
    if (failed && before.error === undefined) run.loop.error = event.error as unknown as CallError
  }
}

/** What follows from the end of an iteration could not be worked out: the iteration counts as failed. */
function failRound(run: Run, event: Event): void {
  if (run.loop === undefined) return
  run.loop = { ...run.loop, failed: Math.min(run.loop.done, run.loop.failed + 1) }
  run.loop.error ??= event.error as unknown as CallError
}

/** More tokens than this are looked up in an index of those that are held. */
const FEW = 8

/** Tokens for a step where one waits already become one with it: a join runs once. */
function addTokens(held: Token[], added: Json | undefined, own: Own): Token[] {
  const adding = (added ?? []) as unknown as Token[]
  if (adding.length === 0) return held
  const tokens = mineList(held, own)
  const places = adding.length > FEW ? placesOf(tokens) : undefined
  for (const token of adding) {
    const there = token.aside
      ? undefined
      : places === undefined
        ? tokens.findIndex(({ step, aside }) => step === token.step && !aside)
        : places.get(token.step)
    if (there === undefined || there < 0) {
      if (!token.aside) places?.set(token.step, tokens.length)
      tokens.push(token)
    } else {
      const { args, lane } = tokens[there]!
      tokens[there] = { ...(lane === undefined ? {} : { lane }), ...token, args: { ...args, ...token.args } }
    }
  }
  return tokens
}

function placesOf(tokens: Token[]): Map<string, number> {
  return new Map(tokens.flatMap(({ step, aside }, i) => (aside ? [] : [[step, i]])))
}

function setValues(ctx: State['ctx'], set: JsonObject, eventId: string): State['ctx'] {
  const next = { ...ctx }
  for (const [name, value] of Object.entries(set)) put(next, name, keep(value, eventId))
  return next
}

function unsetValues(ctx: State['ctx'], names: Json[]): State['ctx'] {
  return Object.fromEntries(Object.entries(ctx).filter(([name]) => !names.includes(name)))
}

function keep(value: Json, eventId: string): Value {
  const bytes =
    typeof value === 'string'
      ? value.length
      : typeof value !== 'object' || value === null
        ? 0
        : JSON.stringify(value).length
  return bytes <= INLINE ? { v: value } : { at: eventId, bytes }
}

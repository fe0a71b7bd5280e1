import type { CallError } from '../schemas/command.ts'
import type { Event } from '../schemas/event.ts'
import type { Run, State, Token, Value } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'

/** Values longer than this, as JSON, are kept by the id of their event. In characters. */
const INLINE = 256

/** State of an execution of which nothing has happened yet. */
export const NOTHING: State = Object.freeze({ last: '0', ctx: {}, runs: {}, held: [], done: 0 })

/**
 * The only way in which state changes: one event at a time, without looking at anything else. Hence the
 * events of an execution, folded in order, give its state.
 */
export function fold(state: State, event: Event): State {
  const next: State = { ...state, last: event.event_id }
  const context = event.context ?? {}
  switch (event.event_type) {
    case 'playbook.started':
      next.held = addTokens(next.held, context.next)
      if (typeof event.meta?.depth === 'number') next.depth = event.meta.depth
      break
    case 'command.issued':
      enter(next, event)
      next.runs = changeRun(next, event, (run) => issue(run, event))
      break
    case 'loop.started':
      enter(next, event)
      next.runs = changeRun(next, event, (run) => ({
        ...run,
        loop: {
          at: event.event_id,
          total: Number(event.meta?.total ?? 0),
          issued: 0,
          done: 0,
          failed: 0,
          bytes: 0,
          ...(event.meta?.mode === 'cursor' ? { rows: 0 } : {}),
        },
      }))
      break
    case 'step.enter':
      if (event.meta?.command_id === undefined) enter(next, event)
      break
    case 'step.skipped': {
      const token = tokenFor(next.held, event)
      next.held = next.held.filter((held) => held !== token)
      break
    }
    case 'ctx.updated':
      next.held = addTokens(next.held, context.next)
      break
    case 'call.waiting':
      next.runs = changeRun(next, event, (run) => wait(run, event))
      break
    case 'call.retrying':
      next.runs = changeRun(next, event, (run) => leave(run, event))
      break
    case 'call.done':
    case 'call.error':
      next.runs = changeRun(next, event, (run) => settle(run, event))
      break
    case 'step.exit': {
      const { [event.node_id ?? '']: _ended, ...rest } = next.runs
      next.runs = rest
      next.done += 1
      next.held = addTokens(next.held, context.next)
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

/** A step run begins: its token is used up. */
function enter(next: State, event: Event): void {
  const id = event.node_id ?? event.event_id
  if (next.runs[id] !== undefined) return
  const step = event.node_name ?? ''
  const token = tokenFor(next.held, event)
  next.held = next.held.filter((held) => held !== token)
  const run: Run = { step, open: {} }
  if (token?.previous !== undefined) run.previous = token.previous
  if (token !== undefined && Object.keys(token.args).length > 0) run.args = token.args
  next.runs = { ...next.runs, [id]: run }
}

/** The token that an event uses up. Of several for one step that are beside the flow, the oldest goes first. */
function tokenFor(held: Token[], event: Event): Token | undefined {
  const aside = event.meta?.aside === true
  return held.find((token) => token.step === event.node_name && (token.aside === true) === aside)
}

function changeRun(state: State, event: Event, change: (run: Run) => Run): Record<string, Run> {
  const id = event.node_id ?? event.event_id
  const run = state.runs[id]
  return run === undefined ? state.runs : { ...state.runs, [id]: change(run) }
}

function issue(run: Run, event: Event): Run {
  const index = event.current_index ?? null
  const { [String(event.meta?.resumes)]: _resumed, ...open } = run.open
  const next: Run = { ...run, open: { ...open, [event.event_id]: index } }
  if (next.waits && event.meta?.resumes !== undefined) {
    const { [String(event.meta.resumes)]: _ended, ...waits } = next.waits
    next.waits = waits
  }
  if (run.loop && index !== null) next.loop = { ...run.loop, issued: Math.max(run.loop.issued, index + 1) }
  return next
}

/** The command is done with; an execution takes its place. */
function wait(run: Run, event: Event): Run {
  const id = String(event.meta?.child_execution_id)
  const { [String(event.meta?.command_id)]: index = null, ...open } = run.open
  return { ...run, open: { ...open, [id]: index }, waits: { ...run.waits, [id]: event.event_id } }
}

/** The command is done with; another follows. */
function leave(run: Run, event: Event): Run {
  const { [String(event.meta?.command_id)]: _left, ...open } = run.open
  return { ...run, open }
}

function settle(run: Run, event: Event): Run {
  const { [String(event.meta?.command_id)]: _settled, ...open } = run.open
  const next: Run = { ...run, open }
  // Of a parked iteration another command goes on when a person says so; it counts then.
  if (run.loop && event.meta?.parked !== true) {
    const failed = event.event_type === 'call.error'
    const { rows = 0, failed: failedRows } = (event.meta ?? {}) as { rows?: number; failed?: number }
    next.loop = {
      ...run.loop,
      done: run.loop.done + 1,
      failed: run.loop.failed + (failedRows ?? (failed ? 1 : 0)),
      ...(run.loop.rows === undefined ? {} : { rows: run.loop.rows + rows }),
      ...(run.loop.rows !== undefined && (rows === 0 || run.loop.dry) ? { dry: true as const } : {}),
      bytes: run.loop.bytes + Number(event.meta?.bytes ?? 0),
    }
    if (failed && run.loop.error === undefined) next.loop.error = event.error as unknown as CallError
  }
  return next
}

/** Tokens for a step where one waits already become one with it: a join runs once. */
function addTokens(held: Token[], added: Json | undefined): Token[] {
  let tokens = held
  for (const token of (added ?? []) as unknown as Token[]) {
    const there = token.aside ? undefined : tokens.find((other) => other.step === token.step && !other.aside)
    tokens = there
      ? tokens.map((other) =>
          other === there ? { ...token, args: { ...there.args, ...token.args } } : other,
        )
      : [...tokens, token]
  }
  return tokens
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
  const small =
    typeof value === 'string'
      ? value.length <= INLINE
      : typeof value !== 'object' || value === null || JSON.stringify(value).length <= INLINE
  return small ? { v: value } : { at: eventId }
}

import { makeError } from '../errors.ts'
import type { Token } from '../schemas/execution.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { startLoop } from './loop.ts'
import type { StepPlan } from './plan.ts'
import { failureOf } from './problem.ts'
import { finishStep } from './route.ts'
import type { Turn } from './turn.ts'

const NO_FACTS = { facets: {}, meta: {} }

/** A token may go on: admits the step, then routes through it, starts its loop or issues its command. */
export function enterStep(turn: Turn, token: Token, options: { final?: true } = {}): void {
  const planned = turn.plan.step(token.step)
  if (planned === undefined) return
  const scopeOptions = token.previous === undefined ? {} : { previous: token.previous }
  const scope = turn.scope(token.args, scopeOptions)
  const final = options.final ? { final: true } : {}
  try {
    const refused = planned.admit.find((rule) => rule.when === undefined || rule.when().test(scope))
    if (refused?.allow === false) {
      turn.tell({ event_type: 'step.skipped', node_name: token.step, status: 'skipped', meta: final })
      return
    }
    const items =
      planned.step.loop === undefined ? undefined : itemsOf(planned, planned.loopIn().render(scope))
    if (items !== undefined) startLoop(turn, planned, items, final)
    else if (planned.step.tasks.length === 0) {
      const runId = turn.env.newId(turn.state.last)
      turn.tell({
        event_type: 'step.enter',
        event_id: runId,
        node_id: runId,
        node_name: token.step,
        meta: final,
      })
      finishStep(turn, runId, null, NO_FACTS)
    } else issueCommand(turn, planned, { final })
  } catch (problem) {
    const error = failureOf(problem)
    const runId = turn.env.newId(turn.state.last)
    turn.tell({
      event_type: 'step.enter',
      event_id: runId,
      node_id: runId,
      node_name: token.step,
      meta: final,
    })
    turn.tell({
      event_type: 'call.error',
      node_id: runId,
      node_name: token.step,
      status: 'error',
      error: error as unknown as Json,
    })
    finishStep(turn, runId, error, NO_FACTS)
  }
}

/** Issues a command of a step, or of one iteration of a run's loop. */
export function issueCommand(
  turn: Turn,
  planned: StepPlan,
  options: { run?: { id: string; previous?: string; args?: JsonObject; index: number }; final?: JsonObject },
): void {
  const { run } = options
  const id = turn.env.newId(turn.state.last)
  const token = turn.state.held.find((held) => held.step === planned.step.name)
  const args = run?.args ?? token?.args ?? {}
  const previous = run === undefined ? token?.previous : run.previous
  const max_attempts = planned.step.maxAttempts ?? 3
  turn.tell({
    event_type: 'command.issued',
    event_id: id,
    node_id: run?.id ?? id,
    node_name: planned.step.name,
    node_type: planned.kind,
    ...(run === undefined ? {} : { current_index: run.index }),
    context: {
      ...(Object.keys(args).length > 0 ? { args } : {}),
      ...(previous === undefined ? {} : { previous }),
      ctx: neededCtx(turn, planned) as unknown as Json,
    },
    meta: { command_id: id, tool_kind: planned.kind, max_attempts, ...options.final },
  })
  turn.commands.push({
    queue_id: id,
    node_id: run?.id ?? id,
    node_name: planned.step.name,
    tool_kind: planned.kind,
    lane: turn.env.lane,
    pool: '',
    max_attempts,
  })
}

/** The ctx values that the step's templates name, as they are now; large ones by the event that holds them. */
function neededCtx(turn: Turn, planned: StepPlan): Turn['state']['ctx'] {
  const needs = planned.needs()
  const { ctx } = turn.state
  const whole = needs.all || needs.below.get('ctx') === null || needs.below.get('vars') === null
  const named = (name: string) =>
    needs.roots.has(name) || needs.below.get('ctx')?.has(name) || needs.below.get('vars')?.has(name)
  const seedWorkload = turn.plan.playbook.dialect === 'seed' && needs.roots.has('workload')
  return Object.fromEntries(Object.entries(ctx).filter(([name]) => whole || seedWorkload || named(name)))
}

/** The list a loop goes over: an object gives pairs, a number counts, a text is read as JSON. */
function itemsOf(planned: StepPlan, value: Json): Json[] {
  if (Array.isArray(value)) return value
  if (isObject(value)) return Object.entries(value).map(([key, item]) => ({ key, value: item }))
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 10_000_000) {
    return Array.from({ length: value }, (_, i) => i)
  }
  if (typeof value === 'string') {
    try {
      const parsed = JSON.parse(value) as Json
      if (typeof parsed === 'object' && parsed !== null) return itemsOf(planned, parsed)
    } catch {
      // Said below.
    }
  }
  throw makeError('NOETL_ERR_TEMPLATE_RENDER', [
    `loop.in of step "${planned.step.name}" gave ${shown(value)}; a list, an object or a whole number was expected`,
  ])
}

function shown(value: Json): string {
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

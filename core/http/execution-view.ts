import { makeError } from '../errors.ts'
import { EVENT_TYPES } from '../schemas/event.ts'
import type { State } from '../schemas/execution.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { countEvents, type EventRow, listEvents } from '../store/events.ts'
import { type ExecutionRow, loadExecution, loadExecutionFacts } from '../store/executions.ts'
import { loadEvents } from '../store/values.ts'
import { isMark } from '../template/scope.ts'
import type { Parts } from './parts.ts'

/** One page of an execution's events. */
export interface EventPage {
  limit: number
  offset: number
  type?: string
  since?: string
  describe(total: number): JsonObject
}

const OTHER_NAMES = new Map([
  ['playbook.initialized', 'playbook.started'],
  ['workflow.initialized', 'playbook.started'],
  ['workflow.completed', 'playbook.completed'],
  ['workflow.failed', 'playbook.failed'],
  ['workflow.cancelled', 'playbook.cancelled'],
])

/** A type of event as it is stored: dots and underscores mean the same, and so do names of earlier generations. */
export function readEventType(written: string): string {
  const dotted = written.trim().toLowerCase().replaceAll('_', '.')
  return OTHER_NAMES.get(dotted) ?? EVENT_TYPES.find((type) => type.replaceAll('_', '.') === dotted) ?? dotted
}

/** `page`, `page_size`, `event_type` (see readEventType) and `since_event_id` of a query. */
export function readEventPage(
  query: { page?: number; page_size?: number; event_type?: string; since_event_id?: string },
  defaultSize: number,
): EventPage {
  const { page = 1, page_size: size = defaultSize, event_type: type, since_event_id: since } = query
  return {
    limit: size,
    offset: (page - 1) * size,
    ...(type === undefined || type === '' ? {} : { type: readEventType(type) }),
    ...(since === undefined ? {} : { since }),
    describe: (total) => ({
      page,
      page_size: size,
      total_events: total,
      total_pages: Math.ceil(total / size),
      has_next: page * size < total,
      has_prev: page > 1,
    }),
  }
}

/** An execution as all generations of clients look for it; `page` null leaves events, workload and result out. */
export async function presentExecution(parts: Parts, id: string, page: EventPage | null): Promise<object> {
  const pool = parts.pools.durable
  const row = await loadExecution(pool, id)
  if (row === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [id])
  const [facts, variables, plan] = await Promise.all([
    loadExecutionFacts(pool, id),
    variablesOf(parts, id, row.state),
    parts.plans.byId(row.catalog_id),
  ])
  const running = [...new Set([...Object.values(row.state.runs).map((run) => run.step), ...facts.running])]
  const finished = row.status !== 'RUNNING'
  const total = plan.playbook.steps.length
  const status = {
    ...presentRow(row, { total, done: facts.completed.length }),
    current_step: running[0] ?? facts.failed[0] ?? facts.completed.at(-1) ?? null,
    running_steps: running,
    completed_steps: facts.completed,
    failed_steps: facts.failed,
    failed: row.status === 'FAILED',
    completed: finished,
    is_cancelled: row.status === 'CANCELLED',
    completion_inferred: false,
    variables,
    event_count: facts.eventCount,
  }
  if (page === null) {
    return {
      ...status,
      progress: {
        total_steps: total,
        completed_steps: facts.completed.length,
        running_steps: running.length,
        failed_steps: facts.failed.length,
      },
    }
  }
  const [events, count] = await Promise.all([
    listEvents(pool, id, page),
    page.type === undefined && page.since === undefined ? facts.eventCount : countEvents(pool, id, page),
  ])
  return {
    ...status,
    workload: facts.workload,
    result: finished ? facts.result : null,
    events: events.map(presentEvent),
    events_included: events.length,
    events_endpoint: `/api/executions/${id}/events`,
    pagination: page.describe(count),
  }
}

/** An execution of a list. Times in both spellings. */
export function presentRow(row: ExecutionRow, steps?: { total: number; done: number }): JsonObject {
  const start = row.created_at.toISOString()
  const end = row.finished_at?.toISOString() ?? null
  const progress = row.finished_at === null ? progressOf(steps) : 100
  const seconds = ((row.finished_at ?? new Date()).getTime() - row.created_at.getTime()) / 1000
  return {
    execution_id: row.execution_id,
    catalog_id: row.catalog_id,
    path: row.path,
    version: row.version,
    status: row.status,
    start_time: start,
    started_at: start,
    end_time: end,
    completed_at: end,
    duration_seconds: seconds,
    duration_human: humanDuration(seconds),
    progress,
    progress_percent: progress,
    error: row.error?.message ?? null,
    error_details: row.error as unknown as Json,
    parent_execution_id: row.parent_execution_id,
  }
}

function progressOf(steps: { total: number; done: number } | undefined): number {
  return steps === undefined || steps.total === 0
    ? 0
    : Math.min(99, Math.floor((100 * steps.done) / steps.total))
}

/** An event; the text of an error stands at `error` and at `result.context.error`. */
export function presentEvent(row: EventRow): JsonObject {
  const error = errorText(row.error)
  return {
    event_id: row.event_id,
    execution_id: row.execution_id,
    event_type: row.event_type,
    node_id: row.node_id,
    node_name: row.node_name,
    node_type: row.node_type,
    status: row.status,
    created_at: row.created_at.toISOString(),
    duration: row.duration,
    current_index: row.current_index,
    worker_id: row.worker_id,
    context: row.context,
    result: error === null ? (row.result as Json) : withError(row.result as Json, error),
    meta: row.meta,
    error,
    error_details: row.error as Json,
  }
}

function withError(result: Json, error: string): JsonObject {
  const own: JsonObject = isObject(result) ? result : result === null ? {} : { data: result }
  return { ...own, context: { ...(isObject(own.context) ? own.context : {}), error } }
}

function errorText(error: unknown): string | null {
  if (error === null || error === undefined) return null
  if (typeof error === 'string') return error
  return isObject(error) && typeof error.message === 'string' ? error.message : JSON.stringify(error)
}

/** The values of ctx; large ones are read from the events that hold them. */
export async function variablesOf(parts: Parts, id: string, state: State): Promise<JsonObject> {
  const elsewhere = [
    ...new Set(Object.values(state.ctx).flatMap((value) => ('at' in value ? [value.at] : []))),
  ]
  const events = elsewhere.length === 0 ? [] : await loadEvents(parts.pools.durable, id, elsewhere)
  const sets = new Map(events.map((event) => [event.event_id, (event.context?.set ?? {}) as JsonObject]))
  return Object.fromEntries(
    Object.entries(state.ctx)
      .filter(([name]) => !isMark(name))
      .map(([name, value]) => [name, 'v' in value ? value.v : (sets.get(value.at)?.[name] ?? null)]),
  )
}

function humanDuration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 0)}s`
  const whole = Math.floor(seconds)
  const parts = [
    [Math.floor(whole / 3600), 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ] as const
  return parts
    .filter(([amount], i) => amount > 0 || i === 2)
    .map(([amount, unit]) => `${amount}${unit}`)
    .join(' ')
}

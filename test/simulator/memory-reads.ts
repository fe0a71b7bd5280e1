import type { Event } from '../../core/schemas/event.ts'
import type { Json, JsonObject } from '../../core/schemas/json.ts'
import { LATE_KEPT } from '../../core/store/reports.ts'
import { loopResult } from '../../core/store/results.ts'
import type { Statements } from './memory-store.ts'
import { byId, type Tables } from './tables.ts'

type Reads = Pick<
  Statements,
  | 'loadExecution'
  | 'loadEvents'
  | 'loadResults'
  | 'loadIterations'
  | 'loadWhole'
  | 'wasRecorded'
  | 'tellLate'
  | 'findStalled'
  | 'findWaits'
>

const RESULTS = ['call.done', 'call.error', 'loop.done']
const OUTCOMES = ['call.done', 'call.error', 'call.waiting', 'call.retrying']
/** As in `findWaits`. */
const PATIENCE_MS = 5000
const SETTLING_MS = 2000

/** As `values.ts`, `results.ts`, `reports.ts`, `waits.ts` and what the engine reads of `executions.ts`. */
export function readStatements(tables: Tables): Reads {
  const { executions } = tables
  const eventsOf = (id: string) => executions.get(id)?.events ?? []
  const date = (ms: number | null) => (ms === null ? null : new Date(ms))

  function iterationsOf(executionId: string, runId: string): { index: number; ok: boolean; result: Json }[] {
    const { results } = executions.get(executionId)!
    return eventsOf(executionId)
      .filter(
        ({ node_id, event_type, current_index, meta }) =>
          node_id === runId &&
          (event_type === 'call.done' || event_type === 'call.error') &&
          current_index !== undefined &&
          meta?.parked === undefined,
      )
      .map(({ event_id, event_type, current_index, result = null, meta }) => ({
        index: current_index!,
        ok: event_type === 'call.done',
        result: (meta?.stored === undefined ? undefined : results.get(event_id)?.data) ?? result,
      }))
      .sort((a, b) => a.index - b.index)
  }

  return {
    loadExecution(executionId) {
      const row = executions.get(executionId)?.row
      if (row === undefined) return undefined
      return {
        ...row,
        created_at: new Date(row.created_at),
        updated_at: new Date(row.updated_at),
        finished_at: date(row.finished_at),
      }
    },

    loadEvents: (executionId, ids) =>
      eventsOf(executionId)
        .filter(({ event_id }) => ids.includes(event_id))
        .map(({ event_id, context = null, result = null, meta }) => ({
          event_id,
          context: context as JsonObject | null,
          result,
          aside: meta?.stored !== undefined,
        })),

    loadResults: (executionId, steps, before) =>
      steps.flatMap((step) => {
        let newest: Event | undefined
        for (const event of eventsOf(executionId)) {
          if (event.node_name !== step || event.current_index !== undefined) continue
          if (!RESULTS.includes(event.event_type)) continue
          if (before !== undefined && byId(event.event_id, before) >= 0) continue
          if (newest === undefined || byId(event.event_id, newest.event_id) > 0) newest = event
        }
        if (newest === undefined) return []
        const { event_id, result = null, meta } = newest
        return [{ event_id, step, result, aside: meta?.stored !== undefined }]
      }),

    loadIterations: iterationsOf,

    loadWhole(executionId, resultId) {
      const kept = executions.get(executionId)
      const stored = kept?.results.get(resultId)
      if (stored !== undefined) return stored.data
      const loop = kept?.eventIds.get(resultId)
      if (loop?.event_type !== 'loop.done') return undefined
      const { stats = {} } = (loop.result ?? {}) as { stats?: JsonObject }
      return loopResult(iterationsOf(executionId, loop.node_id ?? ''), stats, loop.meta?.frames !== undefined)
    },

    wasRecorded(executionId, { command_id, attempt, worker_id }) {
      return eventsOf(executionId).find(
        (event) =>
          byId(event.event_id, command_id) > 0 &&
          OUTCOMES.includes(event.event_type) &&
          event.meta?.command_id === command_id &&
          (attempt === null || event.meta?.attempt === attempt) &&
          (worker_id === null || event.worker_id === worker_id),
      )?.event_id
    },

    tellLate({ execution_id, event_id, node_name, worker_id, meta }) {
      const kept = executions.get(execution_id)
      const { command_id } = meta
      const issued = kept?.events.some(
        (event) => event.event_id === command_id && event.event_type === 'command.issued',
      )
      const late = eventsOf(execution_id).filter(
        (event) => event.event_type === 'command.late' && event.meta?.command_id === command_id,
      )
      if (kept === undefined || !issued || late.length >= LATE_KEPT) return false
      tables.change({ durable: true }, () =>
        tables.addEvent(kept, {
          event_id,
          execution_id,
          created_at: new Date(tables.now()).toISOString(),
          event_type: 'command.late',
          node_name,
          ...(worker_id === null ? {} : { worker_id }),
          meta: meta as JsonObject,
        }),
      )
      return true
    },

    findStalled: (seconds, limit) =>
      tables
        .all()
        .filter(
          ({ row, queue, waits }) =>
            row.status === 'RUNNING' &&
            row.updated_at < tables.now() - seconds * 1000 &&
            queue.size === 0 &&
            waits.size === 0,
        )
        .slice(0, limit)
        .map(({ row }) => row.execution_id),

    findWaits(limit) {
      const now = tables.now()
      return tables
        .all()
        .flatMap(({ waits }) => [...waits.values()])
        .map((wait) => ({ ...wait, child: executions.get(wait.child_execution_id)?.row }))
        .map(({ execution_id, child_execution_id, event_id, deadline, created_at, child }) => ({
          wait: {
            ...{ execution_id, child_execution_id, event_id },
            status: child?.status ?? null,
            path: child?.path ?? null,
            late: deadline !== null && deadline < now,
          },
          over: child !== undefined && child.status !== 'RUNNING' && child.finished_at! < now - SETTLING_MS,
          missing: child === undefined && created_at < now - PATIENCE_MS,
        }))
        .filter(({ wait, over, missing }) => wait.late || over || missing)
        .slice(0, limit)
        .map(({ wait }) => wait)
    },
  }
}

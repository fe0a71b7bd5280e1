import { isDeepStrictEqual } from 'node:util'
import type { Plan } from '../../core/engine/plan.ts'
import type { Json } from '../../core/schemas/json.ts'
import { checkHistory } from '../support/history.ts'
import { byId, type Kept } from './tables.ts'

/** What an execution came to, as far as it does not turn on time and place. */
export interface Comparable {
  status: string
  ctx: unknown
  results: Record<string, Json>
}

/** What is wrong with what a run left behind: with each history, with what has not ended. */
export function faultsOf(kept: Kept, plan: Plan, rested: boolean): string[] {
  const { row, queue, waits, events } = kept
  const { graph, playbook } = plan
  const wayBack = playbook.steps.some(({ name }) => graph.reaches(name, name))
  const sorted = [...events].sort((a, b) => byId(a.event_id, b.event_id))
  return [
    ...(rested ? [] : unrest(kept)),
    ...checkHistory(sorted, row, [...queue.values()], {
      waits: [...waits.keys()],
      ...(wayBack ? {} : { acyclic: graph }),
    }),
  ]
}

/** Whether an execution came to the same as one that nothing disturbed. */
export function compareWithCalm(kept: Kept, calm: Comparable): string[] {
  const found = outcomeOf(kept)
  if (isDeepStrictEqual(found, calm)) return []
  const [one, other] = [JSON.stringify(found), JSON.stringify(calm)]
  return [`execution ${kept.row.execution_id} came to ${one}, undisturbed to ${other}`]
}

export function outcomeOf({ row, events }: Kept): Comparable {
  const results: Record<string, Json> = {}
  for (const { event_type, node_name, current_index, result = null, meta } of events) {
    if (!['call.done', 'call.error', 'loop.done'].includes(event_type) || current_index !== undefined)
      continue
    // A stub names its event.
    results[node_name ?? ''] = meta?.stored === undefined ? withoutIds(result) : 'stored aside'
  }
  return { status: row.status, ctx: withoutIds(row.state.ctx), results }
}

/** Ids differ from run to run. */
function withoutIds<T>(value: T): T {
  return JSON.parse(JSON.stringify(value).replace(/\d{15,}/g, '#')) as T
}

function unrest({ row, queue, waits }: Kept): string[] {
  if (row.status !== 'RUNNING' && queue.size + waits.size === 0) return []
  const rows = [...queue.values()].map(
    ({ queue_id, status, attempt }) => `${queue_id} ${status} (attempt ${attempt})`,
  )
  return [
    `execution ${row.execution_id} is ${row.status} and does not move; in the queue: [${rows}], it waits for [${[...waits.keys()]}]`,
  ]
}

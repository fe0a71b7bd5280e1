import type { CommitResult, Transition } from '../../core/store/commit.ts'
import { copy, duplicate, type Kept, makeKept, type QueueRow, type Tables } from './tables.ts'

/** As `commitTransitions`. */
export function commitChanges(tables: Tables, transitions: Transition[]): CommitResult {
  const { executions } = tables
  const held = new Map<string, QueueRow[]>()
  for (const { execution_id, settles } of transitions) {
    const rows = settles.flatMap(({ queue_id, token, worker_id }) => {
      const row = executions.get(execution_id)?.queue.get(queue_id)
      const holds =
        row?.status === 'running' &&
        (token === null ? row.worker_id === worker_id : row.lease_token === token.toLowerCase())
      return holds ? [row] : []
    })
    held.set(execution_id, rows)
  }
  const passing = transitions.filter(({ execution_id, revision, settles }) => {
    const kept = executions.get(execution_id)
    if (revision === null) return kept === undefined
    return (
      kept?.row.status === 'RUNNING' &&
      kept.row.revision === revision &&
      held.get(execution_id)!.length === settles.length
    )
  })
  for (const transition of passing) refuseDoubles(executions.get(transition.execution_id), transition)
  const ids = passing.flatMap(({ execution_id, events }) =>
    events.map(({ event_id }) => `${execution_id} ${event_id}`),
  )
  if (new Set(ids).size < ids.length) throw duplicate('event_default_pkey')
  tables.change({ durable: true }, () => {
    for (const transition of passing) apply(tables, transition, held.get(transition.execution_id)!)
  })
  return {
    written: new Set(passing.map(({ execution_id }) => execution_id)),
    held: new Set([...held.values()].flat().map(({ queue_id }) => queue_id)),
  }
}

function apply(tables: Tables, transition: Transition, held: QueueRow[]): void {
  const kept = moved(tables, transition)
  const now = tables.now()
  const { execution_id, status } = transition
  if (status === 'RUNNING') for (const { queue_id } of held) kept.queue.delete(queue_id)
  else kept.queue.clear()
  for (const command of transition.commands) {
    const { delay, dead, lease, ...row } = command
    kept.queue.set(command.queue_id, {
      ...row,
      execution_id,
      status: dead ? 'dead' : lease ? 'running' : 'queued',
      attempt: lease ? 1 : 0,
      announcements: 1,
      worker_id: lease?.worker_id ?? null,
      lease_token: lease?.token ?? null,
      lease_until: lease ? now + lease.seconds * 1000 : null,
      claimed_at: lease ? now : null,
      available_at: now + delay * 1000,
      announced_at: delay > 0 ? Number.NEGATIVE_INFINITY : now,
    })
  }
  for (const event of copy(transition.events)) tables.addEvent(kept, event)
  for (const result of copy(transition.results)) kept.results.set(result.result_id, result)
  // A wait of this very transition is not seen by what takes waits away.
  for (const id of transition.awaited) kept.waits.delete(id)
  for (const { timeout_seconds: seconds, ...wait } of transition.waits) {
    const deadline = seconds === null ? null : now + seconds * 1000
    kept.waits.set(wait.child_execution_id, { ...wait, execution_id, deadline, created_at: now })
  }
  for (const letter of copy(transition.letters)) {
    kept.letters.set(letter.letter_id, {
      ...letter,
      execution_id,
      catalog_id: kept.row.catalog_id,
      trace_id: letter.trace_id ?? null,
      status: 'open',
      created_at: new Date(now),
      settled_at: null,
    })
  }
}

/** The execution as it is after the transition, made if it is new. */
function moved(tables: Tables, { execution_id, birth, ...transition }: Transition): Kept {
  const now = tables.now()
  const { status, state, error } = copy({ ...transition, events: [], results: [], letters: [] })
  const finished_at = status === 'RUNNING' ? null : now
  const there = tables.executions.get(execution_id)
  if (there !== undefined) {
    const revision = there.row.revision + 1
    Object.assign(there.row, { status, state, error, revision, updated_at: now, finished_at })
    return there
  }
  const { catalog_id, path, version, parent_execution_id } = birth!
  const kept = makeKept({
    execution_id,
    catalog_id,
    path,
    version,
    parent_execution_id,
    status,
    revision: 1,
    state,
    error,
    created_at: now,
    updated_at: now,
    finished_at,
  })
  tables.executions.set(execution_id, kept)
  return kept
}

/** A second row under one key refuses the whole statement. */
function refuseDoubles(kept: Kept | undefined, { events, commands, results, waits, letters }: Transition) {
  const check = (constraint: string, ids: string[], there: ReadonlyMap<string, unknown> | undefined) => {
    if (new Set(ids).size < ids.length || ids.some((id) => there?.has(id))) throw duplicate(constraint)
  }
  check(
    'queue_pkey',
    commands.map(({ queue_id }) => queue_id),
    kept?.queue,
  )
  check(
    'event_default_pkey',
    events.map(({ event_id }) => event_id),
    kept?.eventIds,
  )
  check(
    'result_pkey',
    results.map(({ result_id }) => result_id),
    kept?.results,
  )
  check(
    'wait_pkey',
    waits.map(({ child_execution_id }) => child_execution_id),
    kept?.waits,
  )
  check(
    'dead_letter_pkey',
    letters.map(({ letter_id }) => letter_id),
    kept?.letters,
  )
}

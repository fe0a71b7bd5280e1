import type { CallError } from '../../core/schemas/command.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { State, Status } from '../../core/schemas/execution.ts'
import type { Effect } from '../../core/schemas/playbook.ts'
import type { CatalogEntry } from '../../core/store/catalog.ts'
import type { Letter } from '../../core/store/dead-letters.ts'
import type { NewResult } from '../../core/store/results.ts'

/** Rows as Postgres has them; times in milliseconds since 1970. */
export interface ExecutionRow {
  execution_id: string
  catalog_id: string
  path: string
  version: number
  parent_execution_id: string | null
  status: Status
  revision: number
  state: State
  error: CallError | null
  created_at: number
  updated_at: number
  finished_at: number | null
}

export interface QueueRow {
  execution_id: string
  queue_id: string
  node_id: string
  node_name: string
  tool_kind: string
  lane: string
  pool: string
  status: 'queued' | 'running' | 'dead'
  attempt: number
  max_attempts: number
  effect: Effect
  announcements: number
  worker_id: string | null
  lease_token: string | null
  lease_until: number | null
  claimed_at: number | null
  available_at: number
  announced_at: number
}

export interface WaitRow {
  execution_id: string
  child_execution_id: string
  event_id: string
  deadline: number | null
  created_at: number
}

/** All that belongs to one execution. */
export interface Kept {
  row: ExecutionRow
  /** In the order in which they were written. */
  events: Event[]
  eventIds: Map<string, Event>
  queue: Map<string, QueueRow>
  results: Map<string, NewResult>
  waits: Map<string, WaitRow>
  letters: Map<string, Letter>
}

/** What Postgres holds, in memory. */
export interface Tables {
  executions: Map<string, Kept>
  catalog: Map<string, CatalogEntry>
  now(): number
  /** Executions in the order of their ids. */
  all(): Kept[]
  queueRows(): QueueRow[]
  /** Makes a change. One that does not wait for the disk may be lost until one that does has followed. */
  change<T>(options: { durable: boolean }, work: () => T): T
  /** To be called before a row of the queue is changed. */
  touch(row: QueueRow): QueueRow
  addEvent(kept: Kept, event: Event): void
  /** As a crash of Postgres: of the newest changes that were not durable, some are undone. */
  crash(lost: (undoable: number) => number): number
}

/** What is not durable yet is so after this long at the latest. In milliseconds. */
const FLUSHED_MS = 600

export function makeTables(now: () => number): Tables {
  const executions = new Map<string, Kept>()
  let journal: { at: number; undo: (() => void)[] }[] = []
  let undo: (() => void)[] | undefined

  return {
    executions,
    catalog: new Map(),
    now,
    all: () => [...executions.values()].sort((a, b) => byId(a.row.execution_id, b.row.execution_id)),
    queueRows: () =>
      [...executions.values()]
        .flatMap((kept) => [...kept.queue.values()])
        .sort((a, b) => byId(a.execution_id, b.execution_id) || byId(a.queue_id, b.queue_id)),
    change({ durable }, work) {
      undo = []
      const result = work()
      if (undo.length > 0) {
        if (durable) journal = []
        else journal.push({ at: now(), undo })
      }
      undo = undefined
      return result
    },
    touch(row) {
      const before = { ...row }
      undo?.push(() => Object.assign(row, before))
      return row
    },
    addEvent(kept, event) {
      if (kept.eventIds.has(event.event_id)) throw duplicate('event_pkey')
      kept.events.push(event)
      kept.eventIds.set(event.event_id, event)
      undo?.push(() => {
        kept.events.splice(kept.events.indexOf(event), 1)
        kept.eventIds.delete(event.event_id)
      })
    },
    crash(lost) {
      const open = journal.filter(({ at }) => at > now() - FLUSHED_MS)
      const count = lost(open.length)
      for (const { undo } of open.slice(open.length - count).reverse()) {
        for (const back of undo.reverse()) back()
      }
      journal = []
      return count
    },
  }
}

export function makeKept(row: ExecutionRow): Kept {
  return {
    row,
    events: [],
    eventIds: new Map(),
    queue: new Map(),
    results: new Map(),
    waits: new Map(),
    letters: new Map(),
  }
}

/** Ids are decimal numbers beyond what a double holds. */
export function byId(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
}

/** As Postgres refuses a second row under one key. */
export function duplicate(constraint: string): Error {
  return Object.assign(new Error(`duplicate key value violates unique constraint "${constraint}"`), {
    code: '23505',
  })
}

/** What is stored is never the same object as what was told. */
export function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T
}

import type { Letter } from '../../core/store/dead-letters.ts'
import { waiting } from './memory-queue.ts'
import type { Statements } from './memory-store.ts'
import { byId, copy, type Kept, type QueueRow, type Tables } from './tables.ts'

type Letters = Pick<Statements, 'findLost' | 'parkLost' | 'listLetters' | 'retryLetters' | 'seizeLetter'>

/** How long a person who settles a command has it, as in `seizeLetter`. */
const SEIZED_MS = 60_000

/** As `core/store/dead-letters.ts`. */
export function letterStatements(tables: Tables): Letters {
  const durable = { durable: true }
  const tell = (kept: Kept, event: Omit<Kept['events'][number], 'execution_id' | 'created_at'>) =>
    tables.addEvent(kept, {
      ...event,
      execution_id: kept.row.execution_id,
      created_at: new Date(tables.now()).toISOString(),
    })
  const isLost = (row: QueueRow) => row.status === 'running' && row.lease_until! < tables.now()

  /** The row of an open letter whose command waits. */
  function deadRow(
    executionId: string,
    letterId: string,
  ): { kept: Kept; letter: Letter; row: QueueRow } | undefined {
    const kept = tables.executions.get(executionId)
    const letter = kept?.letters.get(letterId)
    const row = letter && kept?.queue.get(letter.queue_id)
    if (kept === undefined || letter?.status !== 'open' || row?.status !== 'dead') return undefined
    return { kept, letter, row }
  }

  return {
    findLost: (limit) =>
      tables
        .queueRows()
        .filter((row) => isLost(row) && (row.attempt >= row.max_attempts || row.effect === 'unsafe'))
        .slice(0, limit)
        .map(({ execution_id, queue_id, node_id, node_name, tool_kind, attempt, worker_id, effect }) => ({
          ...{ execution_id, queue_id, node_id, node_name, tool_kind, attempt, worker_id },
          path: tables.executions.get(execution_id)!.row.path,
          in_doubt: effect === 'unsafe',
        })),

    parkLost(letters) {
      const lost = letters.flatMap((letter) => {
        const kept = tables.executions.get(letter.execution_id)
        const row = kept?.queue.get(letter.queue_id)
        if (kept === undefined || row === undefined || !isLost(row) || row.attempt !== letter.attempts)
          return []
        return [{ kept, row, letter }]
      })
      return tables.change(durable, () =>
        lost.map(({ kept, row, letter }) => {
          Object.assign(tables.touch(row), {
            status: 'dead',
            worker_id: null,
            lease_token: null,
            lease_until: null,
          })
          const { letter_id, reason, attempts, error, step, worker_id } = letter
          tell(kept, {
            event_id: letter_id,
            event_type: 'command.dead',
            node_id: row.node_id,
            node_name: step,
            ...(worker_id === null ? {} : { worker_id }),
            meta: { command_id: row.queue_id, reason, attempt: attempts },
            error: copy(error) as never,
          })
          kept.letters.set(letter_id, {
            ...copy(letter),
            catalog_id: kept.row.catalog_id,
            trace_id: kept.row.state.trace?.traceparent.slice(3, 35) ?? null,
            status: 'open',
            created_at: new Date(tables.now()),
            settled_at: null,
          })
          return row.queue_id
        }),
      )
    },

    listLetters(filter, limit) {
      const { ids, fingerprint, path, executionId, step, status } = filter
      return tables
        .all()
        .flatMap((kept) => [...kept.letters.values()].map((letter) => ({ kept, letter })))
        .filter(
          ({ kept, letter }) =>
            (ids?.includes(letter.letter_id) ?? true) &&
            (fingerprint ?? letter.fingerprint) === letter.fingerprint &&
            (path ?? letter.path) === letter.path &&
            (executionId ?? letter.execution_id) === letter.execution_id &&
            (step ?? letter.step) === letter.step &&
            (status ?? letter.status) === letter.status &&
            (status !== 'open' || kept.queue.has(letter.queue_id)),
        )
        .map(({ letter }) => ({ ...letter }))
        .sort((a, b) => byId(b.letter_id, a.letter_id))
        .slice(0, limit)
    },

    retryLetters(letters) {
      const found = letters.flatMap(({ execution_id, letter_id, event_id }) => {
        const dead = deadRow(execution_id, letter_id)
        return dead === undefined ? [] : [{ ...dead, event_id }]
      })
      const now = tables.now()
      return tables.change(durable, () =>
        found.map(({ kept, letter, row, event_id }) => {
          Object.assign(tables.touch(row), {
            status: 'queued',
            attempt: 0,
            available_at: now,
            announced_at: now,
            announcements: 1,
          })
          Object.assign(letter, { status: 'retried', settled_at: new Date(now) })
          tell(kept, {
            event_id,
            event_type: 'command.retried',
            node_id: row.node_id,
            node_name: row.node_name,
            meta: { command_id: row.queue_id, letter_id: letter.letter_id },
          })
          return waiting(row)
        }),
      )
    },

    seizeLetter({ execution_id, letter_id, token, by, status }) {
      const dead = deadRow(execution_id, letter_id)
      if (dead === undefined) return false
      const now = tables.now()
      tables.change(durable, () => {
        Object.assign(tables.touch(dead.row), {
          status: 'running',
          worker_id: by,
          lease_token: token,
          lease_until: now + SEIZED_MS,
          attempt: dead.row.max_attempts,
        })
        Object.assign(dead.letter, { status, settled_at: new Date(now) })
      })
      return true
    },
  }
}

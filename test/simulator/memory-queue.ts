import type { Event } from '../../core/schemas/event.ts'
import type { Claim, Claimed, Waiting } from '../../core/store/queue.ts'
import type { Statements } from './memory-store.ts'
import { duplicate, type QueueRow, type Tables } from './tables.ts'

type Queue = Pick<
  Statements,
  | 'claimCommands'
  | 'leasedUnder'
  | 'lookAtCommands'
  | 'readCommand'
  | 'renewLeases'
  | 'releaseLeases'
  | 'takeUnclaimed'
  | 'forgetAnnouncements'
  | 'makeDue'
>

/** As `core/store/queue.ts`. */
export function queueStatements(tables: Tables): Queue & {
  rescue(limit: number): (Waiting & { node_id: string; holder: string; attempt: number })[]
  tellExpired(events: Event[]): void
} {
  const rowOf = ({ execution_id, queue_id }: { execution_id: string; queue_id: string }) =>
    tables.executions.get(execution_id)?.queue.get(queue_id)
  const relaxed = { durable: false }

  /** An event that a statement tells beside what it changes. */
  function tell(
    row: QueueRow,
    event: Pick<Event, 'event_id' | 'event_type' | 'meta'> & { worker_id: string | null },
  ) {
    const { worker_id, ...rest } = event
    tables.addEvent(tables.executions.get(row.execution_id)!, {
      ...rest,
      execution_id: row.execution_id,
      created_at: new Date(tables.now()).toISOString(),
      node_id: row.node_id,
      node_name: row.node_name,
      ...(worker_id === null ? {} : { worker_id }),
    })
  }

  function claimed(row: QueueRow): Claimed {
    const kept = tables.executions.get(row.execution_id)!
    const issued = kept.eventIds.get(row.queue_id)!
    const { catalog_id, path, version, parent_execution_id } = kept.row
    const { execution_id, queue_id, node_id, node_name, attempt, max_attempts, lane, pool, lease_token } = row
    return {
      ...{ execution_id, queue_id, node_id, node_name, attempt, max_attempts, lane, pool, lease_token },
      ...{ catalog_id, path, version, parent_execution_id },
      current_index: issued.current_index ?? null,
      context: issued.context ?? (null as never),
    }
  }

  function mayClaim(row: QueueRow, token: string): boolean {
    const now = tables.now()
    if (row.status === 'queued') return row.available_at <= now
    if (row.status !== 'running') return false
    if (row.lease_token === token) return true
    return row.lease_until! < now && row.attempt < row.max_attempts && row.effect !== 'unsafe'
  }

  /** The lease is the claim's own: it holds, or ran out before its holder heard of it. */
  function isAgain(row: QueueRow, { token, again }: Claim): boolean {
    return row.lease_token === token && (row.status === 'running' || again === true)
  }

  return {
    claimCommands(claims, leaseSeconds) {
      const granted = new Map<QueueRow, Claim>()
      // Of several that ask for one command at once, its holder goes first.
      const wanted = claims.map((claim) => ({ ...claim, token: claim.token.toLowerCase() }))
      for (const claim of wanted) {
        const row = rowOf(claim)
        if (row === undefined || !mayClaim(row, claim.token)) continue
        if (!granted.has(row) || isAgain(row, claim)) granted.set(row, claim)
      }
      for (const [row, claim] of granted) {
        if (!isAgain(row, claim) && tables.executions.get(row.execution_id)!.eventIds.has(claim.event_id)) {
          throw duplicate('event_default_pkey')
        }
      }
      const now = tables.now()
      return tables.change(relaxed, () =>
        [...granted].map(([row, claim]) => {
          const { worker_id, token, event_id } = claim
          const again = isAgain(row, claim)
          tables.touch(row)
          Object.assign(row, {
            status: 'running',
            attempt: row.attempt + (again ? 0 : 1),
            worker_id,
            lease_token: token,
            lease_until: now + leaseSeconds * 1000,
            claimed_at: now,
          })
          const meta = { command_id: row.queue_id, attempt: row.attempt }
          if (!again) tell(row, { event_id, event_type: 'command.claimed', worker_id, meta })
          return claimed(row)
        }),
      )
    },

    leasedUnder(executionId, token) {
      const row = tables
        .queueRows()
        .find(
          (row) =>
            row.execution_id === executionId &&
            row.status !== 'dead' &&
            row.lease_token === token.toLowerCase(),
        )
      return row?.queue_id
    },

    lookAtCommands: (ids) =>
      ids.flatMap((id) => {
        const row = rowOf(id)
        if (row === undefined) return []
        const { queue_id, status, worker_id, lease_until, available_at } = row
        const retry_after = Math.max(0, ((lease_until ?? available_at) - tables.now()) / 1000)
        return [{ queue_id, status, worker_id, retry_after }]
      }),

    readCommand(commandId) {
      for (const { queue } of tables.executions.values()) {
        const row = queue.get(commandId)
        if (row !== undefined) return claimed(row)
      }
      return undefined
    },

    renewLeases(leases, leaseSeconds) {
      const held = leases.flatMap((lease) => {
        const row = rowOf(lease)
        return row?.status === 'running' && row.lease_token === lease.token.toLowerCase() ? [row] : []
      })
      return tables.change(relaxed, () => {
        for (const row of held) tables.touch(row).lease_until = tables.now() + leaseSeconds * 1000
        return new Set(held.map((row) => row.queue_id))
      })
    },

    releaseLeases(leases) {
      const held = new Map<QueueRow, string>()
      for (const lease of leases) {
        const row = rowOf(lease)
        if (row?.effect === 'unsafe') continue
        if (row?.status === 'running' && row.lease_token === lease.token.toLowerCase()) {
          if (!held.has(row)) held.set(row, lease.event_id)
        }
      }
      return tables.change({ durable: true }, () =>
        [...held].map(([row, event_id]) => {
          const { worker_id } = row
          giveBack(row)
          row.attempt -= 1
          row.lease_token = null
          tell(row, {
            event_id,
            event_type: 'command.released',
            worker_id,
            meta: { command_id: row.queue_id },
          })
          return waiting(row)
        }),
      )
    },

    rescue(limit) {
      const expired = tables
        .queueRows()
        .filter(
          (row) =>
            row.status === 'running' &&
            row.lease_until! < tables.now() &&
            row.attempt < row.max_attempts &&
            row.effect !== 'unsafe',
        )
        .slice(0, limit)
      return tables.change(relaxed, () =>
        expired.map((row) => {
          const holder = row.worker_id ?? ''
          giveBack(row)
          return { ...waiting(row), node_id: row.node_id, attempt: row.attempt, holder }
        }),
      )
    },

    tellExpired(events) {
      tables.change(relaxed, () => {
        for (const event of events) {
          const kept = tables.executions.get(event.execution_id)!
          tables.addEvent(kept, { ...event, created_at: new Date(tables.now()).toISOString() })
        }
      })
    },

    takeUnclaimed({ afterSeconds, limit, to }) {
      const now = tables.now()
      const due = tables
        .queueRows()
        .filter(
          (row) =>
            row.status === 'queued' &&
            row.available_at <= now &&
            (to === undefined || (row.lane === to.lane && row.pool === to.pool)) &&
            row.announced_at <
              now - afterSeconds * (to ? 1 : 2 ** (Math.min(row.announcements, 6) - 1)) * 1000,
        )
        .slice(0, limit)
      return tables.change(relaxed, () =>
        due.map((row) => {
          tables.touch(row)
          row.announced_at = now
          if (to === undefined) row.announcements = Math.min(row.announcements + 1, 100)
          return waiting(row)
        }),
      )
    },

    forgetAnnouncements: () => forget(tables.queueRows()),
    makeDue: (commands) => void forget(commands.flatMap((command) => rowOf(command) ?? [])),
  }

  function forget(rows: QueueRow[]): number {
    const queued = new Set(rows.filter((row) => row.status === 'queued'))
    tables.change(relaxed, () => {
      for (const row of queued) {
        Object.assign(tables.touch(row), { announced_at: Number.NEGATIVE_INFINITY, announcements: 1 })
      }
    })
    return queued.size
  }

  function giveBack(row: QueueRow): void {
    Object.assign(tables.touch(row), {
      status: 'queued',
      worker_id: null,
      lease_until: null,
      announced_at: tables.now(),
      announcements: 1,
    })
  }
}

export function waiting({ execution_id, queue_id, node_name, lane, pool }: QueueRow): Waiting {
  return { execution_id, queue_id, node_name, lane, pool }
}

import type { State } from '../../core/schemas/execution.ts'
import type { Transition } from '../../core/store/commit.ts'
import type { Claim, Claimed } from '../../core/store/queue.ts'
import type { ToolCall } from '../../core/tools/define.ts'
import { byId, type QueueRow, type Tables } from './tables.ts'
import type { Observe } from './trips.ts'
import type { Process, World } from './world.ts'

/** Looks at every statement as it is done, and at every body as it begins, for what must never be. */
export interface Watch {
  observe: Observe
  onRun(process: Process, commandId: string, signal: AbortSignal): () => void
  onTool(kind: string, call: ToolCall): void
  /** A worker was told how its report was taken. */
  onReported(executionId: string, commandId: string, answer: string): void
  /** A crash of Postgres took back what was not on its disk yet: leases among it are void. */
  onCrash(): void
  readonly faults: string[]
  /** How long nothing has moved: no body runs, nothing was leased or written. In milliseconds. */
  still(): number
}

export function makeWatch(world: World, tables: Tables): Watch {
  const faults: string[] = []
  const running = new Map<Process, Map<string, AbortSignal>>()
  /** How often a call that must not be repeated was begun, and how often it might be. */
  const begun = new Map<string, number>()
  const allowed = new Map<string, number>()
  let crashes = 0
  let movedAt = 0
  let bodies = 0

  function fault(text: string): void {
    world.note(() => `FAULT ${text}`)
    if (faults.length < 20) faults.push(`at ${(world.now() / 1000).toFixed(3)} s: ${text}`)
  }

  function watchCommit(transitions: Transition[], act: () => { written: Set<string> }): void {
    const before = new Map(
      transitions.map(({ execution_id: id }) => {
        const row = tables.executions.get(id)?.row
        return [id, row && { revision: row.revision, status: row.status, last: row.state.last }]
      }),
    )
    const holders = new Map(
      transitions.flatMap(({ execution_id: id, settles }) =>
        settles.map(({ queue_id }) => [queue_id, { ...tables.executions.get(id)?.queue.get(queue_id) }]),
      ),
    )
    const { written } = act()
    if (written.size > 0) movedAt = world.now()
    for (const { execution_id, revision } of transitions.filter((t) => !written.has(t.execution_id))) {
      world.note(() => `not written: ${execution_id} at revision ${revision}`)
    }
    for (const { execution_id: id, events, settles } of transitions.filter((t) =>
      written.has(t.execution_id),
    )) {
      const { row, queue, waits } = tables.executions.get(id)!
      const was = before.get(id)
      world.note(() => `commit ${id} ${row.status}: ${events.map(shown).join(', ')}`)
      if (was !== undefined && was.status !== 'RUNNING') fault(`${id} was ${was.status} and moved`)
      if (row.revision !== (was?.revision ?? 0) + 1)
        fault(`${id}: revision ${was?.revision} became ${row.revision}`)
      for (const { queue_id, token } of settles) {
        const { status, lease_token } = holders.get(queue_id)!
        if (status !== 'running' || lease_token !== token) {
          fault(`command ${queue_id} was settled under a lease that was lost`)
        }
      }
      let last = was?.last ?? '0'
      for (const event of events) {
        if (byId(event.event_id, last) <= 0) fault(`${id}: ${shown(event)} is not after ${last}`)
        last = event.event_id
      }
      for (const { deadline } of waits.values()) {
        // A request may be slow; a clock that is minutes off is another matter.
        const left = (deadline ?? Number.POSITIVE_INFINITY) - tables.now()
        if (left < -60_000 || (left > 60_000 && left < 80_000_000)) {
          fault(`${id} waits until ${(left / 1000).toFixed(0)} s from now, by no time that a playbook names`)
        }
      }
      const open = openOf(row.state)
      compare(`${id}: commands under way and rows of the queue`, open.commands, [...queue.keys()])
      compare(`${id}: executions waited for and rows of waits`, open.waits, [...waits.keys()])
    }
  }

  function compare(what: string, wanted: string[], found: string[]): void {
    const [a, b] = [wanted.sort(byId).join(' '), found.sort(byId).join(' ')]
    if (a !== b) fault(`${what} differ: [${a}] and [${b}]`)
  }

  function watchClaims(claims: Claim[], act: () => Claimed[]): void {
    const before = new Map<string, QueueRow>()
    const unheard = new Set(claims.filter(({ again }) => again).map(({ token }) => token))
    for (const { execution_id, queue_id } of claims) {
      const row = tables.executions.get(execution_id)?.queue.get(queue_id)
      if (row !== undefined) before.set(queue_id, { ...row })
    }
    for (const { queue_id, execution_id, lease_token, attempt, max_attempts } of act()) {
      movedAt = world.now()
      const was = before.get(queue_id)!
      const same = was.lease_token === lease_token && (was.status === 'running' || unheard.has(lease_token!))
      const { worker_id } = tables.executions.get(execution_id)!.queue.get(queue_id)!
      world.note(() => `claimed: ${queue_id} by ${worker_id}, attempt ${attempt}${same ? ' (again)' : ''}`)
      if (was.status === 'running' && !same && was.lease_until! >= tables.now()) {
        fault(`command ${queue_id} was leased twice: ${was.worker_id} had it still`)
      }
      if (was.status === 'dead') fault(`command ${queue_id} waits for a person and was leased`)
      if (attempt !== was.attempt + (same ? 0 : 1))
        fault(`command ${queue_id}: attempt ${was.attempt} became ${attempt}`)
      if (attempt > max_attempts) fault(`command ${queue_id}: attempt ${attempt} of ${max_attempts}`)
      if (was.available_at > tables.now()) fault(`command ${queue_id} was leased before its time`)
    }
  }

  function watchRenewals(asked: Renewal[], renewed: Set<string>): void {
    for (const { execution_id, queue_id, token } of asked) {
      const row = tables.executions.get(execution_id)?.queue.get(queue_id)
      if (renewed.has(queue_id) && row?.lease_token !== token) {
        fault(`a lease of command ${queue_id} was renewed that had been lost`)
      }
    }
  }

  return {
    faults,
    still: () => (bodies > 0 ? 0 : world.now() - movedAt),
    observe(name, given, act, process) {
      let answer: ReturnType<typeof act> | undefined
      const done = () => {
        answer = act()
        return answer as never
      }
      if (name === 'commitTransitions') watchCommit(given[0] as Transition[], done)
      else if (name === 'claimCommands') watchClaims(given[0] as Claim[], done)
      else {
        done()
        if (name === 'renewLeases') watchRenewals(given[0] as Renewal[], answer as unknown as Set<string>)
        if (name === 'tellLate') world.note(() => `tellLate by ${process.name}: ${JSON.stringify(given[0])}`)
        if (/^(rescue|parkLost|releaseLeases|retryLetters|takeUnclaimed)$/.test(name)) {
          const rows = answer as unknown as (string | { queue_id: string })[]
          if (rows.length > 0) {
            world.note(
              () =>
                `${name} by ${process.name}: ${rows.map((row) => (typeof row === 'string' ? row : row.queue_id))}`,
            )
          }
        }
      }
      if (name === 'retryLetters') {
        for (const { execution_id, queue_id } of answer as unknown as QueueRow[]) {
          const { node_id } = tables.executions.get(execution_id)!.queue.get(queue_id)!
          allowed.set(node_id, (allowed.get(node_id) ?? 1) + 1)
        }
      }
      return answer as ReturnType<typeof act>
    },

    onRun(process, commandId, signal) {
      const own = running.get(process) ?? new Map<string, AbortSignal>()
      running.set(process, own)
      world.note(() => `${process.name} begins ${commandId}`)
      const there = own.get(commandId)
      if (there !== undefined && !there.aborted)
        fault(`${process.name} runs command ${commandId} twice at once`)
      own.set(commandId, signal)
      bodies += 1
      let ended = false
      const end = () => {
        if (ended) return
        ended = true
        bodies -= 1
        movedAt = world.now()
      }
      process.onDeath(end)
      return () => {
        end()
        world.note(() => `${process.name} ended ${commandId}${signal.aborted ? ' (aborted)' : ''}`)
        if (own.get(commandId) === signal) own.delete(commandId)
      }
    },

    onTool(kind, { idempotencyKey: key, step }) {
      if (kind !== 'once') return
      const times = (begun.get(key) ?? 0) + 1
      begun.set(key, times)
      const most = (allowed.get(key.replace(/-.*/, '')) ?? 1) + crashes
      if (times > most) fault(`call ${key} of step ${step} must not be repeated and was begun ${times} times`)
    },

    onReported(executionId, commandId, answer) {
      if (answer !== 'recorded' && answer !== 'duplicate') return
      const { events = [] } = tables.executions.get(executionId) ?? {}
      if (
        events.some(
          ({ event_type, meta }) => event_type.startsWith('call.') && meta?.command_id === commandId,
        )
      ) {
        return
      }
      fault(`a report of command ${commandId} was answered as ${answer} and is not recorded`)
    },

    onCrash() {
      crashes += 1
    },
  }
}

interface Renewal {
  execution_id: string
  queue_id: string
  token: string
}

function shown({ event_type, event_id, node_name, meta }: Transition['events'][number]): string {
  const command =
    meta?.command_id === undefined || meta.command_id === event_id ? '' : ` of ${meta.command_id}`
  return `${event_type} ${node_name ?? ''}${command} (${event_id})`
}

function openOf({ runs }: State): { commands: string[]; waits: string[] } {
  const waits = Object.values(runs).flatMap(({ waits = {} }) => Object.keys(waits))
  const open = Object.values(runs).flatMap(({ open }) => Object.keys(open))
  return { waits, commands: open.filter((id) => !waits.includes(id)) }
}

import type { ServerGateway } from '@noetl/core'
import type { Instruments } from './instruments.ts'
import { type LaneFigures, QUEUE, UNSERVED, WORKERS } from './queue.ts'
import { sampled } from './sampled.ts'

/** How long figures of Postgres and NATS are told again, and how long a scrape waits for new ones. */
const YOUNG_MS = 3000
const PATIENCE_MS = 1500
/** Lost commands that are remembered until they are claimed. */
const RESCUED = 10_000

const REFUSALS: Readonly<Record<string, string>> = {
  NOETL_ERR_COMMAND_CLAIMED: 'held',
  NOETL_ERR_COMMAND_SETTLED: 'settled',
  NOETL_ERR_SATURATED: 'saturated',
  NOETL_ERR_STORE_UNREACHABLE: 'store',
}
const ENDS: Readonly<Record<string, string>> = {
  'playbook.completed': 'completed',
  'playbook.failed': 'failed',
  'playbook.cancelled': 'cancelled',
}
const OUTCOMES: Readonly<Record<string, string>> = {
  'call.done': 'ok',
  'call.error': 'error',
  'call.waiting': 'waiting',
  'call.retrying': 'retrying',
}

/** Counts what a server does, and asks Postgres and NATS for what all servers see alike. */
export function aboutServer(gateway: ServerGateway, instruments: Instruments): { look(): Promise<void> } {
  hearServer(gateway, instruments)
  const queue = sampled(
    async () => {
      const [lanes, unserved, workers] = await Promise.all([
        gateway.query<LaneFigures>(QUEUE),
        gateway.query<{ lane: string; commands: number }>(UNSERVED),
        gateway.query<{ workers: number }>(WORKERS),
      ])
      return { lanes, unserved, workers: workers[0]?.workers ?? 0 }
    },
    { youngMs: YOUNG_MS, patienceMs: PATIENCE_MS },
  )
  const consumers = sampled(() => gateway.consumers(), { youngMs: YOUNG_MS, patienceMs: PATIENCE_MS })

  async function lookAtQueue(): Promise<void> {
    const found = await queue().catch(() => undefined)
    instruments.set('noetl_scrape_source_up', { source: 'postgres' }, found === undefined ? 0 : 1)
    // What was there and is not any more is 0; what cannot be told is no number.
    const rest = found === undefined ? Number.NaN : 0
    instruments.setAll('noetl_queue_commands', rest)
    instruments.setAll('noetl_queue_overdue_leases', rest)
    instruments.setAll('noetl_queue_oldest_age_seconds', rest)
    instruments.setAll('noetl_queue_unserved_commands', rest)
    instruments.set('noetl_workers', {}, found?.workers ?? rest)
    for (const { lane, overdue, oldest, ready, delayed, running, dead } of found?.lanes ?? []) {
      for (const [state, value] of Object.entries({ ready, delayed, running, dead })) {
        instruments.set('noetl_queue_commands', { lane, state }, value)
      }
      instruments.set('noetl_queue_overdue_leases', { lane }, overdue)
      instruments.set('noetl_queue_oldest_age_seconds', { lane }, oldest)
    }
    for (const { lane, commands } of found?.unserved ?? [])
      instruments.set('noetl_queue_unserved_commands', { lane }, commands)
  }

  async function lookAtConsumers(): Promise<void> {
    const found = await consumers().catch(() => undefined)
    instruments.set('noetl_scrape_source_up', { source: 'nats' }, found === undefined ? 0 : 1)
    const rest = found === undefined ? Number.NaN : 0
    instruments.setAll('noetl_consumer_pending', rest)
    instruments.setAll('noetl_consumer_unacknowledged', rest)
    instruments.setAll('noetl_consumer_redelivered', rest)
    for (const { name: consumer, pending, unacknowledged, redelivered } of found ?? []) {
      instruments.set('noetl_consumer_pending', { consumer }, pending)
      instruments.set('noetl_consumer_unacknowledged', { consumer }, unacknowledged)
      instruments.set('noetl_consumer_redelivered', { consumer }, redelivered)
    }
  }

  return {
    async look() {
      for (const { name: pool, max, open, idle, waiting } of gateway.pools()) {
        instruments.set('noetl_pool_size', { pool }, max)
        instruments.set('noetl_pool_connections', { pool, state: 'active' }, open - idle)
        instruments.set('noetl_pool_connections', { pool, state: 'idle' }, idle)
        instruments.set('noetl_pool_waiting', { pool }, waiting)
      }
      await Promise.all([lookAtQueue(), lookAtConsumers()])
    },
  }
}

function hearServer({ listen }: ServerGateway, { count, observe }: Instruments): void {
  listen('noetl:events', ({ events, commands, lane, seconds = 0 }) => {
    for (const { dead, lane, tool_kind } of commands) {
      if (!dead) count('noetl_commands_enqueued_total', { lane, tool_kind })
    }
    for (const { event_type, node_type: tool_kind = '' } of events) {
      if (event_type === 'playbook.started') count('noetl_executions_started_total', {})
      const outcome = OUTCOMES[event_type]
      if (outcome !== undefined) count('noetl_commands_finished_total', { lane, tool_kind, outcome })
      const end = ENDS[event_type]
      if (end !== undefined) {
        count('noetl_executions_finished_total', { outcome: end })
        observe('noetl_execution_duration_seconds', { outcome: end }, seconds)
      }
    }
  })

  listen('noetl:claimed', ({ claimed, refused, reason = '' }) => {
    count('noetl_claims_granted_total', {}, claimed)
    if (refused > 0) count('noetl_claims_refused_total', { reason: REFUSALS[reason] ?? 'other' }, refused)
  })

  /** When a command was taken back. */
  const rescued = new Map<string, number>()
  listen('noetl:rescued', ({ commands }) => {
    count('noetl_leases_expired_total', {}, commands.length)
    for (const { queue_id } of commands) {
      if (rescued.size >= RESCUED) rescued.delete(rescued.keys().next().value!)
      rescued.set(queue_id, performance.now())
    }
  })
  listen('noetl:leased', ({ command_id, lane, attempt, waited, cause }) => {
    if (attempt === 1) observe('noetl_queue_wait_seconds', { lane, cause }, waited)
    const since = rescued.get(command_id)
    if (since === undefined) return
    rescued.delete(command_id)
    observe('noetl_takeover_seconds', {}, (performance.now() - since) / 1000)
  })
  listen('noetl:dead', ({ reason, command_id }) => {
    count('noetl_dead_letters_total', { reason })
    if (reason !== 'error') count('noetl_leases_expired_total', {})
    rescued.delete(command_id)
  })
  listen('noetl:late', () => count('noetl_late_reports_total', {}))
  listen('noetl:announced', ({ count: sent, again }) =>
    count('noetl_announcements_total', { kind: again ? 'repeated' : 'first' }, sent),
  )
  listen('noetl:upkeep', ({ what, count: found }) => {
    if (what === 'stalled') count('noetl_executions_nudged_total', {}, found)
    if (what === 'rebuilt') count('noetl_consumers_rebuilt_total', {}, found)
  })
}

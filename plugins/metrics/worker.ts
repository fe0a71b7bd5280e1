import type { WorkerGateway } from '@noetl/core'
import type { Instruments } from './instruments.ts'

/** Counts what a worker does. */
export function aboutWorker(
  { config, listen, busy }: WorkerGateway,
  { count, observe, set }: Instruments,
): { look(): void } {
  set('noetl_slots', {}, config.slots)

  listen('noetl:command', ({ phase, kind: tool_kind, status, notified }) => {
    if (phase === 'ended') count('noetl_worker_commands_total', { tool_kind, outcome: status ?? '' })
    else if (notified !== undefined) observe('noetl_notification_to_claim_seconds', {}, notified)
  })
  listen('noetl:call', ({ kind: tool_kind, status: outcome, error, seconds }) => {
    observe('noetl_tool_run_duration_seconds', { tool_kind, outcome }, seconds)
    if (outcome === 'error') count('noetl_tool_errors_total', { kind: error ?? '' })
  })

  return { look: () => set('noetl_slots_busy', {}, busy()) }
}

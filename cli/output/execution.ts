import { styleText } from 'node:util'
import type { ShownEvent, ShownExecution } from '../follow.ts'
import { duration, shownJson, shownStatus } from './table.ts'

/** One line for an event that tells something to who watches; undefined for one that does not. */
export function eventLine(event: ShownEvent): string | undefined {
  const at = event.created_at.slice(11, 23)
  const step = event.node_name ?? ''
  const item = event.current_index === null ? '' : `[${event.current_index}]`
  const took = event.duration === null ? '' : ` ${duration(event.duration)}`
  switch (event.event_type) {
    case 'playbook.started':
      return `${at}  ${styleText('dim', 'started')}  ${step}`
    case 'call.done':
      return `${at}  ${styleText('green', 'ok     ')}  ${step}${item}${took}`
    case 'call.error':
      return `${at}  ${styleText('red', 'error  ')}  ${step}${item}${took}  ${event.error ?? ''}`
    case 'loop.done':
      return `${at}  ${styleText('green', 'looped ')}  ${step}`
    case 'step.skipped':
      return `${at}  ${styleText('yellow', 'skipped')}  ${step}`
    case 'command.lease_expired':
      return `${at}  ${styleText('yellow', 'rescued')}  ${step}${item}  worker ${event.worker_id ?? '?'} was not heard of`
    case 'playbook.completed':
    case 'playbook.failed':
    case 'playbook.cancelled':
      return undefined
    default:
      return undefined
  }
}

/** An execution in a few lines. */
export function summary(execution: ShownExecution, options: { full: boolean; result: boolean }): string {
  const { execution_id, path, version, status } = execution
  const lines = [
    `${shownStatus(status)}  ${path} (version ${version})  execution ${execution_id}  ${duration(execution.duration_seconds)}`,
  ]
  if (execution.completed_steps.length > 0) lines.push(`steps    ${shorten(execution.completed_steps)}`)
  if (execution.running_steps.length > 0) lines.push(`running  ${shorten(execution.running_steps)}`)
  if (execution.failed_steps.length > 0) lines.push(`failed   ${shorten(execution.failed_steps)}`)
  if (execution.error !== null) lines.push(`error    ${execution.error}`)
  if (options.result && execution.result !== null)
    lines.push(`result   ${shownJson(execution.result, options.full)}`)
  return lines.join('\n')
}

function shorten(steps: string[]): string {
  return steps.length <= 20 ? steps.join(', ') : `${steps.slice(0, 20).join(', ')}, … (${steps.length})`
}

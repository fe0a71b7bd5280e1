import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import type { ShownEvent } from '../../follow.ts'
import { table } from '../../output/table.ts'

export default class ExecutionEvents extends BaseCommand {
  static override summary = 'List the events of an execution, in their order'
  static override args = { id: Args.string({ required: true, description: 'id of the execution' }) }
  static override flags = {
    ...requestFlags,
    type: Flags.string({ description: 'only of this type, such as call.error' }),
    since: Flags.string({ description: 'only after the event of this id' }),
    limit: Flags.integer({ default: 200, min: 1, max: 1000 }),
    page: Flags.integer({ default: 1, min: 1 }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ExecutionEvents)
    const query = new URLSearchParams({ page: String(flags.page), page_size: String(flags.limit) })
    if (flags.type !== undefined) query.set('event_type', flags.type)
    if (flags.since !== undefined) query.set('since_event_id', flags.since)
    const reply = await this.client(flags).request<{
      events: ShownEvent[]
      pagination: { total_events: number; has_next: boolean }
    }>('GET', `/api/v2/executions/${encodeURIComponent(args.id)}/events?${query}`)
    const rows = reply.events.map((event) => ({
      id: event.event_id,
      time: event.created_at.slice(11, 23),
      type: event.event_type,
      step: `${event.node_name ?? ''}${event.current_index === null ? '' : `[${event.current_index}]`}`,
      status: event.status ?? '',
      worker: event.worker_id ?? '',
      error: event.error ?? '',
    }))
    this.log(
      table(rows, ['id', 'time', 'type', 'step', 'status', 'worker', 'error'], {
        none: 'There are no such events.',
      }),
    )
    if (reply.pagination.has_next) {
      this.logToStderr(`${reply.pagination.total_events} in all; the next ones: --page ${flags.page + 1}`)
    }
    return reply
  }
}

import { Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import type { ShownExecution } from '../../follow.ts'
import { ago, duration, table } from '../../output/table.ts'

export default class ExecutionList extends BaseCommand {
  static override summary = 'List executions, newest first'
  static override flags = {
    ...requestFlags,
    path: Flags.string({ description: 'only of this playbook' }),
    status: Flags.string({ description: 'only RUNNING, COMPLETED, FAILED or CANCELLED' }),
    limit: Flags.integer({ default: 20, min: 1, max: 100 }),
    offset: Flags.integer({ default: 0, min: 0 }),
  }

  async run(): Promise<object> {
    const { flags } = await this.parse(ExecutionList)
    const query = new URLSearchParams({ limit: String(flags.limit), offset: String(flags.offset) })
    if (flags.path !== undefined) query.set('path', flags.path)
    if (flags.status !== undefined) query.set('status', flags.status)
    const executions = await this.client(flags).request<ShownExecution[]>(
      'GET',
      `/api/v2/executions?${query}`,
    )
    const rows = executions.map((execution) => ({
      id: execution.execution_id,
      status: execution.status,
      path: execution.path,
      started: ago(execution.started_at),
      took: duration(execution.duration_seconds),
      error: execution.error ?? '',
    }))
    this.log(
      table(rows, ['id', 'status', 'started', 'took', 'path', 'error'], {
        none: 'There are no such executions. Start one with: noetlctl execute <path>',
      }),
    )
    return { executions }
  }
}

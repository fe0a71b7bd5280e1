import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'

export default class ExecutionCancel extends BaseCommand {
  static override summary = 'Cancel an execution and those that it started'
  static override description =
    'What is queued is not begun any more; what runs is stopped, though not undone. An execution that has ended stays as it is.'
  static override args = { id: Args.string({ required: true, description: 'id of the execution' }) }
  static override flags = {
    ...requestFlags,
    reason: Flags.string({ description: 'why, for those who look at it later' }),
    cascade: Flags.boolean({
      description: 'cancel those that it started too, and theirs',
      allowNo: true,
      default: true,
    }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ExecutionCancel)
    const reply = await this.client(flags).request<{
      message: string
      execution_status: string
      cancelled_executions: string[]
    }>('POST', `/api/v2/executions/${encodeURIComponent(args.id)}/cancel`, {
      cascade: flags.cascade,
      ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    })
    const below = reply.cancelled_executions.filter((id) => id !== args.id)
    this.log(reply.message)
    if (below.length > 0) {
      const these = below.length === 1 ? 'one that it started' : `${below.length} that it started`
      this.log(
        `So ${below.length === 1 ? 'was' : 'were'} ${these}: ${below.slice(0, 10).join(', ')}${below.length > 10 ? ', …' : ''}`,
      )
    }
    return reply
  }
}

import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import type { ShownExecution } from '../../follow.ts'
import { summary } from '../../output/execution.ts'

export default class ExecutionShow extends BaseCommand {
  static override summary = 'Show an execution: status, steps, error, result'
  static override args = { id: Args.string({ required: true, description: 'id of the execution' }) }
  static override flags = { ...requestFlags, full: Flags.boolean({ description: 'show the result uncut' }) }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ExecutionShow)
    const path = `/api/v2/executions/${encodeURIComponent(args.id)}?page_size=1`
    const execution = await this.client(flags).request<ShownExecution>('GET', path)
    this.log(summary(execution, { full: flags.full, result: true }))
    return execution
  }
}

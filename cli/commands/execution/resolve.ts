import { Args, Errors, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'

export default class ExecutionResolve extends BaseCommand {
  static override summary = 'Say how a command goes on that waits for a person'
  static override description =
    'After a worker died in the midst of a tool with "effect: unsafe": look whether it had its effect, then say so.'
  static override args = { id: Args.string({ required: true, description: 'the execution' }) }
  static override flags = {
    ...requestFlags,
    step: Flags.string({ description: 'the step, where several wait' }),
    done: Flags.boolean({ description: 'it had its effect; go on', exclusive: ['failed', 'retry'] }),
    result: Flags.string({ description: 'JSON that is its result', dependsOn: ['done'] }),
    failed: Flags.boolean({ description: 'it has failed', exclusive: ['done', 'retry'] }),
    retry: Flags.boolean({ description: 'it had no effect; run it again', exclusive: ['done', 'failed'] }),
    reason: Flags.string({ description: 'text of the failure', dependsOn: ['failed'] }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ExecutionResolve)
    const as = flags.done ? 'done' : flags.failed ? 'failed' : flags.retry ? 'retry' : undefined
    if (as === undefined) throw new Errors.CLIError('say how: --done, --failed or --retry', { exit: 2 })
    const body = {
      as,
      ...(flags.step === undefined ? {} : { step: flags.step }),
      ...(flags.reason === undefined ? {} : { reason: flags.reason }),
      ...(flags.result === undefined ? {} : { result: parse(flags.result) }),
    }
    const reply = await this.client(flags).request<{ step: string }>(
      'POST',
      `/api/v2/executions/${args.id}/resolve`,
      body,
    )
    this.log(`Step ${reply.step} of execution ${args.id}: ${as}.`)
    return reply
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Errors.CLIError(`--result is not JSON: ${(error as Error).message}`, { exit: 2 })
  }
}

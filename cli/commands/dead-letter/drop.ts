import { Flags } from '@oclif/core'
import { BaseCommand } from '../../base-command.ts'
import { choiceArgs, choiceBody, choiceFlags } from '../../dead-letters.ts'

export default class DeadLetterDrop extends BaseCommand {
  static override summary = 'Give commands up; their steps have failed'
  static override args = choiceArgs
  static override flags = {
    ...choiceFlags,
    reason: Flags.string({ description: 'text of the failure' }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(DeadLetterDrop)
    const body = {
      ...choiceBody(args.id, flags),
      ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    }
    const reply = await this.client(flags).request<{ count: number }>(
      'POST',
      '/api/v2/dead-letters/drop',
      body,
      { timeoutMs: 3_600_000 },
    )
    this.log(`${reply.count} ${reply.count === 1 ? 'command is' : 'commands are'} given up.`)
    return reply
  }
}

import { BaseCommand } from '../../base-command.ts'
import { choiceArgs, choiceBody, choiceFlags } from '../../dead-letters.ts'

export default class DeadLetterRetry extends BaseCommand {
  static override summary = 'Give commands back to the queue; their executions go on where they stood'
  static override args = choiceArgs
  static override flags = choiceFlags

  async run(): Promise<object> {
    const { args, flags } = await this.parse(DeadLetterRetry)
    const body = choiceBody(args.id, flags)
    const reply = await this.client(flags).request<{ count: number }>(
      'POST',
      '/api/v2/dead-letters/retry',
      body,
      { timeoutMs: 3_600_000 },
    )
    this.log(`${reply.count} ${reply.count === 1 ? 'command is' : 'commands are'} back in the queue.`)
    return reply
  }
}

import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import { shownJson } from '../../output/table.ts'

interface Shown {
  id: string
  execution_id: string
  path: string
  step: string
  reason: string
  status: string
  attempts: number
  worker_id: string | null
  fingerprint: string
  message: string
  error: object
  created_at: string
  command: object | null
}

export default class DeadLetterShow extends BaseCommand {
  static override summary = 'Show a dead letter, with its command as it was'
  static override args = { id: Args.string({ required: true }) }
  static override flags = {
    ...requestFlags,
    full: Flags.boolean({ description: 'show the command whole' }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(DeadLetterShow)
    const letter = await this.client(flags).request<Shown>('GET', `/api/v2/dead-letters/${args.id}`)
    this.log(`Dead letter  ${letter.id} (${letter.status})`)
    this.log(`Playbook     ${letter.path}, step ${letter.step}`)
    this.log(`Execution    ${letter.execution_id}`)
    this.log(
      `Reason       ${letter.reason}, ${letter.attempts} begun, last by ${letter.worker_id ?? 'no one'}`,
    )
    this.log(`Since        ${letter.created_at}`)
    this.log(`Fingerprint  ${letter.fingerprint}`)
    this.log(`Error        ${letter.message}`)
    if (letter.command !== null) this.log(`Command      ${shownJson(letter.command, flags.full)}`)
    if (letter.status === 'open') {
      this.log(
        `\nNext: noetlctl dead-letter retry ${letter.id}, or: noetlctl execution resolve ${letter.execution_id}`,
      )
    }
    return letter
  }
}

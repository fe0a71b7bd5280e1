import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'

export default class PlaybookShow extends BaseCommand {
  static override summary = 'Print the text of a playbook as it was registered'
  static override args = {
    path: Args.string({ required: true, description: 'path of the playbook in the catalog' }),
  }
  static override flags = { ...requestFlags, version: Flags.string({ description: 'default: the newest' }) }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(PlaybookShow)
    const entry = await this.client(flags).request<{ content: string }>('POST', '/api/catalog/resource', {
      path: args.path,
      version: flags.version ?? 'latest',
    })
    this.log(entry.content.trimEnd())
    return entry
  }
}

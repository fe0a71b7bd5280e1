import { Args } from '@oclif/core'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsLink extends PluginsCommand {
  static override summary = 'Use a plugin from its folder as it is, while you work on it'
  static override args = {
    folder: Args.string({
      default: '.',
      description: 'folder of the package; its dependencies are installed there',
    }),
  }

  async run(): Promise<object> {
    const { args } = await this.parse(PluginsLink)
    const linked = await this.home().link(args.folder, { taken: await this.installed() })
    this.log(`${linked.name} ${linked.version} is linked to ${linked.source}`)
    return linked
  }
}

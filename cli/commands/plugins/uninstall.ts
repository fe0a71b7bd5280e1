import { Args } from '@oclif/core'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsUninstall extends PluginsCommand {
  static override summary = 'Remove plugins that were installed or linked'
  static override strict = false
  static override args = { names: Args.string({ required: true, description: 'names of packages' }) }

  async run(): Promise<object> {
    const { argv } = await this.parse(PluginsUninstall)
    const home = this.home()
    for (const name of argv as string[]) {
      const { version } = await home.uninstall(name)
      this.log(`${name} ${version} is removed`)
    }
    return { removed: argv }
  }
}

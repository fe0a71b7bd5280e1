import { EXIT } from '../../exit-codes.ts'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsVerify extends PluginsCommand {
  static override summary = 'Hold the files of installed plugins against plugins.lock.json'

  async run(): Promise<object> {
    await this.parse(PluginsVerify)
    const plugins = await this.home().verify()
    for (const { name, version, fault } of plugins) this.log(`${name} ${version}: ${fault ?? 'as installed'}`)
    if (plugins.length === 0) this.log('No plugin is installed.')
    if (plugins.some(({ fault }) => fault !== null)) process.exitCode = EXIT.failed
    return { plugins }
  }
}

import { Args, Flags } from '@oclif/core'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsInstall extends PluginsCommand {
  static override summary = 'Install a plugin, or another version of it'
  static override description =
    'The package goes into the data folder of noetlctl and is pinned in plugins.lock.json with the digest of its files. Servers and workers that are started afterwards load it. Install scripts of packages do not run unless --scripts is given.'
  static override examples = [
    '<%= config.bin %> plugins install @noetl/tool-python',
    '<%= config.bin %> plugins install @noetl/tool-http@^0.1.0',
    '<%= config.bin %> plugins install ./noetl-tool-echo-1.0.0.tgz',
    '<%= config.bin %> plugins install ./my-plugin',
    '<%= config.bin %> plugins install git+https://git.example.com/me/noetl-tool-echo.git',
  ]
  static override strict = false
  static override args = {
    sources: Args.string({
      required: true,
      description: 'name[@range], tarball, folder or git URL; several',
    }),
  }
  static override flags = {
    scripts: Flags.boolean({ description: 'let the packages run their install scripts' }),
  }

  async run(): Promise<object> {
    const { argv, flags } = await this.parse(PluginsInstall)
    const home = this.home()
    const installed: object[] = []
    for (const source of argv as string[]) {
      const taken = await this.installed()
      const plugin = await home.install(source, { scripts: flags.scripts, taken })
      installed.push(plugin)
      this.log(`${plugin.name} ${plugin.version} is installed: ${plugin.kinds.join(', ') || 'no tool kind'}`)
    }
    return { dir: home.dir, installed }
  }
}

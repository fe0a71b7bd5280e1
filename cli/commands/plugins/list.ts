import { table } from '../../output/table.ts'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsList extends PluginsCommand {
  static override summary = 'List the plugins that servers and workers started here load'

  async run(): Promise<object> {
    await this.parse(PluginsList)
    const home = this.home()
    const lock = await home.lock()
    const plugins = (await this.installed()).map(({ name, version, kinds, roles, folder }) => {
      const locked = folder.startsWith(home.dir) ? lock[name] : undefined
      const how = locked === undefined ? 'beside' : locked.digest === null ? 'linked' : 'installed'
      return { name, version, kinds, roles, folder, how, source: locked?.source ?? null }
    })
    const rows = plugins.map((plugin) => ({
      name: plugin.name,
      version: plugin.version,
      kinds: plugin.kinds.join(', ') || '-',
      how: plugin.how,
      source: plugin.source ?? '',
    }))
    this.log(
      table(rows, ['name', 'version', 'kinds', 'how', 'source'], {
        none: 'There is no plugin. Install one with: noetlctl plugins install <name, file, folder or git URL>',
      }),
    )
    return { dir: home.dir, plugins }
  }
}

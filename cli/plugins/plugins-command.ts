import { discoverPlugins, type PluginManifest } from '@noetl/core'
import { BaseCommand } from '../base-command.ts'
import { type PluginHome, pluginHome } from './home.ts'

/** What the commands of `plugins` share. */
export abstract class PluginsCommand extends BaseCommand {
  protected home(): PluginHome {
    return pluginHome(this.configOf({}).pluginsDir ?? this.config.dataDir)
  }

  /** All plugins that processes started here would load. */
  protected async installed(): Promise<PluginManifest[]> {
    const { plugins, pluginsDir } = this.configOf({})
    return discoverPlugins({ names: plugins, dir: pluginsDir, onBroken: () => {} })
  }
}

import { describeTools } from '@noetl/core'
import { Args } from '@oclif/core'
import { describePackage, notThere } from '../../plugins/home.ts'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsInspect extends PluginsCommand {
  static override summary = 'Show a plugin: what it brings, from where, and the fields of its tools'
  static override args = { name: Args.string({ required: true, description: 'name of the package' }) }

  async run(): Promise<object> {
    const { args } = await this.parse(PluginsInspect)
    const home = this.home()
    const manifest = (await this.installed()).find(({ name }) => name === args.name)
    if (manifest === undefined) throw notThere(args.name, home.dir)
    const locked = manifest.folder.startsWith(home.dir) ? (await home.lock())[args.name] : undefined
    const { tools, failed } = await describeTools({ manifests: [manifest] })
    const own = tools.filter(({ plugin }) => plugin === manifest.name)
    const lines = [
      `${manifest.name} ${manifest.version}`,
      await describePackage(manifest.folder),
      '',
      `contract  ${manifest.contract}`,
      `roles     ${manifest.roles.join(', ')}`,
      `folder    ${manifest.folder}`,
      ...(locked === undefined
        ? []
        : [`source    ${locked.source}`, `digest    ${locked.digest ?? 'linked'}`]),
      ...failed.map(({ why }) => `It does not load: ${why}`),
      ...own.flatMap(({ kind, effect, input }) => [
        '',
        `kind ${kind}, ${effect}`,
        ...Object.keys((input.properties as object | undefined) ?? {}).map((field) => `  ${field}`),
      ]),
    ]
    this.log(lines.join('\n'))
    return { ...manifest, ...(locked ?? {}), tools: own, failed }
  }
}

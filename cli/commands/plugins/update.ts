import { Args, Flags } from '@oclif/core'
import { notThere } from '../../plugins/home.ts'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsUpdate extends PluginsCommand {
  static override summary = 'Install plugins again from where they came from'
  static override description =
    'A name is looked up again within the range that it was installed with; a folder, tarball or repository is packed again.'
  static override strict = false
  static override args = {
    names: Args.string({ description: 'names of packages; default: all but linked ones' }),
  }
  static override flags = {
    scripts: Flags.boolean({ description: 'let the packages run their install scripts' }),
  }

  async run(): Promise<object> {
    const { argv, flags } = await this.parse(PluginsUpdate)
    const home = this.home()
    const lock = await home.lock()
    const names = argv.length > 0 ? (argv as string[]) : Object.keys(lock)
    const updated: object[] = []
    for (const name of names) {
      const before = lock[name]
      if (before === undefined) throw notThere(name, home.dir)
      if (before.digest === null) {
        if (argv.length > 0) this.log(`${name} is linked to ${before.source}; it is what it is there`)
        continue
      }
      const taken = await this.installed()
      const after = await home.install(before.source, { scripts: flags.scripts, taken })
      updated.push({ name, from: before.version, to: after.version })
      const same = before.digest === after.digest ? ', unchanged' : ''
      this.log(
        `${name} ${before.version === after.version ? '' : `${before.version} → `}${after.version}${same}`,
      )
    }
    if (updated.length === 0) this.log('There is nothing to update.')
    return { updated }
  }
}

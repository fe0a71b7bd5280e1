import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Args, Errors, Flags } from '@oclif/core'
import { EXIT } from '../../exit-codes.ts'
import { newPackage } from '../../plugins/new-package.ts'
import { PluginsCommand } from '../../plugins/plugins-command.ts'

export default class PluginsCreate extends PluginsCommand {
  static override summary = 'Write a new tool plugin that passes its lint, types and tests as it is'
  static override examples = ['<%= config.bin %> plugins create noetl-tool-slack']
  static override args = {
    name: Args.string({ required: true, description: 'name of the package, such as noetl-tool-slack' }),
  }
  static override flags = {
    kind: Flags.string({ description: 'the word after kind: in playbooks; default: from the name' }),
    folder: Flags.string({ description: 'where to write it; default: a folder of its name' }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(PluginsCreate)
    const { name } = args
    if (!/^(@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*$/.test(name) || name.length > 200)
      throw wrong(`"${name}" is no name of a package; such as noetl-tool-slack was expected`)
    const bare = name.replace(/^.*\//, '')
    const kind = flags.kind ?? bare.replace(/^(noetl-)?(tool-)?/, '').replaceAll(/[.-]/g, '_')
    if (!/^[a-z][a-z0-9_]*$/.test(kind))
      throw wrong(`"${kind}" is no tool kind; a word of a-z, 0-9 and _ was expected: name it with --kind`)
    const folder = resolve(flags.folder ?? bare)
    await mkdir(folder, { recursive: true })
    if ((await readdir(folder)).length > 0)
      throw wrong(`the folder ${folder} is not empty: choose another with --folder`)
    const files = newPackage({
      name,
      kind,
      coreRange: this.config.pjson.dependencies?.['@noetl/core'] ?? '*',
    })
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text)
    this.log(`${name} is written into ${folder}: npm install there, then npm test`)
    return { name, kind, folder, files: Object.keys(files) }
  }
}

function wrong(message: string): Error {
  return new Errors.CLIError(message, { exit: EXIT.usage })
}

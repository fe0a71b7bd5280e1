import { compilePlaybook, discoverPlugins, type Fault, isNoetlError, isObject, kindsOf } from '@noetl/core'
import { Args, Flags } from '@oclif/core'
import { BaseCommand, configOf } from '../../base-command.ts'
import { EXIT } from '../../exit-codes.ts'
import { readPlaybookFiles } from '../../playbook-files.ts'

interface Checked {
  file: string
  valid: boolean
  path: string | null
  faults: Fault[]
  warnings: Fault[]
}

export default class PlaybookValidate extends BaseCommand {
  static override summary = 'Check playbooks without a server; every fault is told with its place'
  static override strict = false
  static override args = {
    files: Args.string({ required: true, description: 'files or folders; - is standard input' }),
  }
  static override flags = {
    recursive: Flags.boolean({ char: 'r', description: 'folders within folders too' }),
  }

  async run(): Promise<object> {
    const { argv, flags } = await this.parse(PlaybookValidate)
    const toolKinds = kindsOf(await discoverPlugins({ names: configOf({}).plugins }))
    const results: Checked[] = []
    for (const { name, text } of await readPlaybookFiles(argv as string[], flags.recursive)) {
      const checked = check(name, text, toolKinds)
      results.push(checked)
      for (const fault of checked.faults) this.log(line(name, 'error', fault))
      for (const warning of checked.warnings) this.log(line(name, 'warning', warning))
      if (checked.valid) this.log(`${name}: valid (${checked.path})`)
    }
    if (results.some((result) => !result.valid)) process.exitCode = EXIT.invalid
    return { results }
  }
}

function check(file: string, text: string, toolKinds: readonly string[]): Checked {
  try {
    const { playbook, warnings } = compilePlaybook(text, { toolKinds })
    return { file, valid: true, path: playbook.path, faults: [], warnings }
  } catch (error) {
    if (!isNoetlError(error)) throw error
    const details = isObject(error.details) ? error.details : {}
    const faults = Array.isArray(details.faults)
      ? details.faults
      : [{ path: '', message: error.message, ...details }]
    return { file, valid: false, path: null, faults: faults as unknown as Fault[], warnings: [] }
  }
}

function line(file: string, what: string, { line, column, message, suggestion }: Fault): string {
  const hint = suggestion === undefined ? '' : ` Did you mean "${suggestion}"?`
  return `${file}:${line ?? 1}:${column ?? 1}: ${what}: ${message}${hint}`
}

import { compilePlaybook, type Fault, isNoetlError, isObject } from '@noetl/core'
import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../base-command.ts'
import { EXIT } from '../../exit-codes.ts'
import { failureLines, type InstalledTools, installedTools } from '../../installed-tools.ts'
import { countOf, showFinding } from '../../output/findings.ts'
import { readPlaybookFiles } from '../../playbook-files.ts'

interface Checked {
  file: string
  valid: boolean
  path: string | null
  faults: Fault[]
  warnings: Fault[]
}

export default class PlaybookValidate extends BaseCommand {
  static override summary = 'Check playbooks without a server; every fault and warning is told with its place'
  static override description =
    'Fields of tools are checked with the plugins that are installed here. Exit code 3 when there are faults.'
  static override examples = [
    '<%= config.bin %> playbook validate hello.yaml',
    '<%= config.bin %> playbook validate playbooks --recursive --strict',
  ]
  static override strict = false
  static override args = {
    files: Args.string({ required: true, description: 'files or folders; - is standard input' }),
  }
  static override flags = {
    recursive: Flags.boolean({ char: 'r', description: 'folders within folders too' }),
    strict: Flags.boolean({ description: 'warnings count as faults' }),
  }

  async run(): Promise<object> {
    const { argv, flags } = await this.parse(PlaybookValidate)
    const files = await readPlaybookFiles(argv as string[], flags.recursive)
    const installed = await installedTools(this.configOf({}))
    for (const line of failureLines(installed)) this.logToStderr(line)
    const { isTTY, columns } = process.stdout
    const results = files.map(({ name, text }) => {
      const checked = check(name, text, installed, flags.strict)
      const shown = isTTY ? { source: text, width: columns } : {}
      const findings = [
        ...checked.faults.map((fault) => ({ severity: 'error' as const, fault })),
        ...checked.warnings.map((fault) => ({ severity: 'warning' as const, fault })),
      ].sort((a, b) => byPlace(a.fault, b.fault))
      for (const { severity, fault } of findings) this.log(showFinding(name, severity, fault, shown))
      if (checked.valid) this.log(`${name}: valid (${checked.path})`)
      return checked
    })
    this.log(summary(results, installed))
    if (results.some((result) => !result.valid)) process.exitCode = EXIT.invalid
    return { results, plugins: installed.plugins }
  }
}

function check(file: string, text: string, { kinds, tools }: InstalledTools, strict: boolean): Checked {
  try {
    const { playbook, warnings } = compilePlaybook(text, { toolKinds: kinds, tools })
    const [faults, rest] = strict ? [warnings, []] : [[], warnings]
    return { file, valid: faults.length === 0, path: playbook.path, faults, warnings: rest }
  } catch (error) {
    if (!isNoetlError(error)) throw error
    const details = isObject(error.details) ? error.details : {}
    const faults = faultsIn(details.faults)
    const warnings = faultsIn(details.warnings)
    return {
      file,
      valid: false,
      path: null,
      faults: strict ? [...faults, ...warnings].sort(byPlace) : faults,
      warnings: strict ? [] : warnings,
    }
  }
}

function faultsIn(value: unknown): Fault[] {
  return Array.isArray(value) ? (value as Fault[]) : []
}

function byPlace(a: Fault, b: Fault): number {
  return a.line - b.line || a.column - b.column
}

function summary(results: readonly Checked[], { plugins }: InstalledTools): string {
  const sum = (what: 'faults' | 'warnings') =>
    results.reduce((count, result) => count + result[what].length, 0)
  const files = `${results.length} ${results.length === 1 ? 'file' : 'files'}`
  const names = plugins.map(({ name, version }) => `${name} ${version}`).join(', ') || 'no plugin'
  return `${files}: ${countOf({ faults: sum('faults'), warnings: sum('warnings') })}; tools of ${names}`
}

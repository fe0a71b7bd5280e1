import type { Fault } from '@noetl/core'
import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import { showFinding } from '../../output/findings.ts'
import { readPlaybookFiles } from '../../playbook-files.ts'

interface Registered {
  path: string
  version: number
  catalog_id: string
  kind: string
  warnings: Fault[]
}

export default class PlaybookRegister extends BaseCommand {
  static override summary = 'Store playbooks in the catalog, each as the next version of its path'
  static override examples = [
    '<%= config.bin %> playbook register hello.yaml',
    '<%= config.bin %> playbook register playbooks --recursive',
  ]
  static override strict = false
  static override args = {
    files: Args.string({ required: true, description: 'files or folders; - is standard input' }),
  }
  static override flags = {
    ...requestFlags,
    recursive: Flags.boolean({ char: 'r', description: 'folders within folders too' }),
  }

  async run(): Promise<object> {
    const { argv, flags } = await this.parse(PlaybookRegister)
    const client = this.client(flags)
    const registered: (Registered & { file: string })[] = []
    for (const { name, text } of await readPlaybookFiles(argv as string[], flags.recursive)) {
      const entry = await client
        .request<Registered>('POST', '/api/catalog/register', { content: text })
        .catch((error: Error) => {
          error.message = `${name}: ${error.message}`
          throw error
        })
      registered.push({ file: name, ...entry })
      this.log(`${entry.path}  version ${entry.version}`)
      for (const warning of entry.warnings) this.logToStderr(showFinding(name, 'warning', warning))
    }
    return { registered }
  }
}

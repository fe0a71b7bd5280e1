import { playbookSchema } from '@noetl/core'
import { BaseCommand } from '../../base-command.ts'
import { failureLines, installedTools } from '../../installed-tools.ts'

export default class PlaybookSchema extends BaseCommand {
  static override summary = 'Print the JSON Schema of playbooks, with the tools that are installed here'
  static override description =
    'Editors check and complete playbooks by it: write it to a file and name that in the first line of a playbook, # yaml-language-server: $schema=<file>'
  static override examples = ['<%= config.bin %> playbook schema > playbook.schema.json']
  static override flags = {}

  async run(): Promise<object> {
    await this.parse(PlaybookSchema)
    const installed = await installedTools(this.configOf({}))
    for (const line of failureLines(installed)) this.logToStderr(line)
    const { tools, kinds } = installed
    const otherKinds = kinds.filter((kind) => !tools.some((tool) => tool.kind === kind))
    const schema = playbookSchema(tools, { otherKinds })
    this.log(JSON.stringify(schema, null, 2))
    return schema
  }
}

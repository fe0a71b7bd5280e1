import { Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import { ago, table } from '../../output/table.ts'

interface Entry {
  catalog_id: string
  path: string
  kind: string
  version: number
  created_at: string
}

export default class PlaybookList extends BaseCommand {
  static override summary = 'List the playbooks of the catalog, the newest version of each'
  static override flags = { ...requestFlags, all: Flags.boolean({ description: 'every version' }) }

  async run(): Promise<object> {
    const { flags } = await this.parse(PlaybookList)
    const { entries } = await this.client(flags).request<{ entries: (Entry & { content?: string })[] }>(
      'POST',
      '/api/catalog/list',
      { resource_type: 'Playbook' },
    )
    const newest = new Map<string, Entry>()
    for (const { catalog_id, path, kind, version, created_at } of entries) {
      const key = flags.all ? `${path} ${version}` : path
      const there = newest.get(key)
      if (there === undefined || there.version < version)
        newest.set(key, { catalog_id, path, kind, version, created_at })
    }
    const playbooks = [...newest.values()].sort((a, b) =>
      a.path < b.path ? -1 : a.path > b.path ? 1 : b.version - a.version,
    )
    const rows = playbooks.map((entry) => ({
      path: entry.path,
      version: String(entry.version),
      registered: ago(entry.created_at),
    }))
    this.log(
      table(rows, ['path', 'version', 'registered'], {
        none: 'The catalog is empty. Register a playbook with: noetlctl playbook register <file>',
      }),
    )
    return { playbooks }
  }
}

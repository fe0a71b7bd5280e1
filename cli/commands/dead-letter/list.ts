import { Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import { ago, table } from '../../output/table.ts'

interface Letter {
  id: string
  execution_id: string
  path: string
  step: string
  reason: string
  attempts: number
  fingerprint: string
  message: string
  status: string
  created_at: string
}
interface Group {
  fingerprint: string
  count: number
  path: string
  step: string
  reason: string
  message: string
  last_at: string
}

export default class DeadLetterList extends BaseCommand {
  static override summary = 'List commands that wait for a person, by cause or one by one'
  static override flags = {
    ...requestFlags,
    each: Flags.boolean({ description: 'one line a letter instead of one a cause' }),
    fingerprint: Flags.string({ description: 'only of this cause' }),
    path: Flags.string({ description: 'only of this playbook' }),
    status: Flags.string({
      description: 'with --each',
      options: ['open', 'retried', 'resolved', 'dropped'],
      default: 'open',
    }),
    limit: Flags.integer({ default: 50, min: 1, max: 1000 }),
  }

  async run(): Promise<object> {
    const { flags } = await this.parse(DeadLetterList)
    const query = new URLSearchParams({ limit: String(flags.limit) })
    if (flags.fingerprint !== undefined) query.set('fingerprint', flags.fingerprint)
    if (flags.path !== undefined) query.set('path', flags.path)
    const none = 'There are no dead letters.'
    if (!flags.each) {
      const { groups } = await this.client(flags).request<{ groups: Group[] }>(
        'GET',
        `/api/v2/dead-letters/groups?${query}`,
      )
      const rows = groups.map((group) => ({ ...group, count: String(group.count), last: ago(group.last_at) }))
      this.log(table(rows, ['fingerprint', 'count', 'reason', 'last', 'path', 'step', 'message'], { none }))
      return { groups }
    }
    query.set('status', flags.status)
    const { dead_letters } = await this.client(flags).request<{ dead_letters: Letter[] }>(
      'GET',
      `/api/v2/dead-letters?${query}`,
    )
    const rows = dead_letters.map((letter) => ({
      ...letter,
      attempts: String(letter.attempts),
      execution: letter.execution_id,
      since: ago(letter.created_at),
    }))
    const columns = ['id', 'status', 'reason', 'attempts', 'since', 'execution', 'path', 'step', 'message']
    this.log(table(rows, columns, { none }))
    return { dead_letters }
  }
}

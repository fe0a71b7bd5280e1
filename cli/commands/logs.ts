import { setTimeout } from 'node:timers/promises'
import { styleText } from 'node:util'
import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../base-command.ts'

interface Line {
  at: string
  step: string | null
  current_index: number | null
  attempt: number | null
  stream: string | null
  level: string
  text: string
}

interface Page {
  status: string
  lines: Line[]
  last_event_id: string
  has_next: boolean
}

const PAUSE_MS = 500

export default class Logs extends BaseCommand {
  static override summary = 'Show what the tools of an execution wrote'
  static override args = { id: Args.string({ required: true, description: 'id of the execution' }) }
  static override flags = {
    ...requestFlags,
    follow: Flags.boolean({ char: 'f', description: 'go on until the execution has ended' }),
    step: Flags.string({ description: 'only of this step' }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(Logs)
    const client = this.client(flags)
    const lines: Line[] = []
    for (let since = '0'; ; ) {
      const query = new URLSearchParams({ since_event_id: since, limit: '200' })
      if (flags.step !== undefined) query.set('step', flags.step)
      const page = await client.request<Page>(
        'GET',
        `/api/v2/executions/${encodeURIComponent(args.id)}/logs?${query}`,
      )
      for (const line of page.lines) this.log(shown(line))
      if (this.jsonEnabled()) lines.push(...page.lines)
      since = page.last_event_id
      if (page.has_next) continue
      // The status was read before the lines: of an execution that has ended they are all here.
      if (!flags.follow || page.status !== 'RUNNING')
        return { execution_id: args.id, status: page.status, lines }
      await setTimeout(PAUSE_MS)
    }
  }
}

function shown({ at, step, current_index, stream, level, text }: Line): string {
  const item = current_index === null ? '' : `[${current_index}]`
  const where = styleText('dim', `${at.slice(11, 23)}  ${step ?? ''}${item}`)
  const bad = stream === 'stderr' || level === 'warn' || level === 'error'
  return `${where}  ${bad ? styleText('yellow', text) : text}`
}

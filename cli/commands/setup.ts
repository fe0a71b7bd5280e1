import { setUp } from '@noetl/core'
import { Flags } from '@oclif/core'
import { BaseCommand, databaseFlag, processFlags } from '../base-command.ts'
import { makeLog } from '../log.ts'

export default class Setup extends BaseCommand {
  static override summary =
    'Bring Postgres and NATS to what servers and workers need: migrations, stream, consumers'
  static override flags = {
    ...databaseFlag,
    ...processFlags,
    lanes: Flags.string({
      description: 'lanes to make consumers for, with commas [env: NOETL_WORKER_LANES, default normal]',
    }),
    pool: Flags.string({ description: 'pool to make consumers for [env: NOETL_WORKER_POOL]' }),
  }

  async run(): Promise<object> {
    const { flags } = await this.parse(Setup)
    const config = this.configOf(flags)
    const done = await setUp(config, { log: makeLog('warn', 2) })
    const applied =
      done.migrations.length === 0 ? 'nothing to apply' : `applied ${done.migrations.join(', ')}`
    this.log(`database  schema version ${done.schemaVersion}, ${applied}`)
    this.log(`stream    ${done.stream.name} ${done.stream.created ? 'made' : 'was there'}`)
    this.log(`consumers ${done.consumers.join(', ')}`)
    return done
  }
}

import { startWorker } from '@noetl/core'
import { Flags } from '@oclif/core'
import { BaseCommand, pluginFlags, processFlags, serverFlags } from '../../base-command.ts'
import { makeLog } from '../../log.ts'
import { untilStopped } from '../../process-signals.ts'

export default class WorkerStart extends BaseCommand {
  static override summary = 'Run a worker until it is told to stop; then it drains'
  static override enableJsonFlag = false
  static override flags = {
    ...serverFlags,
    ...processFlags,
    ...pluginFlags,
    v2: Flags.boolean({
      description: 'accepted for scripts of earlier generations; this is the only protocol',
    }),
    name: Flags.string({ description: 'default: host name and process id [env: NOETL_WORKER_NAME]' }),
    pool: Flags.string({ description: 'group of workers whose commands it takes [env: NOETL_WORKER_POOL]' }),
    lanes: Flags.string({
      description: 'lanes it takes from, with commas [env: NOETL_WORKER_LANES, default normal]',
    }),
    slots: Flags.string({ description: 'commands at once [env: NOETL_WORKER_SLOTS, default 16]' }),
    host: Flags.string({ description: 'address of its health routes [env: NOETL_HOST]' }),
    'health-port': Flags.string({
      description: 'port of its health routes; default: none [env: NOETL_WORKER_PORT]',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(WorkerStart)
    const config = this.configOf(flags)
    const log = makeLog(config.logLevel)
    const stopped = untilStopped()
    const worker = await startWorker(config, { log })
    log.info({ signal: await stopped }, 'the worker was told to stop')
    await worker.close()
  }
}

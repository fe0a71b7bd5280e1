import { startServer } from '@noetl/core'
import { BaseCommand, databaseFlag, listenFlags, pluginFlags, processFlags } from '../../base-command.ts'
import { makeLog } from '../../log.ts'
import { untilStopped } from '../../process-signals.ts'

export default class ServerStart extends BaseCommand {
  static override summary = 'Run a server until it is told to stop'
  static override enableJsonFlag = false
  static override flags = { ...databaseFlag, ...listenFlags, ...processFlags, ...pluginFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(ServerStart)
    const config = this.configOf(flags)
    const log = makeLog(config.logLevel)
    const stopped = untilStopped()
    const starting = startServer(config, { log })
    // A signal that comes while it starts stops it as soon as it has.
    const server = await starting
    log.info({ signal: await stopped }, 'the server stops')
    await server.close()
  }
}

import { join } from 'node:path'
import { type Client, type Config, makeClient, makeError, readConfig } from '@noetl/core'
import { Command, Errors, Flags } from '@oclif/core'
import { exitCodeOf } from './exit-codes.ts'

/** Flags of every command that talks to a server. */
export const serverFlags = {
  server: Flags.string({ description: 'URL of a server [env: SERVER_API_URL]', helpGroup: 'GLOBAL' }),
  token: Flags.string({
    description: 'bearer token of the server [env: NOETL_API_TOKEN]',
    helpGroup: 'GLOBAL',
  }),
}

/** Flags of every command that asks a server something and ends. */
export const requestFlags = {
  ...serverFlags,
  'request-timeout': Flags.integer({
    description: 'seconds that each request may take',
    default: 30,
    min: 1,
    max: 86_400,
    helpGroup: 'GLOBAL',
  }),
}

/** Flags of commands that start something. Each lies over the environment variable of its name. */
export const processFlags = {
  'nats-url': Flags.string({ description: '[env: NATS_URL]' }),
  'data-dir': Flags.string({ description: 'where local data is kept [env: NOETL_DATA_DIR, default .noetl]' }),
  'log-level': Flags.string({
    description: 'fatal, error, warn, info, debug, trace, silent [env: NOETL_LOG_LEVEL]',
  }),
}
/** Flag of commands that load plugins. */
export const pluginFlags = {
  'skip-broken': Flags.boolean({
    description: 'start without plugins that cannot be used, instead of not at all [env: NOETL_SKIP_BROKEN]',
  }),
}
export const databaseFlag = { 'database-url': Flags.string({ description: '[env: DATABASE_URL]' }) }
export const listenFlags = {
  host: Flags.string({ description: 'address to listen on [env: NOETL_HOST, default 127.0.0.1]' }),
  port: Flags.string({ description: 'port to listen on; 0: any free one [env: NOETL_PORT, default 8082]' }),
}

/** Environment variables that flags stand for. */
const VARIABLES: Record<string, string> = {
  server: 'SERVER_API_URL',
  token: 'NOETL_API_TOKEN',
  'database-url': 'DATABASE_URL',
  'nats-url': 'NATS_URL',
  'data-dir': 'NOETL_DATA_DIR',
  'log-level': 'NOETL_LOG_LEVEL',
  host: 'NOETL_HOST',
  port: 'NOETL_PORT',
  name: 'NOETL_WORKER_NAME',
  pool: 'NOETL_WORKER_POOL',
  lanes: 'NOETL_WORKER_LANES',
  slots: 'NOETL_WORKER_SLOTS',
  'health-port': 'NOETL_WORKER_PORT',
  'skip-broken': 'NOETL_SKIP_BROKEN',
}

/** Flags laid over the environment. */
function configOf(
  flags: Record<string, unknown>,
  settings: Record<string, string> = {},
  env: NodeJS.ProcessEnv = process.env,
): Config {
  const given = Object.entries(flags).flatMap(([flag, value]) => {
    const name = VARIABLES[flag]
    return name === undefined || value === undefined ? [] : [[name, value === true ? 'on' : String(value)]]
  })
  return readConfig({ ...settings, ...Object.fromEntries(given) }, env)
}

/** What all commands share: `--json`, a client, and errors told with their code and exit code. */
export abstract class BaseCommand extends Command {
  static override enableJsonFlag = true
  #client: Client | undefined

  /** The configuration, with the folder into which this command line installs plugins. */
  protected configOf(flags: Record<string, unknown>, settings: Record<string, string> = {}): Config {
    return configOf(flags, {
      NOETL_PLUGINS_DIR: process.env.NOETL_PLUGINS_DIR || join(this.config.dataDir, 'plugins'),
      ...settings,
    })
  }

  /** A client of the server that flags and environment name; closed when the command ends. */
  protected client(flags: {
    server?: string | undefined
    token?: string | undefined
    'request-timeout': number
  }): Client {
    const { serverApiUrl, apiToken } = configOf(flags)
    this.#client ??= limited(
      makeClient({ url: serverApiUrl, ...(apiToken === undefined ? {} : { token: apiToken }) }),
      flags['request-timeout'],
    )
    return this.#client
  }

  protected override async catch(
    error: Error & { code?: string; details?: unknown; statusCode?: number; oclif?: { exit?: number } },
  ): Promise<void> {
    if (error instanceof Errors.ExitError) throw error
    process.exitCode = exitCodeOf(error)
    const usage = error.code === undefined && error.oclif?.exit === 2
    const code = error.code ?? (usage ? 'NOETL_ERR_USAGE' : 'NOETL_ERR_FAILED')
    if (this.jsonEnabled()) {
      this.logJson({
        error: {
          code,
          message: error.message,
          ...(error.details === undefined ? {} : { details: error.details }),
        },
      })
    } else {
      this.logToStderr(`Error: ${error.message}`)
      if (error.code !== undefined) this.logToStderr(`Code: ${error.code}`)
      else if (!usage && process.env.DEBUG) this.logToStderr(String(error.stack))
      if (usage) this.logToStderr(`See: noetlctl ${(this.id ?? '').replaceAll(':', ' ')} --help`)
    }
  }

  protected override async finally(): Promise<void> {
    await this.#client?.close()
  }
}

/** The same client, whose requests are over after a while, however slowly an answer drips in. */
function limited(client: Client, seconds: number): Client {
  return {
    ...client,
    async request(method, path, body, options = {}) {
      const timeUp = AbortSignal.timeout(seconds * 1000)
      const signal = options.signal === undefined ? timeUp : AbortSignal.any([options.signal, timeUp])
      try {
        return await client.request(method, path, body, { timeoutMs: seconds * 1000, ...options, signal })
      } catch (cause) {
        if (!timeUp.aborted || options.signal?.aborted) throw cause
        throw makeError(
          'NOETL_ERR_SERVER_UNREACHABLE',
          [client.url, `${method} ${path} took more than ${seconds} s (--request-timeout)`],
          { cause },
        )
      }
    },
  }
}

import { join } from 'node:path'
import { styleText } from 'node:util'
import { type Client, makeClient, setUp, startServer, startWorker } from '@noetl/core'
import { Flags } from '@oclif/core'
import {
  BaseCommand,
  databaseFlag,
  listenFlags,
  pluginFlags,
  processFlags,
  serverFlags,
} from '../base-command.ts'
import { quoteForShell, writeEnvironmentFile } from '../dev/environment-file.ts'
import { keepEncryptionKey, startLocalServers } from '../dev/local-servers.ts'
import { startOrdersApi } from '../dev/orders-api.ts'
import { registerCredential, registerSamples } from '../dev/samples.ts'
import { EXIT } from '../exit-codes.ts'
import { follow } from '../follow.ts'
import { makeLog } from '../log.ts'
import { eventLine, summary } from '../output/execution.ts'
import { untilStopped } from '../process-signals.ts'

/** Credential under which playbooks find the database of the gateway. */
const CREDENTIAL = 'pg_local'
const HELLO = 'tests/fixtures/playbooks/hello_world'
const REPORT = 'samples/orders_report'
const DEFAULT_URL = 'http://127.0.0.1:8082'
/** Who presses Ctrl-C waits for it; what is cut short goes on with the next start. */
const GRACE_SECONDS = '2'
/** How long a part may take to stop. */
const STOP_MS = 20_000

export default class Dev extends BaseCommand {
  static override summary = 'Run everything on this machine: Postgres, NATS, server, worker, samples'
  static override description =
    'Starts Postgres 18 and nats-server under the data folder unless DATABASE_URL and NATS_URL name others, a server and a worker with all tools, registers the sample playbooks, runs them, and stays up until Ctrl-C.'
  static override enableJsonFlag = false
  static override flags = {
    ...databaseFlag,
    ...listenFlags,
    ...processFlags,
    ...pluginFlags,
    token: serverFlags.token,
    slots: Flags.string({
      description: 'commands at once of the worker [env: NOETL_WORKER_SLOTS, default 16]',
    }),
    once: Flags.boolean({ description: 'stop after the samples have run' }),
    samples: Flags.boolean({ allowNo: true, default: true, description: 'register and run the samples' }),
  }

  /** Whether a plugin serves metrics. */
  #metrics = false

  async run(): Promise<void> {
    const { flags } = await this.parse(Dev)
    const stopping = new AbortController()
    const stopped = untilStopped()
    void stopped.then((signal) => stopping.abort(new Error(`stopped by ${signal}`)))
    const closers: (() => Promise<unknown>)[] = []
    try {
      const client = await this.#start(flags, closers, stopping.signal)
      if (flags.samples) await this.#samples(client, closers, stopping.signal)
      if (!flags.once) {
        this.#next(client.url)
        await stopped
      }
    } catch (error) {
      // What was under way when we were told to stop has gone wrong for that alone.
      if (!stopping.signal.aborted) throw error
    } finally {
      if (closers.length > 0) this.log('stopping …')
      for (const closer of closers.reverse()) await this.#within(STOP_MS, closer)
      if (closers.length > 0) this.log('everything has stopped; the data is kept')
    }
  }

  /** Closes a part; one that does not end is left to the end of the process. */
  async #within(ms: number, close: () => Promise<unknown>): Promise<void> {
    const late = Symbol('late')
    const timer = Promise.withResolvers<typeof late>()
    const timeout = setTimeout(() => timer.resolve(late), ms)
    try {
      if ((await Promise.race([close(), timer.promise])) !== late) return
      this.logToStderr(`A part did not stop within ${ms / 1000} s; it ends with this process.`)
      setTimeout(() => process.exit(), ms).unref()
    } catch (error) {
      this.logToStderr(`A part did not stop as it should: ${(error as Error).message}`)
    } finally {
      clearTimeout(timeout)
    }
  }

  /** Brings all up in the order of dependence; what is up is in `closers`, whatever happens after. */
  async #start(
    flags: Record<string, unknown>,
    closers: (() => Promise<unknown>)[],
    signal: AbortSignal,
  ): Promise<Client> {
    // Read once before anything starts, so that a fault is told at once.
    const { dataDir } = this.configOf(flags)
    const servers = await startLocalServers({
      dataDir,
      databaseUrl: (flags['database-url'] as string | undefined) ?? process.env.DATABASE_URL,
      natsUrl: (flags['nats-url'] as string | undefined) ?? process.env.NATS_URL,
      say: (line) => this.#done(line),
      warn: (line) => this.logToStderr(`${styleText('yellow', '!')} ${line}`),
      signal,
    })
    closers.push(servers.close)
    signal.throwIfAborted()
    const settings = {
      NOETL_LOG_LEVEL: process.env.NOETL_LOG_LEVEL ?? 'warn',
      NOETL_WORKER_GRACE_SECONDS: process.env.NOETL_WORKER_GRACE_SECONDS ?? GRACE_SECONDS,
      NOETL_DEFAULT_POSTGRES_CREDENTIAL: process.env.NOETL_DEFAULT_POSTGRES_CREDENTIAL ?? CREDENTIAL,
      ...(process.env.NOETL_ENCRYPTION_KEY || process.env.NOETL_ENCRYPTION_KEY_FILE
        ? {}
        : { NOETL_ENCRYPTION_KEY: await keepEncryptionKey(dataDir) }),
    }
    const names = { 'database-url': servers.databaseUrl, 'nats-url': servers.natsUrl }
    const config = this.configOf({ ...flags, ...names }, settings)
    const log = makeLog(config.logLevel, 2)
    const { migrations, schemaVersion } = await setUp(config, { log })
    this.#done(
      `the database has schema version ${schemaVersion}${migrations.length === 0 ? '' : ', made now'}`,
    )
    signal.throwIfAborted()
    const server = await startServer(config, { log })
    closers.push(server.close)
    signal.throwIfAborted()
    this.#done(`the server listens on ${server.url}`)
    this.#metrics = server.app.hasRoute({ method: 'GET', url: '/metrics' })
    const worker = await startWorker(this.configOf({ ...flags, ...names, server: server.url }, settings), {
      log,
    })
    closers.push(worker.close)
    signal.throwIfAborted()
    this.#done(`a worker takes commands: ${worker.kinds.join(', ')}`)
    const token = config.apiToken
    const client = makeClient({ url: server.url, ...(token === undefined ? {} : { token }) })
    closers.push(client.close)
    await registerCredential(client, CREDENTIAL, servers.databaseUrl)
    await this.#writeEnvironment(dataDir, { ...servers, serverUrl: server.url })
    return client
  }

  /** For other terminals: what a further server, worker or client needs to find this gateway. */
  async #writeEnvironment(
    dataDir: string,
    found: { databaseUrl: string; natsUrl: string; serverUrl: string },
  ): Promise<void> {
    const words = await writeEnvironmentFile(dataDir, {
      DATABASE_URL: found.databaseUrl,
      NATS_URL: found.natsUrl,
      SERVER_API_URL: found.serverUrl,
      NOETL_ENCRYPTION_KEY_FILE: join(dataDir, 'encryption.key'),
      NOETL_DEFAULT_POSTGRES_CREDENTIAL: CREDENTIAL,
    })
    this.#done(`other terminals find it with: ${words}`)
  }

  async #samples(client: Client, closers: (() => Promise<unknown>)[], signal: AbortSignal): Promise<void> {
    const { paths, changed } = await registerSamples(client)
    if (paths.length === 0) return
    this.#done(
      `${paths.length} sample playbooks are registered${changed < paths.length ? `, ${changed} of them anew` : ''}`,
    )
    await this.#runSample(client, HELLO, { message: 'NATS Test' }, signal)
    if (!paths.includes(REPORT)) return
    const api = await startOrdersApi()
    closers.push(api.close)
    await this.#runSample(client, REPORT, { api: api.url, database: CREDENTIAL }, signal)
  }

  async #runSample(client: Client, path: string, payload: object, signal: AbortSignal): Promise<void> {
    this.log(`\n$ noetlctl execute ${path} --watch`)
    const { execution_id } = await client.request<{ execution_id: string }>('POST', '/api/v2/execute', {
      path,
      payload,
    })
    const ended = await follow(client, execution_id, {
      timeoutSeconds: 120,
      signal,
      onEvent: (event) => {
        const line = eventLine(event)
        if (line !== undefined) this.log(line)
      },
    })
    if (ended !== undefined) this.log(summary(ended, { full: false, result: true }))
    if (ended?.status === 'COMPLETED') return
    process.exitCode = ended === undefined ? EXIT.timedOut : EXIT.failed
    this.logToStderr(`The sample ${path} did not complete.`)
  }

  #next(url: string): void {
    const server =
      url === DEFAULT_URL ? '' : ` --server ${/^[\w./:-]+$/.test(url) ? url : quoteForShell(url)}`
    this.log(`
API      ${url}/api/v2   (what there is: ${url}/openapi.json)
Health   ${url}/healthz   ${url}/readyz${this.#metrics ? `\nMetrics  ${url}/metrics` : ''}

Next, in another terminal:
  npx noetlctl execute ${HELLO} --set message=hi --watch${server}
  npx noetlctl playbook list${server}
  npx noetlctl execution list${server}

Ctrl-C stops everything; the data stays.`)
  }

  #done(line: string): void {
    this.log(`${styleText('green', '✓')} ${line}`)
  }
}

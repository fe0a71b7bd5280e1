import { mkdir, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { styleText } from 'node:util'
import { type Client, makeClient, setUp, startServer, startWorker } from '@noetl/core'
import { Flags } from '@oclif/core'
import {
  BaseCommand,
  configOf,
  databaseFlag,
  listenFlags,
  processFlags,
  serverFlags,
} from '../base-command.ts'
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

export default class Dev extends BaseCommand {
  static override summary = 'Run everything on this machine: Postgres, NATS, server, worker, samples'
  static override description =
    'Starts Postgres 18 and nats-server under the data folder unless DATABASE_URL and NATS_URL name others, a server and a worker with all tools, registers the sample playbooks, runs them, and stays up until Ctrl-C.'
  static override enableJsonFlag = false
  static override flags = {
    ...databaseFlag,
    ...listenFlags,
    ...processFlags,
    token: serverFlags.token,
    slots: Flags.string({
      description: 'commands at once of the worker [env: NOETL_WORKER_SLOTS, default 16]',
    }),
    once: Flags.boolean({ description: 'stop after the samples have run' }),
    samples: Flags.boolean({ allowNo: true, default: true, description: 'register and run the samples' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Dev)
    const stopped = untilStopped()
    let signalled = false
    void stopped.then(() => {
      signalled = true
    })
    const closers: (() => Promise<unknown>)[] = []
    try {
      const client = await this.#start(flags, closers)
      if (flags.samples && !signalled) await this.#samples(client, closers)
      if (!flags.once && !signalled) {
        this.#next(client.url)
        await stopped
      }
    } finally {
      if (closers.length > 0) this.log('stopping …')
      for (const closer of closers.reverse()) await closer()
      if (closers.length > 0) this.log('everything has stopped; the data is kept')
    }
  }

  /** Brings all up in the order of dependence; what is up is in `closers`, whatever happens after. */
  async #start(flags: Record<string, unknown>, closers: (() => Promise<unknown>)[]): Promise<Client> {
    // Read once before anything starts, so that a fault is told at once.
    const { dataDir } = configOf(flags)
    const servers = await startLocalServers({
      dataDir,
      databaseUrl: (flags['database-url'] as string | undefined) ?? process.env.DATABASE_URL,
      natsUrl: (flags['nats-url'] as string | undefined) ?? process.env.NATS_URL,
      say: (line) => this.#done(line),
    })
    closers.push(servers.close)
    const settings = {
      NOETL_LOG_LEVEL: process.env.NOETL_LOG_LEVEL ?? 'warn',
      NOETL_DEFAULT_POSTGRES_CREDENTIAL: process.env.NOETL_DEFAULT_POSTGRES_CREDENTIAL ?? CREDENTIAL,
      ...(process.env.NOETL_ENCRYPTION_KEY || process.env.NOETL_ENCRYPTION_KEY_FILE
        ? {}
        : { NOETL_ENCRYPTION_KEY: await keepEncryptionKey(dataDir) }),
    }
    const names = { 'database-url': servers.databaseUrl, 'nats-url': servers.natsUrl }
    const config = configOf({ ...flags, ...names }, settings)
    const log = makeLog(config.logLevel, 2)
    const { migrations, schemaVersion } = await setUp(config, { log })
    this.#done(
      `the database has schema version ${schemaVersion}${migrations.length === 0 ? '' : ', made now'}`,
    )
    const server = await startServer(config, { log })
    closers.push(server.close)
    this.#done(`the server listens on ${server.url}`)
    const worker = await startWorker(configOf({ ...flags, ...names, server: server.url }, settings), { log })
    closers.push(worker.close)
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
    await mkdir(dataDir, { recursive: true })
    const file = join(dataDir, 'environment')
    const lines = [
      `DATABASE_URL=${found.databaseUrl}`,
      `NATS_URL=${found.natsUrl}`,
      `SERVER_API_URL=${found.serverUrl}`,
      `NOETL_ENCRYPTION_KEY_FILE=${join(dataDir, 'encryption.key')}`,
      `NOETL_DEFAULT_POSTGRES_CREDENTIAL=${CREDENTIAL}`,
    ]
    await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 })
    this.#done(`other terminals find it with: set -a; . ${relative(process.cwd(), file)}; set +a`)
  }

  async #samples(client: Client, closers: (() => Promise<unknown>)[]): Promise<void> {
    const { paths, changed } = await registerSamples(client)
    if (paths.length === 0) return
    this.#done(
      `${paths.length} sample playbooks are registered${changed < paths.length ? `, ${changed} of them anew` : ''}`,
    )
    await this.#runSample(client, HELLO, { message: 'NATS Test' })
    if (!paths.includes(REPORT)) return
    const api = await startOrdersApi()
    closers.push(api.close)
    await this.#runSample(client, REPORT, { api: api.url, database: CREDENTIAL })
  }

  async #runSample(client: Client, path: string, payload: object): Promise<void> {
    this.log(`\n$ noetlctl execute ${path} --watch`)
    const { execution_id } = await client.request<{ execution_id: string }>('POST', '/api/v2/execute', {
      path,
      payload,
    })
    const ended = await follow(client, execution_id, {
      timeoutSeconds: 120,
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
    this.log(`
API      ${url}/api/v2   (what there is: ${url}/openapi.json)
Health   ${url}/healthz   ${url}/readyz

Next, in another terminal:
  npx noetlctl execute ${HELLO} --set message=hi --watch
  npx noetlctl playbook list
  npx noetlctl execution list

Ctrl-C stops everything; the data stays.`)
  }

  #done(line: string): void {
    this.log(`${styleText('green', '✓')} ${line}`)
  }
}

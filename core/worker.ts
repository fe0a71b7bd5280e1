import { hostname } from 'node:os'
import fastify, { type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { connectBus, ensurePatiently } from './bus/bus.ts'
import { placesOf } from './bus/streams.ts'
import type { Config } from './config.ts'
import { makeError } from './errors.ts'
import { requireToken } from './token.ts'
import { type BrokenPlugin, broken } from './tools/check-plugin.ts'
import { CONTRACT } from './tools/define.ts'
import { extendApp, type Seen } from './tools/extend.ts'
import { discoverPlugins, loadTools, type PluginManifest } from './tools/host.ts'
import { type Lanes, makeLanes } from './tools/lanes.ts'
import { version } from './version.ts'
import { artifactTool } from './worker/artifact.ts'
import { makeCredentials } from './worker/credentials.ts'
import { makeKeychain, storedKey } from './worker/keychain.ts'
import { makeLeases } from './worker/leases.ts'
import { withOutput } from './worker/output.ts'
import { makeReports } from './worker/reports.ts'
import { runCommand, type Surroundings } from './worker/run-command.ts'
import { askWaiting, isUnreachable, makeServers } from './worker/servers.ts'
import { type Taking, takeCommands } from './worker/take.ts'
import { traced } from './worker/traced.ts'

/** A worker that takes commands. */
export interface Worker {
  name: string
  kinds: string[]
  /** Base URL of its health routes; undefined when it has none. */
  url: string | undefined
  /** Commands under way. */
  readonly busy: number
  /** Drains: takes no more, lets what runs end within the grace period, hands the rest back. Safe twice. */
  close(): Promise<void>
}

const HEARTBEAT_MS = 15_000

/**
 * Composition root of the worker: tools, servers, bus, slots. It has no access to the database. Throws
 * NOETL_ERR_PLUGIN_*, NOETL_ERR_SERVER_UNREACHABLE or NOETL_ERR_BUS_UNREACHABLE, and then nothing is left open.
 */
export async function startWorker(config: Config, options: { log: Logger }): Promise<Worker> {
  const { slots, pool, name, graceSeconds } = config.worker
  const log = options.log.child({ worker: name })
  const closers: (() => Promise<unknown>)[] = []
  try {
    const patienceMs = config.startPatienceSeconds * 1000
    const brokenPlugins: BrokenPlugin[] = []
    const onBroken = broken(brokenPlugins, { skip: config.skipBroken, log })
    const manifests = await discoverPlugins({ names: config.plugins, dir: config.pluginsDir, onBroken })
    const tools = await loadTools({
      manifests,
      optionsOf: (kind) => config.worker.toolOptions[kind] ?? {},
      onBroken,
    })
    closers.push(() => tools.close())
    const servers = makeServers({ url: config.serverApiUrl, token: config.apiToken })
    closers.push(() => servers.close())
    const lanes = makeLanes()
    /** Those of the configuration, else all there are, which plugins say. */
    const taken = () => lanes.taken(config.worker.lanes)
    const registration = {
      name,
      kind: 'worker_pool',
      runtime: 'node',
      status: 'ready',
      capacity: slots,
      labels: { pool, lanes: taken().join(',') },
      kinds: tools.kinds(),
      hostname: hostname(),
      pid: process.pid,
    }
    await untilServed(() => servers.post('/api/worker/pool/register', registration), { patienceMs, log })
    const bus = await connectBus({
      url: config.natsUrl,
      replicas: config.natsReplicas,
      name: `noetl-worker ${name}`,
      patienceMs,
      log,
    })
    closers.push(() => bus.close())

    const leases = makeLeases({ workerId: name, servers, log })
    closers.push(async () => leases.close())
    tools.register(artifactTool(servers), { name: '@noetl/core', version: String(CONTRACT) })
    const keychain = makeKeychain()
    const credentials = makeCredentials(servers, config.worker.defaultPostgresCredential)
    let stopping = false
    let taking: Taking | undefined
    // Before the first command is taken: what fails here must leave none under way.
    const health = await serveHealth(config, {
      manifests,
      lanes,
      state: () => ({
        status: stopping ? 'draining' : 'ok',
        busy: taking?.busy ?? 0,
        slots,
        ...(brokenPlugins.length === 0 ? {} : { broken_plugins: brokenPlugins }),
      }),
      seen: {
        role: 'worker',
        version,
        log,
        config: {
          ...{ name, slots, pool },
          get lanes() {
            return taken()
          },
        },
        busConnected: () => bus.connected(),
        busy: () => taking?.busy ?? 0,
      },
    })
    closers.push(health.close)
    const places = placesOf(taken(), [pool])
    await ensurePatiently(bus, places, { patienceMs, log })
    if (registration.labels.lanes !== taken().join(',')) {
      registration.labels.lanes = taken().join(',')
      await servers.post('/api/worker/pool/register', registration)
    }
    const commands = takeCommands({
      bus,
      places,
      waiting: (place, limit) => askWaiting(servers, { workerId: name, place, limit }),
      slots,
      ...(lanes.share === undefined ? {} : { share: lanes.share }),
      leases,
      log,
      run: ({ command, signal, hint }) => {
        const around: Surroundings = {
          tools,
          ...traced(command, log),
          signal,
          credentials,
          keychain: (of) =>
            keychain(of, {
              tools,
              log,
              signal,
              credentials,
              stored: (catalogId, name, executionId) => storedKey(servers, { catalogId, name, executionId }),
              now: () => new Date().toISOString(),
            }),
          now: () => new Date().toISOString(),
        }
        return withOutput(command, around, { servers, hint, log }, (own) => runCommand(command, own))
      },
      report: makeReports({ workerId: name, servers, log }),
    })
    taking = commands

    const stream = setInterval(() => {
      // The bus may have lost stream and consumers; a worker alone makes them anew too.
      if (bus.connected())
        bus.ensure(places).catch((err) => log.debug({ err }, 'the stream could not be looked at'))
    }, 5000)
    const beat = setInterval(() => {
      servers
        .post('/api/worker/pool/heartbeat', { name, registration })
        .catch((err: Error) => log.debug({ why: err.message }, 'no server took the heartbeat'))
    }, HEARTBEAT_MS)
    closers.push(async () => {
      clearInterval(stream)
      clearInterval(beat)
    })
    log.info(
      { slots, places, kinds: tools.kinds(), server: config.serverApiUrl },
      'the worker takes commands',
    )

    async function drain(): Promise<void> {
      stopping = true
      log.info(
        { busy: commands.busy, grace_s: graceSeconds },
        'the worker stops: what runs may end, nothing new is taken',
      )
      await commands.drain(graceSeconds * 1000)
      await servers.post('/api/worker/pool/deregister', { name }).catch(() => undefined)
    }

    let closed: Promise<void> | undefined
    return {
      name,
      kinds: tools.kinds(),
      url: health.url,
      get busy() {
        return commands.busy
      },
      close() {
        closed ??= (async () => {
          await drain()
          for (const closer of closers.splice(0).reverse()) await closer()
          log.info('the worker has stopped')
        })()
        return closed
      },
    }
  } catch (error) {
    for (const closer of closers.reverse()) await closer()
    throw error
  }
}

/** Asks until a server answers; says so while none does. */
async function untilServed(
  ask: () => Promise<unknown>,
  { patienceMs, log }: { patienceMs: number; log: Logger },
): Promise<void> {
  const until = Date.now() + patienceMs
  for (let attempt = 1; ; attempt++) {
    try {
      await ask()
      return
    } catch (error) {
      if (!isUnreachable(error) || Date.now() >= until) throw error
      log.warn({ attempt, why: (error as Error).message }, 'no server answers yet; trying again')
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000, 100 * attempt)))
    }
  }
}

/** The health app and what extends it. It listens only where a port is configured; extensions hear all the same. */
async function serveHealth(
  config: Config,
  {
    manifests,
    lanes,
    state,
    seen,
  }: { manifests: readonly PluginManifest[]; lanes: Lanes; state: () => object; seen: Seen },
): Promise<{ url: string | undefined; close(): Promise<void> }> {
  const { port } = config.worker
  const app = fastify({ logger: false })
  try {
    requireToken(app, { apiToken: config.apiToken, openPaths: ['/healthz', '/readyz'] })
    app.get('/healthz', state)
    app.get('/readyz', state)
    await extendApp(app, { manifests, options: config.pluginOptions, lanes, seen })
    const close = () => app.close()
    if (port !== undefined) return { url: await listen(app, { host: config.host, port }), close }
    await app.ready()
    return { url: undefined, close }
  } catch (error) {
    await app.close()
    throw error
  }
}

async function listen(app: FastifyInstance, { host, port }: { host: string; port: number }): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (cause) {
    throw makeError('NOETL_ERR_PORT_TAKEN', [`${host}:${port}`, (cause as Error).message], { cause })
  }
}

import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { connectBus, ensurePatiently } from './bus/bus.ts'
import { consumerFigures } from './bus/figures.ts'
import { placesOf } from './bus/streams.ts'
import { publish } from './channels.ts'
import type { Config } from './config.ts'
import { makeChildren } from './engine/children.ts'
import { makeClaims } from './engine/claims.ts'
import { makeEngine } from './engine/engine.ts'
import { makeLetters } from './engine/letters.ts'
import { makePlans } from './engine/plans.ts'
import { poolsBy } from './engine/pools.ts'
import { makeError } from './errors.ts'
import { makeApp } from './http/app.ts'
import type { Parts } from './http/parts.ts'
import { allRoutes } from './http/routes.ts'
import { notificationOf } from './schemas/notification.ts'
import { makeIdSource } from './store/ids.ts'
import { checkSchema } from './store/migrate.ts'
import { openPools, openReadPool, type Pools, waitForStore } from './store/pools.ts'
import { makePostgresMonitor } from './store/postgres-monitor.ts'
import type { Waiting } from './store/queue.ts'
import { makeStore } from './store/store.ts'
import { makeUnserved } from './store/unserved.ts'
import { kindsOfWorkers } from './store/workers.ts'
import { type BrokenPlugin, broken } from './tools/check-plugin.ts'
import type { Effect } from './tools/define.ts'
import { describeOnce } from './tools/describe.ts'
import { extendApp, type Seen } from './tools/extend.ts'
import { discoverPlugins, kindsOf, type PluginManifest } from './tools/host.ts'
import { type Lanes, makeLanes } from './tools/lanes.ts'
import { announceDuty, makeShown } from './upkeep/announce.ts'
import { childrenDuty } from './upkeep/children.ts'
import { consumersDuty, followExhausted } from './upkeep/consumers.ts'
import { giveUpDuty } from './upkeep/give-up.ts'
import { postgresHealthDuty } from './upkeep/postgres-health.ts'
import { rescueDuty } from './upkeep/rescue.ts'
import { retentionDuty } from './upkeep/retention.ts'
import { stalledDuty } from './upkeep/stalled.ts'
import { streamDuty } from './upkeep/stream.ts'
import { startUpkeep } from './upkeep/upkeep.ts'
import { version } from './version.ts'

/** A server that listens. */
export interface Server {
  /** Its base URL, with the port it got. */
  url: string
  app: FastifyInstance
  /** Stops listening, ends what runs, lets go of Postgres and NATS. Safe twice. */
  close(): Promise<void>
}

/**
 * Composition root of the server: store, bus, engine, routes, upkeep, in the order of their dependence.
 * Waits for Postgres and NATS as long as the configuration says; throws NOETL_ERR_STORE_UNREACHABLE,
 * NOETL_ERR_STORE_SCHEMA or NOETL_ERR_BUS_UNREACHABLE, and then nothing is left open.
 */
export async function startServer(config: Config, options: { log: Logger }): Promise<Server> {
  const { log } = options
  const closers: (() => Promise<unknown>)[] = []
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= (async () => {
      for (const closer of closers.splice(0).reverse()) await closer()
    })()
    return closed
  }
  try {
    const patienceMs = config.startPatienceSeconds * 1000
    const onError = (err: Error) =>
      log.warn({ err: { message: err.message } }, 'a connection to Postgres was lost')
    const pools = openPools({
      url: config.databaseUrl,
      maxConnections: config.databaseConnections,
      onError,
    })
    closers.push(() => pools.close())
    const reading = openReadPool({ url: config.databaseUrl, onError })
    closers.push(() => reading.end())
    await waitForStore(pools.durable, { url: config.databaseUrl, patienceMs, log })
    await checkSchema(pools.durable)
    const bus = await connectBus({
      url: config.natsUrl,
      replicas: config.natsReplicas,
      name: 'noetl-server',
      patienceMs,
      log,
    })
    closers.push(() => bus.close())
    const brokenPlugins: BrokenPlugin[] = []
    const onBroken = broken(brokenPlugins, { skip: config.skipBroken, log })
    const manifests = await discoverPlugins({ names: config.plugins, dir: config.pluginsDir, onBroken })
    const parts = await makeParts(config, { log, pools, bus, manifests, brokenPlugins })
    const app = await makeApp({
      log,
      maxBodyBytes: config.maxBodyBytes,
      apiToken: config.apiToken,
      hosts: [config.host, ...hostsOf(config.publicUrl, config.serverApiUrl)],
      version,
    })
    closers.push(() => app.close())
    allRoutes(app, parts, version)
    await extendApp(app, {
      ...{ manifests, options: config.pluginOptions, lanes: parts.lanes },
      seen: seenBy(parts, reading),
    })
    // Lanes and pools that servers make consumers for; workers make those of their own.
    const places = placesOf(parts.lanes.names, ['', ...config.routes.map(({ pool }) => pool)])
    await ensurePatiently(bus, places, { patienceMs, log })
    await listen(app, config)
    parts.url = config.publicUrl ?? urlOf(app)
    followExhausted({ bus, store: parts.store, log })
    const upkeep = startUpkeep(
      [
        rescueDuty(parts),
        giveUpDuty(parts),
        announceDuty({
          ...parts,
          places,
          afterSeconds: config.reannounceSeconds,
          shown: parts.shown.take,
          accepts: (command) => bus.accepts(command, notificationOf(command, parts.url)),
        }),
        stalledDuty(parts),
        childrenDuty(parts),
        streamDuty({ bus, store: parts.store, places }),
        consumersDuty({ bus, store: parts.store, places, log }),
        retentionDuty({ pools, log, days: config.retentionDays }),
        postgresHealthDuty(parts),
      ],
      log,
    )
    closers.push(() => upkeep.close())
    // Nobody waits for it here: the first playbook does, if it comes that soon.
    void parts.tools()
    closers.push(() => parts.tools())
    log.info({ url: parts.url, version, bus: bus.url }, 'the server listens')
    return { url: parts.url, app, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function makeParts(
  config: Config,
  {
    log,
    pools,
    bus,
    manifests,
    brokenPlugins,
  }: Pick<Parts, 'log' | 'bus' | 'brokenPlugins'> & { pools: Pools; manifests: readonly PluginManifest[] },
): Promise<Parts & { url: string; lanes: Lanes }> {
  const { rows } = await pools.durable.query<{ server: string }>(
    `SELECT nextval('noetl.server_number') AS server`,
  )
  const newId = makeIdSource({ server: Number(rows[0]!.server) })
  const store = makeStore(pools)
  const plans = makePlans(store)
  const installed = kindsOf(manifests)
  const tools = describeOnce({
    manifests,
    optionsOf: (kind) => config.worker.toolOptions[kind] ?? {},
    onFailed: ({ plugin, kinds, why }) =>
      log.error(
        { plugin, kinds, why },
        'a plugin does not load; playbooks that use it are not checked as closely',
      ),
  })
  const announce = (commands: Waiting[], again = false) => {
    for (const command of commands)
      bus.announce(command, notificationOf(command, parts.url), command.traceparent)
    if (commands.length > 0) publish('noetl:announced', { count: commands.length, again })
  }
  /** What repeating a call does, by tool kind, as the plugins say. */
  const effects = new Map<string, Effect>()
  for (const tool of await tools()) effects.set(tool.kind, tool.effect)
  const lanes = makeLanes()
  const engine = makeEngine({
    store,
    plans,
    newId,
    log,
    announce,
    leaseSeconds: config.leaseSeconds,
    effectOf: (kind) => effects.get(kind) ?? 'idempotent',
    poolOf: poolsBy(config.routes),
    checkLanes: (names) => lanes.check(names),
    onChildren: (parent, begun) => children.begin(parent, begun),
    onEnded: (executionId, parentId) => children.ended(executionId, parentId),
  })
  const children = makeChildren({ store, plans, engine, log, templateEnv: config.templateEnv })
  const claims = makeClaims({
    store,
    plans,
    newId,
    leaseSeconds: config.leaseSeconds,
    glimpse: engine.glimpse,
  })
  const parts: Parts & { url: string; lanes: Lanes } = {
    url: '',
    config,
    log,
    pools,
    postgres: makePostgresMonitor(pools.relaxed),
    store,
    bus,
    engine,
    lanes,
    unserved: makeUnserved(pools.relaxed),
    claims,
    children,
    letters: makeLetters({ store, engine, newId, announce }),
    plans,
    newId,
    announce,
    shown: makeShown(),
    async toolKinds() {
      return [...new Set([...installed, ...(await kindsOfWorkers(pools.durable))])].sort()
    },
    tools,
    brokenPlugins,
  }
  return parts
}

/** What extensions may see of the server: figures, and the data for reading. */
function seenBy({ config, log, bus, pools }: Parts, reading: ReturnType<typeof openReadPool>): Seen {
  const { leaseSeconds, reannounceSeconds, retentionDays } = config
  return {
    role: 'server',
    version,
    log,
    config: { leaseSeconds, reannounceSeconds, retentionDays },
    busConnected: () => bus.connected(),
    query: async (statement) => (await reading.query(statement)).rows,
    pools: () =>
      (['durable', 'relaxed'] as const).map((name) => ({
        name,
        max: pools[name].options.max,
        open: pools[name].totalCount,
        idle: pools[name].idleCount,
        waiting: pools[name].waitingCount,
      })),
    consumers: () => consumerFigures(bus),
  }
}

/** Names in addresses that the configuration gives. */
function hostsOf(...urls: (string | undefined)[]): string[] {
  return urls.flatMap((url) => (url !== undefined && URL.canParse(url) ? [new URL(url).hostname] : []))
}

async function listen(app: FastifyInstance, { host, port }: Config): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    throw makeError('NOETL_ERR_PORT_TAKEN', [`${host}:${port}`, (cause as Error).message], { cause })
  }
}

function urlOf(app: FastifyInstance): string {
  const address = app.server.address()
  if (address === null || typeof address === 'string') return String(address)
  const host = address.address === '0.0.0.0' || address.address === '::' ? '127.0.0.1' : address.address
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

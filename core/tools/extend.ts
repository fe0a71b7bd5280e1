import type { FastifyInstance } from 'fastify'
import { type Facts, listen } from '../channels.ts'
import type { JsonObject } from '../schemas/json.ts'
import type { ToolLog } from './define.ts'
import { isExtension, loadOne, type PluginManifest } from './host.ts'
import type { LanePlan, Lanes } from './lanes.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** For plugins that extend a server or a worker: what they may see of it. */
    noetl: Gateway
  }
}

/**
 * Extensions: plugins without tool kinds, with the role `server`, `worker` or both. Each is a Fastify plugin,
 * registered before the process listens on the server's app or on the worker's health app, where it finds
 * `app.noetl`. It adds routes and hooks and hears facts; it decides nothing about work.
 */
export type Gateway = ServerGateway | WorkerGateway

interface AnyGateway {
  /** Of the core. */
  version: string
  /** All plugins of this process, tool plugins included. */
  plugins: readonly { name: string; version: string; kinds: readonly string[] }[]
  log: ToolLog
  /** Brings lanes beside the normal one, on servers and workers alike. */
  bringLanes(plan: LanePlan): void
  /** False while the connection to NATS is lost. */
  busConnected(): boolean
  /** Hears facts of this process until the app closes, synchronously: be quick. What it throws is logged, once. */
  listen<N extends keyof Facts>(name: N, hear: (fact: Facts[N]) => void): void
}

/** A server as its extensions see it. */
export interface ServerGateway extends AnyGateway {
  role: 'server'
  config: { leaseSeconds: number; reannounceSeconds: number; retentionDays: number }
  /**
   * Reads from Postgres, on two connections of its own that write nothing: a statement has 2 seconds, and rejects
   * when it takes longer or finds no connection free.
   */
  query<R extends object>(statement: { name?: string; text: string; values?: unknown[] }): Promise<R[]>
  /** The connections to Postgres that the server itself works with. */
  pools(): PoolFigures[]
  /** Consumers of the stream; rejects while the bus is away. */
  consumers(): Promise<{ name: string; pending: number; unacknowledged: number; redelivered: number }[]>
}

export interface PoolFigures {
  name: 'durable' | 'relaxed'
  max: number
  open: number
  idle: number
  /** Statements that wait for a connection. */
  waiting: number
}

/** A worker as its extensions see it. */
export interface WorkerGateway extends AnyGateway {
  role: 'worker'
  config: { name: string; slots: number; lanes: readonly string[]; pool: string }
  /** Commands under way. */
  busy(): number
}

type Added = 'plugins' | 'listen' | 'bringLanes'

/** What the composition roots give; the rest is the same for both. */
export type Seen = Omit<ServerGateway, Added> | Omit<WorkerGateway, Added>

/** Options of a plugin by its name, as configured; false: it is not loaded. */
export type PluginOptions = Readonly<Record<string, JsonObject | false>>

/** Registers the extensions of a role, one after the other. Throws NOETL_ERR_PLUGIN_LOAD for the one that fails. */
export async function extendApp(
  app: FastifyInstance,
  {
    manifests,
    options,
    lanes,
    ...rest
  }: {
    manifests: readonly PluginManifest[]
    options: PluginOptions
    lanes: Pick<Lanes, 'bring'>
    seen: Seen
  },
): Promise<void> {
  const unheard: (() => void)[] = []
  const seen: Gateway = {
    ...rest.seen,
    plugins: manifests.map(({ name, version, kinds }) => ({ name, version, kinds })),
    bringLanes: (plan) => lanes.bring(plan),
    listen: (name, hear) => void unheard.push(listen(name, guarded(name, hear, rest.seen.log))),
  }
  app.decorate('noetl', { getter: () => seen })
  app.addHook('onClose', async () => {
    for (const stop of unheard.splice(0)) stop()
  })
  for (const manifest of manifests) {
    if (!isExtension(manifest) || !manifest.roles.includes(seen.role)) continue
    const settings = options[manifest.name] ?? {}
    if (settings !== false) await loadOne(app, manifest, settings)
  }
}

/** Who listens must not take down who works: what a listener throws would end the process. */
function guarded<N extends keyof Facts>(
  name: N,
  hear: (fact: Facts[N]) => void,
  log: ToolLog,
): (fact: Facts[N]) => void {
  let told = false
  return (fact) => {
    try {
      hear(fact)
    } catch (err) {
      if (!told) log.error({ err, fact: name }, 'a plugin failed on a fact that it heard; said once')
      told = true
    }
  }
}

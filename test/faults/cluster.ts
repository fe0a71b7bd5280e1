import { freePort } from '../../cli/local/child.ts'
import { makeClient } from '../../core/client.ts'
import { migrate } from '../../core/store/migrate.ts'
import { KEY } from '../support/gateway.ts'
import { testNats } from '../support/nats.ts'
import { type NatsNode, natsCluster } from '../support/nats-cluster.ts'
import { ownServer, testDatabase } from '../support/postgres.ts'
import { noetlctl, type Running } from '../support/process.ts'
import { makeRelay, type Relay } from '../support/proxy.ts'
import { smallDisk } from '../support/small-disk.ts'
import type { Teardown } from '../support/teardown.ts'
import { until } from '../support/wait.ts'

/** Two servers and three workers as processes, each of whose connections can be cut. */
export interface Cluster {
  /** Of Postgres itself, past any cut. */
  databaseUrl: string
  /** Of NATS itself. */
  natsUrl: string
  nats: Pick<Awaited<ReturnType<typeof testNats>>, 'kill' | 'start'>
  /** Nodes of the NATS cluster, where it is one. */
  nodes: NatsNode[]
  /** Folder of the store of a NATS with little space. */
  natsDisk: string | undefined
  /** Only where the cluster has a Postgres of its own. */
  postgres: Awaited<ReturnType<typeof ownServer>> | undefined
  servers: ServerProcess[]
  workers: WorkerProcess[]
  links: Record<Link, Relay[]>
}

export type Link = 'worker-server' | 'server-nats' | 'server-postgres' | 'worker-nats'

export interface ServerProcess {
  /** Past any cut. */
  url: string
  up: boolean
  pid(): number
  output(): string
  kill(signal: NodeJS.Signals): Promise<void>
  start(): Promise<void>
}

export interface WorkerProcess {
  name: string
  pid(): number
  kill(signal: NodeJS.Signals): void
  /** Starts one of its name, once the one before has ended. */
  start(): Promise<void>
}

export interface ClusterOptions {
  servers: number
  workers: number
  env?: NodeJS.ProcessEnv
  /** A Postgres of its own, so that it can be killed; else a database on the shared one. */
  ownPostgres: boolean
  /** One node; three of them, with three copies of the stream; or one on a disk of 32 MB. */
  nats?: 'single' | 'cluster' | 'small-disk'
}

export async function faultCluster(t: Teardown, options: ClusterOptions): Promise<Cluster> {
  const postgres = options.ownPostgres ? await ownServer(t) : undefined
  if (postgres !== undefined) await migrate(postgres.url)
  const databaseUrl = postgres?.url ?? (await testDatabase(t)).url
  const natsDisk = options.nats === 'small-disk' ? await smallDisk(t) : undefined
  const bus =
    options.nats === 'cluster'
      ? await natsCluster(t).then(({ url, nodes }) => ({ url, nodes, ...all(nodes) }))
      : { ...(await testNats(t, natsDisk)), nodes: [] }
  // Clients of a cluster learn of its nodes by themselves, past any relay.
  const natsPort = Number(new URL(bus.url.split(',')[0]!).port)
  const [serverNats, workerNats, serverPostgres] = await Promise.all([
    makeRelay(t, { target: natsPort }),
    makeRelay(t, { target: natsPort }),
    makeRelay(t, { target: Number(new URL(databaseUrl).port) }),
  ])
  const proxiedDatabase = new URL(databaseUrl)
  proxiedDatabase.port = String(serverPostgres.port)
  const env = {
    NOETL_ENCRYPTION_KEY: KEY,
    NOETL_LOG_LEVEL: 'info',
    NOETL_WORKER_SLOTS: '8',
    NOETL_NATS_REPLICAS: bus.nodes.length > 0 ? '3' : '1',
    ...options.env,
  }

  const fronts: Relay[] = []
  async function makeServer(): Promise<ServerProcess> {
    const port = await freePort()
    const front = await makeRelay(t, { target: port })
    fronts.push(front)
    let running: Running | undefined
    const server: ServerProcess = {
      url: `http://127.0.0.1:${port}`,
      up: false,
      pid: () => running?.pid ?? 0,
      output: () => running?.output() ?? '',
      async kill(signal) {
        server.up = false
        running?.kill(signal)
        await running?.exited
      },
      async start() {
        running = noetlctl(t, ['server', 'start'], {
          ...env,
          DATABASE_URL: proxiedDatabase.href,
          NATS_URL: bus.nodes.length > 0 ? bus.url : `nats://127.0.0.1:${serverNats.port}`,
          NOETL_PORT: String(port),
          NOETL_PUBLIC_URL: `http://127.0.0.1:${front.port}`,
        })
        await running.says(/the server listens/)
        server.up = true
      },
    }
    await server.start()
    return server
  }
  const servers = await Promise.all(Array.from({ length: options.servers }, makeServer))
  async function makeWorker(n: number): Promise<WorkerProcess> {
    const name = `worker-${n + 1}`
    let running: Running | undefined
    const worker: WorkerProcess = {
      name,
      pid: () => running?.pid ?? 0,
      kill: (signal) => running?.kill(signal),
      async start() {
        await running?.exited
        running = noetlctl(t, ['worker', 'start', '--v2', '--name', name], {
          ...env,
          NATS_URL: bus.nodes.length > 0 ? bus.url : `nats://127.0.0.1:${workerNats.port}`,
          SERVER_API_URL: `http://127.0.0.1:${fronts[n % fronts.length]!.port}`,
        })
        await running.says(/the worker takes commands/)
      },
    }
    await worker.start()
    return worker
  }
  const workers = await Promise.all(Array.from({ length: options.workers }, (_, n) => makeWorker(n)))
  return {
    databaseUrl,
    natsUrl: bus.url,
    nats: bus,
    nodes: bus.nodes,
    natsDisk,
    postgres,
    servers,
    workers,
    links: {
      'worker-server': fronts,
      'server-nats': [serverNats],
      'server-postgres': [serverPostgres],
      'worker-nats': [workerNats],
    },
  }
}

function all(nodes: NatsNode[]): Pick<NatsNode, 'kill' | 'start'> {
  return {
    kill: () => Promise.all(nodes.map((node) => node.kill())).then(() => undefined),
    start: () => Promise.all(nodes.map((node) => node.start())).then(() => undefined),
  }
}

/** Asks whichever server is up, again and again until one answers. */
export async function ask<T>(
  cluster: Cluster,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
  withinMs = 300_000,
): Promise<T> {
  let turn = 0
  return until(
    `an answer to ${method} ${path}`,
    async () => {
      const up = cluster.servers.filter((server) => server.up)
      const server = up[turn++ % Math.max(1, up.length)]
      if (server === undefined) return undefined
      const client = clientOf(server.url)
      return { answer: await client.request<T>(method, path, body, { timeoutMs: 5000 }) }
    },
    { withinMs, everyMs: 200 },
  ).then(({ answer }) => answer)
}

const clients = new Map<string, ReturnType<typeof makeClient>>()
function clientOf(url: string) {
  let client = clients.get(url)
  if (client === undefined) {
    client = makeClient({ url, connections: 64 })
    clients.set(url, client)
  }
  return client
}

/** Lets go of the connections that `ask` made. */
export async function closeClients(): Promise<void> {
  const open = [...clients.values()]
  clients.clear()
  await Promise.all(open.map((client) => client.close()))
}

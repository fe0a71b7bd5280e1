import { type Client, makeClient } from '../../core/client.ts'
import { type Execution, KEY } from './gateway.ts'
import { testNats } from './nats.ts'
import { credentialOf, testDatabase } from './postgres.ts'
import { noetlctl, type Running } from './process.ts'
import type { Teardown } from './teardown.ts'
import { until } from './wait.ts'

/** Servers and workers as processes of their own, on one Postgres and one NATS. */
export interface Cluster {
  databaseUrl: string
  nats: Awaited<ReturnType<typeof testNats>>
  servers: (Running & { url: string })[]
  workers: Running[]
  client: Client
  startServer(env?: NodeJS.ProcessEnv): Promise<Running & { url: string }>
  startWorker(env?: NodeJS.ProcessEnv): Promise<Running>
  register(content: string): Promise<string>
  execute(path: string, payload?: object, via?: Client): Promise<string>
  ended(id: string, withinMs?: number): Promise<Execution>
}

export async function testCluster(
  t: Teardown,
  options: { servers: number; workers: number; env?: NodeJS.ProcessEnv },
): Promise<Cluster> {
  const [{ url: databaseUrl }, nats] = await Promise.all([testDatabase(t), testNats(t)])
  const env = {
    DATABASE_URL: databaseUrl,
    NATS_URL: nats.url,
    NOETL_PORT: '0',
    NOETL_ENCRYPTION_KEY: KEY,
    NOETL_DEFAULT_POSTGRES_CREDENTIAL: 'pg_local',
    NOETL_LOG_LEVEL: 'info',
    ...options.env,
  }
  const servers: (Running & { url: string })[] = []
  const workers: Running[] = []
  async function startServer(more: NodeJS.ProcessEnv = {}) {
    const running = noetlctl(t, ['server', 'start'], { ...env, ...more })
    const [, url = ''] = await running.says(/"url":"(http[^"]+)".*the server listens/)
    const server = { ...running, url }
    servers.push(server)
    return server
  }
  async function startWorker(more: NodeJS.ProcessEnv = {}) {
    const n = workers.length
    const home = servers[n % servers.length]!.url
    const worker = noetlctl(t, ['worker', 'start', '--v2', '--name', `worker-${n + 1}`], {
      ...env,
      SERVER_API_URL: home,
      ...more,
    })
    workers.push(worker)
    await worker.says(/the worker takes commands/)
    return worker
  }
  await Promise.all(Array.from({ length: options.servers }, () => startServer()))
  const client = makeClient({ url: servers[0]!.url, timeoutMs: 60_000 })
  t.teardown(() => client.close())
  await client.request('POST', '/api/credentials', {
    name: 'pg_local',
    type: 'postgres',
    data: credentialOf(databaseUrl),
  })
  for (let n = 0; n < options.workers; n++) await startWorker()
  return {
    databaseUrl,
    nats,
    servers,
    workers,
    client,
    startServer,
    startWorker,
    register: async (content) =>
      (await client.request<{ path: string }>('POST', '/api/catalog/register', { content })).path,
    execute: async (path, payload = {}, via = client) =>
      (await via.request<{ execution_id: string }>('POST', '/api/v2/execute', { path, payload }))
        .execution_id,
    ended: (id, withinMs = 60_000) =>
      until(
        `the end of execution ${id}`,
        async () => {
          const execution = await client.request<Execution>('GET', `/api/v2/executions/${id}?page_size=1000`)
          return execution.status === 'RUNNING' ? undefined : execution
        },
        { withinMs, everyMs: 50 },
      ),
  }
}

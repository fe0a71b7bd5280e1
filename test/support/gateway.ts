import { pino } from 'pino'
import { type Client, makeClient } from '../../core/client.ts'
import { type Config, readConfig } from '../../core/config.ts'
import { type Server, startServer } from '../../core/server.ts'
import { startWorker, type Worker } from '../../core/worker.ts'
import { testNats } from './nats.ts'
import { testDatabase } from './postgres.ts'
import type { Teardown } from './teardown.ts'
import { until } from './wait.ts'

export const KEY = Buffer.alloc(32, 7).toString('base64')

/** A running server (and worker) in the process of the test, on a database and a NATS of its own. */
export interface Gateway {
  config: Config
  server: Server
  worker: Worker | undefined
  client: Client
  databaseUrl: string
  nats: Awaited<ReturnType<typeof testNats>>
  /** Registers a playbook given as YAML; returns its path. */
  register(content: string): Promise<string>
  /** Starts a playbook; returns the execution's id. */
  execute(path: string, payload?: object): Promise<string>
  /** Waits for the end of an execution and returns it as the API shows it. */
  ended(executionId: string, withinMs?: number): Promise<Execution>
  /** Registers, runs to the end and returns the execution. */
  run(content: string, payload?: object): Promise<Execution>
}

export interface Execution {
  execution_id: string
  status: string
  error: string | null
  result: unknown
  variables: Record<string, unknown>
  completed_steps: string[]
  events: {
    event_type: string
    node_name: string | null
    result: unknown
    current_index: number | null
    error: string | null
    worker_id: string | null
  }[]
}

export async function testGateway(
  t: Teardown,
  options: { env?: Record<string, string>; plugins?: string[]; worker?: boolean; databaseUrl?: string } = {},
): Promise<Gateway> {
  const nats = await testNats(t)
  const databaseUrl = options.databaseUrl ?? (await testDatabase(t)).url
  const env = {
    DATABASE_URL: databaseUrl,
    NATS_URL: nats.url,
    NOETL_PORT: '0',
    NOETL_ENCRYPTION_KEY: KEY,
    NOETL_WORKER_GRACE_SECONDS: '1',
    NOETL_PLUGINS: (options.plugins ?? []).join(','),
    ...options.env,
  }
  const log = pino({ level: process.env.NOETL_TEST_LOG ?? 'silent' })
  const config = readConfig({}, env)
  const server = await startServer(config, { log })
  t.teardown(() => server.close())
  const client = makeClient({ url: server.url })
  t.teardown(() => client.close())
  const worker =
    options.worker === false
      ? undefined
      : await startWorker(readConfig({}, { ...env, SERVER_API_URL: server.url }), { log })
  t.teardown(() => worker?.close())

  const gateway: Gateway = {
    config,
    server,
    worker,
    client,
    databaseUrl,
    nats,
    async register(content) {
      const { path } = await client.request<{ path: string }>('POST', '/api/catalog/register', { content })
      return path
    },
    async execute(path, payload) {
      const body = { path, ...(payload === undefined ? {} : { payload }) }
      return (await client.request<{ execution_id: string }>('POST', '/api/v2/execute', body)).execution_id
    },
    ended: (executionId, withinMs = 30_000) =>
      until(
        `the end of execution ${executionId}`,
        async () => {
          const execution = await client.request<Execution>(
            'GET',
            `/api/v2/executions/${executionId}?page_size=1000`,
          )
          return execution.status === 'RUNNING' ? undefined : execution
        },
        { withinMs },
      ),
    async run(content, payload) {
      return gateway.ended(await gateway.execute(await gateway.register(content), payload))
    },
  }
  return gateway
}

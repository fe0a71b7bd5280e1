import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'nats'
import { type Child, freePort, startChild } from '../../cli/local/child.ts'
import { findNatsServer } from '../../cli/local/nats-binary.ts'
import type { Teardown } from './teardown.ts'
import { until } from './wait.ts'

const ROOT = fileURLToPath(new URL('../../.noetl', import.meta.url))

export interface NatsNode {
  /** As `cluster.leader` of a stream says it. */
  name: string
  kill(): Promise<void>
  start(): Promise<void>
}

/** Three nats-servers on loopback that share their streams; the URL names all of them. */
export async function natsCluster(t: Teardown): Promise<{ url: string; nodes: NatsNode[] }> {
  const { path: binary } = await findNatsServer({ dir: ROOT })
  const dir = await mkdtemp(join(tmpdir(), 'noetl-test-cluster-'))
  const ports = await Promise.all([1, 2, 3].map(async () => [await freePort(), await freePort()] as const))
  const routes = ports.map(([, port]) => `nats-route://127.0.0.1:${port}`).join(', ')
  const running = new Map<string, Child>()
  t.teardown(async () => {
    await Promise.all([...running.values()].map((child) => child.stop()))
    await rm(dir, { recursive: true, force: true })
  })
  const nodes = await Promise.all(
    ports.map(async ([client, route], n): Promise<NatsNode> => {
      const name = `node-${n + 1}`
      const config = join(dir, `${name}.conf`)
      await writeFile(
        config,
        `server_name: ${name}
listen: 127.0.0.1:${client}
jetstream { store_dir: "${join(dir, name)}" }
cluster { name: noetl, listen: 127.0.0.1:${route}, routes: [${routes}] }
`,
      )
      return {
        name,
        async kill() {
          running.get(name)?.kill('SIGKILL')
          await running.get(name)?.stop()
        },
        async start() {
          running.set(name, startChild({ command: binary, args: ['-c', config], stopSignal: 'SIGINT' }))
        },
      }
    }),
  )
  await Promise.all(nodes.map((node) => node.start()))
  const url = ports.map(([port]) => `nats://127.0.0.1:${port}`).join(',')
  await until(
    'a cluster that keeps streams',
    async () => {
      const connection = await connect({ servers: url.replaceAll('nats://', '').split(',') })
      try {
        const manager = await connection.jetstreamManager()
        await manager.streams.add({ name: 'ready', subjects: ['ready'], num_replicas: 3 })
        return await manager.streams.delete('ready')
      } finally {
        await connection.close()
      }
    },
    { withinMs: 60_000, everyMs: 250 },
  )
  return { url, nodes }
}

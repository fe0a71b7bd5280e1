import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { JsonObject } from '@noetl/core'
import { type ConnectionOptions, connect, type NatsConnection } from 'nats'
import { freePort, startChild } from '../../../cli/local/child.ts'
import { findNatsServer } from '../../../cli/local/nats-binary.ts'
import { testFolder } from '../../support/folder.ts'
import type { Teardown } from '../../support/teardown.ts'
import { until } from '../../support/wait.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../../.noetl', import.meta.url))

export const PASSWORD = 's3cret-passw0rd'

const USERS = `authorization {users: [
  {user: ada, password: "${PASSWORD}"},
  {user: reader, password: "${PASSWORD}", permissions: {publish: {deny: ["$KV.>"]}}}
]}`

/** A nats-server that asks for a password, in a process that can be frozen, killed and started again. */
export interface Server {
  url: string
  /** Fields of a credential; `ada` may do all, `reader` may not write into buckets. */
  credential(user?: 'ada' | 'reader'): { type: string; data: JsonObject }
  /** Stops the process without ending it, and waits until it stands still. */
  freeze(): Promise<void>
  thaw(): void
  kill(): Promise<void>
  start(): Promise<void>
  /** A connection of the test's own, to make buckets and to look at what is there. */
  admin(): Promise<NatsConnection>
  /** Connections that the tool has open now. */
  connections(): Promise<number>
}

export async function natsServer(
  t: Teardown,
  options: {
    jetstream?: boolean
    /** Instead of the two users: how clients prove who they are, and how the test does. */
    guard?: { config: string; as: ConnectionOptions }
  } = {},
): Promise<Server> {
  const { jetstream = true, guard = { config: USERS, as: { user: 'ada', pass: PASSWORD } } } = options
  const { path: command } = await findNatsServer({ dir: ROOT })
  const folder = await testFolder(t, 'tool-nats')
  const [port, monitor] = [await freePort(), await freePort()]
  const store = join(folder, 'store')
  await mkdir(store)
  const config = join(folder, 'server.conf')
  const lines = [
    `listen: "127.0.0.1:${port}"`,
    `http: "127.0.0.1:${monitor}"`,
    guard.config,
    ...(jetstream ? [`jetstream {store_dir: "${store}"}`] : []),
  ]
  await writeFile(config, `${lines.join('\n')}\n`)
  const open = () => connect({ servers: `127.0.0.1:${port}`, reconnect: false, ...guard.as })
  const start = async () => {
    const child = startChild({ command, args: ['-c', config], stopSignal: 'SIGINT' })
    await until('the nats-server to answer', async () => {
      const connection = await open()
      try {
        if (jetstream) await (await connection.jetstreamManager()).getAccountInfo()
      } finally {
        await connection.close()
      }
      return true
    })
    return child
  }
  let child = await start()
  t.teardown(async () => {
    // A frozen one would not hear that it should stop.
    child.kill('SIGCONT')
    await child.stop()
  })
  const url = `nats://127.0.0.1:${port}`
  return {
    url,
    credential: (user = 'ada') => ({
      type: 'nats',
      data: { nats_url: url, nats_user: user, nats_password: PASSWORD },
    }),
    async freeze() {
      child.kill('SIGSTOP')
      await until('the nats-server to stand still', async () => {
        const { stdout } = await run('ps', ['-o', 'stat=', '-p', String(child.pid)])
        return stdout.startsWith('T')
      })
    },
    thaw: () => child.kill('SIGCONT'),
    async kill() {
      child.kill('SIGKILL')
      await child.exited
    },
    async start() {
      child = await start()
    },
    async admin() {
      const connection = await open()
      t.teardown(() => connection.close())
      return connection
    },
    async connections() {
      const answer = await fetch(`http://127.0.0.1:${monitor}/connz`)
      const { connections } = (await answer.json()) as { connections: { name?: string }[] }
      return connections.filter(({ name }) => name === 'noetl-tool-nats').length
    },
  }
}

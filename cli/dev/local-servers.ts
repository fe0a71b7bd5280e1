import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startNats } from '../local/nats.ts'
import { findNatsServer } from '../local/nats-binary.ts'
import { startPostgres } from '../local/postgres.ts'
import { keepRunning } from './keep-running.ts'

/** Postgres and NATS of a development gateway: those that are named, or its own under the data folder. */
export interface LocalServers {
  databaseUrl: string
  natsUrl: string
  close(): Promise<void>
}

export async function startLocalServers(options: {
  dataDir: string
  databaseUrl: string | undefined
  natsUrl: string | undefined
  say(line: string): void
  /** What is told later: a server that ended by itself and is started again. */
  warn(line: string): void
  signal?: AbortSignal
}): Promise<LocalServers> {
  const { dataDir, say, warn, signal } = options
  const started: { stop(): Promise<void> }[] = []
  const close = async () => {
    for (const server of started.splice(0).reverse()) await server.stop()
  }
  try {
    let { databaseUrl, natsUrl } = options
    if (databaseUrl === undefined) {
      const start = (port: number, until?: AbortSignal) =>
        startPostgres({
          dataDir: join(dataDir, 'postgres'),
          port,
          ...(until === undefined ? {} : { signal: until }),
        })
      const postgres = await start(0, signal)
      started.push(
        keepRunning('Postgres', postgres, { say: warn, again: (until) => start(postgres.port, until) }),
      )
      databaseUrl = postgres.url
      say(
        `Postgres runs on port ${postgres.port}, ${postgres.kept ? 'with the data of before' : `data in ${postgres.data}`}`,
      )
    } else say('Postgres is the one that DATABASE_URL names')
    if (natsUrl === undefined) {
      const { path: binary, how } = await findNatsServer({ dir: dataDir, say })
      const start = (port: number, until?: AbortSignal) =>
        startNats({
          binary,
          storeDir: join(dataDir, 'nats'),
          port,
          ...(until === undefined ? {} : { signal: until }),
        })
      const nats = await start(0, signal)
      started.push(keepRunning('NATS', nats, { say: warn, again: (until) => start(nats.port, until) }))
      natsUrl = nats.url
      say(`NATS with JetStream runs on port ${nats.port} (nats-server ${how})`)
    } else say('NATS is the one that NATS_URL names')
    return { databaseUrl, natsUrl, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The key that credentials are sealed with: made once, so that those stored before can be opened. */
export async function keepEncryptionKey(dataDir: string): Promise<string> {
  const file = join(dataDir, 'encryption.key')
  if (existsSync(file)) return (await readFile(file, 'utf8')).trim()
  const key = randomBytes(32).toString('base64')
  await mkdir(dataDir, { recursive: true })
  await writeFile(file, `${key}\n`, { mode: 0o600, flag: 'wx' })
  return key
}

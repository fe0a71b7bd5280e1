import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalNats, startNats } from '../local/nats.ts'
import { findNatsServer } from '../local/nats-binary.ts'
import { type LocalPostgres, startPostgres } from '../local/postgres.ts'

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
}): Promise<LocalServers> {
  const { dataDir, say } = options
  const started: (LocalPostgres | LocalNats)[] = []
  const close = async () => {
    for (const server of started.splice(0).reverse()) await server.stop()
  }
  try {
    let { databaseUrl, natsUrl } = options
    if (databaseUrl === undefined) {
      const postgres = await startPostgres({ dataDir: join(dataDir, 'postgres') })
      started.push(postgres)
      databaseUrl = postgres.url
      say(
        `Postgres runs on port ${postgres.port}, ${postgres.kept ? 'with the data of before' : `data in ${postgres.data}`}`,
      )
    } else say('Postgres is the one that DATABASE_URL names')
    if (natsUrl === undefined) {
      const { path: binary, how } = await findNatsServer({ dir: dataDir, say })
      const nats = await startNats({ binary, storeDir: join(dataDir, 'nats') })
      started.push(nats)
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

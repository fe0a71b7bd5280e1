import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Client, ServerError } from '@noetl/core'

/** Where the sample playbooks are in a checkout; an installed package has none. */
const FOLDER = [
  new URL('../../test/fixtures/playbooks/', import.meta.url),
  new URL('../../../test/fixtures/playbooks/', import.meta.url),
]
  .map((url) => fileURLToPath(url))
  .find((path) => existsSync(path))

/** Registers the samples whose text is not the newest one there; returns all their paths. */
export async function registerSamples(client: Client): Promise<{ paths: string[]; changed: number }> {
  if (FOLDER === undefined) return { paths: [], changed: 0 }
  const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.yaml')).sort()
  const paths: string[] = []
  let changed = 0
  for (const file of files) {
    const content = await readFile(join(FOLDER, file), 'utf8')
    const path = /^ {2}path: (\S+)$/m.exec(content)?.[1] ?? ''
    const there = await client
      .request<{ content: string }>('POST', '/api/catalog/resource', { path })
      .catch((error: unknown) => {
        if (error instanceof ServerError && error.statusCode === 404) return undefined
        throw error
      })
    if (there?.content !== content) {
      await client.request('POST', '/api/catalog/register', { content })
      changed += 1
    }
    paths.push(path)
  }
  return { paths, changed }
}

/** Stores the database of the gateway as a credential, for steps that name it. */
export async function registerCredential(client: Client, name: string, databaseUrl: string): Promise<void> {
  const url = new URL(databaseUrl)
  await client.request('POST', '/api/credentials', {
    name,
    type: 'postgres',
    description: 'the database of this development gateway',
    data: {
      db_host: url.hostname,
      db_port: Number(url.port || 5432),
      db_user: decodeURIComponent(url.username),
      db_password: decodeURIComponent(url.password),
      db_name: url.pathname.slice(1),
    },
  })
}

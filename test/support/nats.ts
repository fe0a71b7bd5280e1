import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type LocalNats, startNats } from '../../cli/local/nats.ts'
import { findNatsServer } from '../../cli/local/nats-binary.ts'
import type { Teardown } from './teardown.ts'

const ROOT = fileURLToPath(new URL('../../.noetl', import.meta.url))

/**
 * A nats-server of the test's own with a fresh store, which can be killed and started again on its port. The store
 * is in `dir`, or in a folder that is removed at the end.
 */
export async function testNats(
  t: Teardown,
  dir?: string,
): Promise<{
  url: string
  stop(): Promise<void>
  start(options?: { wipe?: boolean }): Promise<void>
  kill(): Promise<void>
}> {
  const { path: binary } = await findNatsServer({ dir: ROOT })
  const storeDir = join(dir ?? (await mkdtemp(join(tmpdir(), 'noetl-test-nats-'))), 'store')
  let server: LocalNats = await startNats({ binary, storeDir })
  const { url, port } = server
  t.teardown(async () => {
    await server.stop()
    await rm(storeDir, { recursive: true, force: true })
  })
  return {
    url,
    stop: () => server.stop(),
    async kill() {
      server.kill('SIGKILL')
      await server.stop()
    },
    async start({ wipe = false } = {}) {
      if (wipe) await rm(storeDir, { recursive: true, force: true })
      server = await startNats({ binary, storeDir, port })
    },
  }
}

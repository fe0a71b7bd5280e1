import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Teardown } from './teardown.ts'

/** A folder of the test's own, gone when it ends. Open to others: as root, Postgres runs as another user. */
export async function testFolder(t: Teardown, name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `noetl-test-${name}-`))
  await chmod(folder, 0o755)
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findNatsServer } from '../../cli/local/nats-binary.ts'

const { path: real } = await findNatsServer({ dir: fileURLToPath(new URL('../../.noetl', import.meta.url)) })
const dir = await mkdtemp(join(tmpdir(), 'noetl-test-nats-binary-'))
t.teardown(() => rm(dir, { recursive: true, force: true }))
await mkdir(join(dir, 'path'))
await mkdir(join(dir, 'empty'))
await symlink(real, join(dir, 'path', 'nats-server'))

t.test('nats-server: the one that is named comes first', async (t) => {
  t.same(await findNatsServer({ dir, env: { NOETL_NATS_SERVER: real, PATH: join(dir, 'path') } }), {
    path: real,
    how: 'named by NOETL_NATS_SERVER',
  })
})

t.test('nats-server: one that is named and does not run is an error with what to type', async (t) => {
  await t.rejects(findNatsServer({ dir, env: { NOETL_NATS_SERVER: '/no/such' } }), {
    message: /NOETL_NATS_SERVER is \/no\/such, .*apt-get install nats-server/,
  })
})

t.test('nats-server: then the one on PATH, then the one unpacked before', async (t) => {
  t.same(await findNatsServer({ dir, env: { PATH: join(dir, 'path') } }), {
    path: join(dir, 'path', 'nats-server'),
    how: 'found on PATH',
  })
  await mkdir(join(dir, 'own', 'bin'), { recursive: true })
  await symlink(real, join(dir, 'own', 'bin', 'nats-server'))
  t.same(await findNatsServer({ dir: join(dir, 'own'), env: { PATH: join(dir, 'empty') } }), {
    path: join(dir, 'own', 'bin', 'nats-server'),
    how: 'unpacked before',
  })
})

t.test('nats-server: one on PATH that does not run is passed over', async (t) => {
  await mkdir(join(dir, 'odd'))
  await writeFile(join(dir, 'odd', 'nats-server'), '#!/bin/sh\nexit 1\n')
  await chmod(join(dir, 'odd', 'nats-server'), 0o755)
  const found = await findNatsServer({ dir: join(dir, 'own'), env: { PATH: join(dir, 'odd') } })
  t.equal(found.how, 'unpacked before')
})

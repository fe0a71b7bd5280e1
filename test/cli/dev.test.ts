import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findNatsServer } from '../../cli/local/nats-binary.ts'
import { makeClient } from '../../core/client.ts'
import { testFolder } from '../support/folder.ts'
import { noetlctl } from '../support/process.ts'
import { until } from '../support/wait.ts'

const { path: nats } = await findNatsServer({ dir: fileURLToPath(new URL('../../.noetl', import.meta.url)) })
const dir = await testFolder(t, 'dev')
const env = { NOETL_DATA_DIR: join(dir, 'data'), NOETL_NATS_SERVER: nats }

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Process ids of the servers that `dev` started, as their own files tell. */
function postgresPid(): number {
  return Number(readFileSync(join(dir, 'data', 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0])
}

t.test(
  'dev: brings all up, runs the samples to their end, stops everything at Ctrl-C, and keeps the data',
  { timeout: 180_000 },
  async (t) => {
    const first = noetlctl(t, ['dev', '--port', '0'], env)
    await first.says(/Ctrl-C stops everything/, 120_000)
    const said = first.output()
    for (const line of [
      /✓ Postgres runs on port \d+, data in/,
      /✓ NATS with JetStream runs/,
      /✓ the server listens on (\S+)/,
      /✓ a worker takes commands: artifact, container, duckdb, ducklake, http, nats, noop, postgres, python, /,
      /COMPLETED {2}tests\/fixtures\/playbooks\/hello_world/,
      /COMPLETED {2}samples\/orders_report/,
    ]) {
      t.match(said, line)
    }
    t.match(said, /"greeting": "HELLO_WORLD: NATS Test"/)
    const [, port = ''] = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(said) ?? []
    for (const words of ['execute tests/.*', 'playbook list', 'execution list'])
      t.match(said, new RegExp(`npx noetlctl ${words} --server http://127\\.0\\.0\\.1:${port}\n`))
    const pid = postgresPid()
    const [, url = ''] = /the server listens on (\S+)/.exec(said) ?? []
    const client = makeClient({ url })
    t.match(await client.request('GET', '/readyz'), { status: 'ok' })
    const started = await client.request<{ execution_id: string }>('POST', '/api/v2/execute', {
      path: 'tests/fixtures/playbooks/hello_world',
      payload: { message: 'NATS Test' },
    })
    t.match(started, { execution_id: /^\d+$/, status: 'started', commands_generated: 1 })
    await until(
      'its end',
      async () =>
        (await client.request<{ status: string }>('GET', `/api/v2/executions/${started.execution_id}`))
          .status === 'COMPLETED',
    )
    await client.close()
    const secret = readFileSync(join(dir, 'data', 'encryption.key'), 'utf8')
    t.equal(statSync(join(dir, 'data', 'encryption.key')).mode & 0o077, 0, 'the key is for its owner alone')
    t.equal(statSync(join(dir, 'data', 'environment')).mode & 0o077, 0)
    t.notOk(said.includes(secret.trim()))
    first.kill('SIGINT')
    t.equal(await first.exited, 0)
    t.match(first.output(), /everything has stopped; the data is kept/)
    await until('Postgres to be gone', () => !alive(pid))
    t.notOk(existsSync(join(dir, 'data', 'postgres', 'data', 'postmaster.pid')))

    const second = noetlctl(t, ['dev', '--port', '0', '--once'], env)
    t.equal(await second.exited, 0)
    t.match(second.output(), /with the data of before/)
    t.match(second.output(), /2 sample playbooks are registered, 0 of them anew/)
    t.match(second.output(), /hello_world \(version 1\)/)
    t.equal(readFileSync(join(dir, 'data', 'encryption.key'), 'utf8'), secret, 'the key is kept')
  },
)

t.test(
  'dev: killed at once, it leaves no server behind; the next start recovers',
  { timeout: 120_000 },
  async (t) => {
    const first = noetlctl(t, ['dev', '--port', '0', '--no-samples'], env)
    await first.says(/Ctrl-C stops everything/, 60_000)
    const pid = postgresPid()
    first.kill('SIGKILL')
    await first.exited
    await until('Postgres to be gone', () => !alive(pid))
    const second = noetlctl(t, ['dev', '--port', '0', '--once'], env)
    t.equal(await second.exited, 0)
  },
)

t.test(
  'dev: a second one on the same data is refused with what to do; so is a taken port',
  { timeout: 120_000 },
  async (t) => {
    const first = noetlctl(t, ['dev', '--port', '0', '--no-samples'], env)
    const [, port = ''] = await first.says(/the server listens on http:\/\/127\.0\.0\.1:(\d+)/, 60_000)
    const same = noetlctl(t, ['dev', '--port', '0', '--no-samples'], env)
    t.equal(await same.exited, 1)
    t.match(same.output(), /another Postgres \(process \d+\) uses this data folder; .*NOETL_DATA_DIR/)
    const taken = noetlctl(t, ['dev', '--port', port, '--no-samples'], {
      ...env,
      NOETL_DATA_DIR: join(dir, 'other'),
    })
    t.equal(await taken.exited, 1)
    t.match(taken.output(), /Cannot listen on 127\.0\.0\.1:\d+.*--port/)
    t.match(taken.output(), /everything has stopped/)
  },
)

t.test(
  'dev: Ctrl-C in the midst of a sample stops at once, not at its end',
  { timeout: 120_000 },
  async (t) => {
    // A python that never answers: the sample would be waited for two minutes.
    const python = join(dir, 'python-that-hangs')
    writeFileSync(python, '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 })
    const running = noetlctl(t, ['dev', '--port', '0'], { ...env, NOETL_PYTHON: python })
    await running.says(/\$ noetlctl execute \S*hello_world --watch/, 60_000)
    const pressed = Date.now()
    running.kill('SIGINT')
    t.equal(await running.exited, 0)
    t.ok(Date.now() - pressed < 30_000, `it took ${Date.now() - pressed} ms`)
    t.notMatch(running.output(), /FAILED|did not stop/)
    t.match(running.output(), /everything has stopped/)
  },
)

t.test(
  'dev: its Postgres and NATS that died are started again, and work goes on',
  { timeout: 180_000 },
  async (t) => {
    const running = noetlctl(t, ['dev', '--port', '0', '--no-samples'], env)
    const [, url = ''] = await running.says(/the server listens on (\S+)/, 60_000)
    await running.says(/Ctrl-C stops everything/, 60_000)
    const natsPid = Number(readFileSync(join(dir, 'data', 'nats', 'nats-server.pid'), 'utf8'))
    process.kill(natsPid, 'SIGKILL')
    process.kill(postgresPid(), 'SIGKILL')
    for (const name of ['NATS', 'Postgres']) {
      await running.says(new RegExp(`${name} has ended by itself`), 60_000)
      await running.says(new RegExp(`${name} runs again`), 60_000)
    }
    const client = makeClient({ url })
    const path = 'tests/fixtures/playbooks/hello_world'
    const execution = await until(
      'a start',
      () => client.request<{ execution_id: string }>('POST', '/api/v2/execute', { path }),
      { withinMs: 60_000, everyMs: 200 },
    )
    await until(
      'its end',
      async () =>
        (await client.request<{ status: string }>('GET', `/api/v2/executions/${execution.execution_id}`))
          .status === 'COMPLETED',
      { withinMs: 60_000, everyMs: 100 },
    )
    await client.close()
    running.kill('SIGINT')
    t.equal(await running.exited, 0)
    t.notMatch(running.output(), /did not stop/)
  },
)

t.test(
  'dev: it stops while its Postgres and NATS are dead and do not come back',
  { timeout: 120_000 },
  async (t) => {
    const data = join(dir, 'dead')
    const running = noetlctl(t, ['dev', '--port', '0', '--no-samples'], { ...env, NOETL_DATA_DIR: data })
    await running.says(/Ctrl-C stops everything/, 60_000)
    const pids = [
      Number(readFileSync(join(data, 'nats', 'nats-server.pid'), 'utf8')),
      Number(readFileSync(join(data, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0]),
    ]
    // Without its version a data folder is refused; a file where the store was keeps NATS from starting.
    rmSync(join(data, 'postgres', 'data', 'global', 'pg_control'))
    rmSync(join(data, 'nats'), { recursive: true })
    writeFileSync(join(data, 'nats'), '')
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await running.says(/Postgres does not start/, 60_000)
    await running.says(/NATS does not start/, 60_000)
    running.kill('SIGINT')
    t.equal(await running.exited, 0)
    t.match(running.output(), /everything has stopped/)
    t.notMatch(running.output(), /did not stop/)
  },
)

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { unpackPackages } from '../../cli/local/debian-packages.ts'
import { testFolder } from './folder.ts'
import type { Teardown } from './teardown.ts'
import { until } from './wait.ts'

const run = promisify(execFile)
const BIN = fileURLToPath(new URL('../../.noetl/bin', import.meta.url))

type Program = 'prometheus' | 'promtool'

/**
 * Where Prometheus' programs are: on PATH, unpacked by an earlier test, or unpacked now from the distribution's
 * package. Throws with what to type where none of this is to be had.
 */
export async function findPrometheus(program: Program): Promise<string> {
  const own = join(BIN, program)
  for (const place of [program, own]) if (await runs(place)) return place
  const work = await mkdtemp(join(tmpdir(), 'noetl-prometheus-'))
  try {
    const unpacked = await unpackPackages(['prometheus'], work)
    await mkdir(BIN, { recursive: true })
    for (const name of ['prometheus', 'promtool'] as const) {
      // Another test may do the same at this moment.
      const fresh = join(BIN, `${name}.${process.pid}`)
      await copyFile(join(unpacked, 'usr/bin', name), fresh)
      await rename(fresh, join(BIN, name))
    }
  } catch (cause) {
    throw new Error(
      `There is no ${program}, and none could be got: ${(cause as Error).message}. Install Prometheus 2.40 or newer (Debian, Ubuntu: apt-get install prometheus; macOS: brew install prometheus).`,
      { cause },
    )
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return own
}

const runs = (program: string) =>
  run(program, ['--version'], { timeout: 10_000 }).then(
    () => true,
    () => false,
  )

/** What promtool says, of files or of what it reads; `ok` when it finds no fault. */
export async function promtool(
  args: readonly string[],
  { input, cwd }: { input?: string; cwd?: string } = {},
): Promise<{ ok: boolean; said: string }> {
  const child = spawn(await findPrometheus('promtool'), args, { ...(cwd === undefined ? {} : { cwd }) })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  child.stdin.end(input ?? '')
  const [code] = (await once(child, 'close')) as [number | null]
  return { ok: code === 0, said }
}

/** A Prometheus of the test's own that scrapes every half second. */
export async function testPrometheus(
  t: Teardown,
  { targets, rules }: { targets: Record<string, string>; rules?: string },
): Promise<{ query(expression: string): Promise<Sample[]>; get(path: string): Promise<unknown> }> {
  const binary = await findPrometheus('prometheus')
  const dir = await testFolder(t, 'prometheus')
  const port = await freePort()
  const jobs = Object.entries(targets).map(
    ([job, url]) => `  - job_name: ${job}\n    static_configs: [{targets: ["${new URL(url).host}"]}]\n`,
  )
  await writeFile(
    join(dir, 'prometheus.yml'),
    `global: {scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}\n${
      rules === undefined ? '' : `rule_files: ["${rules}"]\n`
    }scrape_configs:\n${jobs.join('')}`,
  )
  const child = spawn(
    binary,
    [
      `--config.file=${join(dir, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-5000)
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await ended
  })
  const get = async (path: string) => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended: ${said}`)
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    const body = (await answer.json()) as { data: unknown }
    if (!answer.ok) throw new Error(`Prometheus answered ${answer.status}: ${JSON.stringify(body)}`)
    return body.data
  }
  await until('Prometheus', () => get('/api/v1/status/runtimeinfo').catch(() => undefined))
  return {
    get,
    async query(expression) {
      const data = (await get(`/api/v1/query?query=${encodeURIComponent(expression)}`)) as {
        result: { metric: Record<string, string>; value: [number, string] }[]
      }
      return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
  }
}

export interface Sample {
  labels: Record<string, string>
  value: number
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

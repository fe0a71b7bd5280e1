// Prints what the gateway costs on this machine: latencies, throughput, and commits and WAL per step. Not a test:
// machines are noisy, so read the figures of one run against each other. `npm run bench`, `npm run bench -- lanes`,
// `npm run bench -- templates`.
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startPostgres } from '../../cli/local/postgres.ts'
import { testCluster } from '../support/cluster.ts'
import { benchLanes } from './lanes.ts'
import { benchTemplates } from './templates.ts'

const [what, ...numbers] = process.argv.slice(2)
if (what === 'templates') {
  benchTemplates()
  process.exit()
}
const teardowns: (() => unknown)[] = []
const dataDir = await mkdtemp(join(tmpdir(), 'noetl-bench-'))
await chmod(dataDir, 0o755)
const postgres = await startPostgres({ dataDir })
process.env.NOETL_TEST_POSTGRES_URL = postgres.url
try {
  if (what === 'lanes') {
    const [low, high] = numbers.map(Number)
    await benchLanes((fn) => void teardowns.push(fn), { low, high })
  } else await bench()
} finally {
  for (const teardown of teardowns.reverse()) await teardown()
  await postgres.stop()
  await rm(dataDir, { recursive: true, force: true })
}

async function bench(): Promise<void> {
  const cluster = await testCluster(
    { teardown: (fn) => void teardowns.push(fn) },
    { servers: 1, workers: 1, env: { NOETL_LOG_LEVEL: 'info' } },
  )
  const db = new pg.Client({ connectionString: cluster.databaseUrl })
  await db.connect()
  teardowns.push(() => db.end())

  const hello = await cluster.register(`metadata: {path: hello}
workload: {message: hi}
workflow:
- {step: start, next: {arcs: [{step: hello}]}}
- step: hello
  tool: {kind: python, input: {message: "{{ message }}"}, code: "result = {'greeting': message}"}
  next: {arcs: [{step: end}]}
- {step: end}`)
  const one = await cluster.register('metadata: {path: one}\nworkflow:\n- {step: start, tool: {kind: noop}}')
  const chain = (kind: string, tool: string) =>
    cluster.register(
      `metadata: {path: chain_${kind}}\nworkflow:\n- {step: start, next: {arcs: [{step: s1}]}}\n${Array.from(
        { length: 40 },
        (_, i) => `- {step: s${i + 1}, tool: ${tool}${i < 39 ? `, next: {arcs: [{step: s${i + 2}}]}` : ''}}`,
      ).join('\n')}`,
    )
  const noopChain = await chain('noop', '{kind: noop}')
  const pythonChain = await chain('python', `{kind: python, code: "result = 1"}`)
  const loop = await cluster.register(`metadata: {path: loop}
workflow:
- step: start
  loop: {in: "{{ range(1000) }}", iterator: n, spec: {mode: parallel, max_in_flight: 64}}
  tool: {kind: noop, result: "{{ iter.n }}"}`)

  /** Milliseconds from the request to the committed end. */
  async function timed(path: string): Promise<number> {
    const begun = performance.now()
    const id = await cluster.execute(path)
    for (;;) {
      const { rows } = await db.query({
        name: 'done',
        text: `SELECT status FROM noetl.execution WHERE execution_id = $1`,
        values: [id],
      })
      if (rows[0]?.status === 'COMPLETED') return performance.now() - begun
      if (rows[0]?.status === 'FAILED') throw new Error(`execution ${id} of ${path} failed`)
    }
  }
  async function times(path: string, count: number): Promise<number[]> {
    const all: number[] = []
    for (let i = 0; i < count; i++) all.push(await timed(path))
    return all.sort((a, b) => a - b)
  }
  const at = (sorted: number[], part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
  const show = (name: string, value: string) => console.log(`${name.padEnd(58)} ${value}`)
  const spread = (sorted: number[]) =>
    `p50 ${at(sorted, 0.5).toFixed(1)} ms, p95 ${at(sorted, 0.95).toFixed(1)} ms`

  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores, Node ${process.versions.node}, npm run bench\n`,
  )
  await times(hello, 30)
  await times(pythonChain, 2)
  show('hello_world (one python step), POST to COMPLETED', spread(await times(hello, 200)))
  show('one noop step, POST to COMPLETED', spread(await times(one, 200)))
  const noop = await times(noopChain, 15)
  const python = await times(pythonChain, 15)
  show(
    'chain of 40 noop steps',
    `p50 ${at(noop, 0.5).toFixed(0)} ms, ${(at(noop, 0.5) / 40).toFixed(1)} ms a step`,
  )
  show(
    'chain of 40 python steps',
    `p50 ${at(python, 0.5).toFixed(0)} ms, ${(at(python, 0.5) / 40).toFixed(1)} ms a step`,
  )
  show('parallel loop of 1,000 noop items, 64 in flight', `${(await timed(loop)).toFixed(0)} ms`)

  const count = 1000
  const begun = performance.now()
  const pending: Promise<string>[] = []
  for (let i = 0; i < count; i += 100) {
    const batch = Array.from({ length: 100 }, () => cluster.execute(one))
    pending.push(...batch)
    await Promise.all(batch)
  }
  for (;;) {
    const { rows } = await db.query(`SELECT count(*)::int AS n FROM noetl.execution WHERE status = 'RUNNING'`)
    if (rows[0].n === 0) break
  }
  show(
    'executions of one noop step, 100 starts at once',
    `${Math.round(count / ((performance.now() - begun) / 1000))} a second`,
  )

  // Costs of a step: differences of counters over chains, with nothing else going on but upkeep. The end is
  // looked for seldom, for looking is a commit too.
  await settled()
  const before = await counters(db)
  const ids = await Promise.all(Array.from({ length: 5 }, () => cluster.execute(noopChain)))
  await settled()
  const { rows } = await db.query(
    'SELECT DISTINCT status FROM noetl.execution WHERE execution_id = ANY($1)',
    [ids],
  )
  if (rows.length !== 1 || rows[0].status !== 'COMPLETED') throw new Error('the chains did not end in time')
  const after = await counters(db)
  const steps = 40 * ids.length
  show(
    'commits per step, five chains side by side, upkeep included',
    ((after.commits - before.commits) / steps).toFixed(2),
  )
  show('WAL per step', `${((after.wal - before.wal) / steps / 1024).toFixed(1)} kB`)
  show('events per step', ((after.events - before.events) / steps).toFixed(2))
}

/** A backend tells its counts when it has been idle for ten seconds. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 12_000))
}

async function counters(db: pg.Client): Promise<{ commits: number; wal: number; events: number }> {
  const { rows } = await db.query(
    `SELECT pg_current_wal_lsn() - '0/0' AS wal, (SELECT count(*) FROM noetl.event) AS events,
            (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits`,
  )
  const { wal, events, commits } = rows[0]
  return { wal: Number(wal), events: Number(events), commits: Number(commits) }
}

// A steady load with faults at random, for a long time: `npm run soak`, or `npm run soak -- --minutes 2 --seed 7`.
// Prints a line a minute and writes docs/soak.md; what must not grow is held against its beginning.
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { makeRandom } from '../simulator/random.ts'
import { type Cluster, closeClients, faultCluster } from './cluster.ts'
import { FAULTS } from './faults.ts'
import { startLedger } from './ledger.ts'
import { startLoad } from './load.ts'
import { machine } from './matrix.ts'
import { measure, untilEnded } from './measure.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    rate: { type: 'string', default: '8' },
    /** Seconds from the end of one fault to the next. */
    between: { type: 'string', default: '25' },
  },
})
const minutes = Number(values.minutes)
const perSecond = Number(values.rate)
const random = makeRandom(Number(values.seed))
const between = Number(values.between)

/** What is noise. */
const SLACK = { p50: 1, running: 50, serverMb: 30, workerMb: 30, deadQueue: 5000, queueKb: 2000 }

/** One minute of the run. */
interface Minute {
  minute: number
  faults: string[]
  ended: number
  p50: number
  p99: number
  running: number
  serverMb: number
  workerMb: number
  deadQueue: number
  queueKb: number
}

const teardowns: (() => unknown)[] = []
const t = { teardown: (fn: () => unknown) => void teardowns.push(fn) }
try {
  t.teardown(closeClients)
  const cluster = await faultCluster(t, { servers: 2, workers: 3, ownPostgres: true })
  const ledger = await startLedger(t)
  const executions = Math.round(minutes * 60 * perSecond)
  const load = await startLoad(cluster, { executions, perSecond, ledger: ledger.url })
  const begun = Date.now()
  const happened: { at: number; name: string }[] = []
  let over = false
  const harm = (async () => {
    for (;;) {
      await delay(between * 1000)
      // The last minute is for what was delayed.
      if (over || Date.now() - begun > (minutes - 1) * 60_000) return
      const fault = random.pick(harms())
      happened.push({ at: Date.now(), name: fault.name })
      await fault.inject(cluster, { loadEnds: Promise.resolve(), hit: () => undefined })
    }
  })()
  const rows: Minute[] = []
  for (let minute = 1; minute <= minutes; minute++) {
    await delay(begun + minute * 60_000 - Date.now())
    const since = begun + (minute - 1) * 60_000
    const row = {
      minute,
      faults: happened.filter(({ at }) => at >= since).map(({ name }) => name),
      ...(await look(cluster)),
    }
    rows.push(row)
    console.log(JSON.stringify(row))
  }
  over = true
  await harm
  const started = await load.all
  await untilEnded(cluster, 120_000)
  const figures = await measure(cluster, { started, calls: ledger.calls, at: begun, victim: undefined })
  for (const note of figures.notes.slice(0, 20)) console.log(`    ${note}`)
  for (const event of await query(
    cluster,
    `SELECT v.event_id, v.created_at, v.event_type, v.node_name, v.current_index, v.worker_id, v.meta, v.error
     FROM noetl.event v WHERE v.execution_id IN (SELECT execution_id FROM noetl.dead_letter) ORDER BY v.execution_id, v.event_id`,
  )) {
    console.log(`    ${JSON.stringify(event)}`)
  }
  for (const letter of await query(cluster, 'SELECT * FROM noetl.dead_letter'))
    console.log(JSON.stringify(letter))
  for (const { at, name } of happened) console.log(`    ${new Date(at).toISOString()} ${name}`)
  const trends = trendsOf(rows)
  console.log(JSON.stringify({ ...figures, notes: figures.notes.length, trends }))
  if (figures.lost + figures.stuck + figures.doubled + figures.wrong > 0 || trends.some(({ grew }) => grew))
    process.exitCode = 1
  await writeFile(
    fileURLToPath(new URL('../../docs/soak.md', import.meta.url)),
    await report(rows, { ...figures, faults: happened.length }, trends),
  )
} finally {
  for (const teardown of teardowns.reverse()) await teardown()
}

/** Faults after which all is there again as it was. */
function harms(): Pick<(typeof FAULTS)[number], 'name' | 'inject'>[] {
  const names = [
    'kill-servers',
    'kill-nats',
    'kill-postgres',
    'delete-stream',
    'delete-consumer',
    'wipe-jetstream',
  ]
  const cuts = ['worker-server', 'server-nats', 'worker-nats', 'server-postgres'].map(
    (link) => `cut-${link}-1`,
  )
  const known = FAULTS.filter(({ name }) => names.includes(name) || cuts.includes(name))
  return [
    ...known,
    {
      name: 'kill-worker',
      async inject({ workers }) {
        const worker = random.pick(workers)
        worker.kill('SIGKILL')
        await worker.start()
      },
    },
    {
      name: 'stop-worker-20',
      async inject({ workers }) {
        const worker = random.pick(workers)
        worker.kill('SIGSTOP')
        await delay(20_000)
        worker.kill('SIGCONT')
      },
    },
  ]
}

/** How things stand, and what ended in the last minute. */
async function look(cluster: Cluster): Promise<Omit<Minute, 'minute' | 'faults'>> {
  const [ended] = await query(
    cluster,
    `SELECT count(*)::int AS n,
            coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), 0)::float AS p50,
            coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds), 0)::float AS p99
     FROM (SELECT extract(epoch FROM finished_at - created_at) AS seconds FROM noetl.execution
           WHERE finished_at > now() - interval '1 minute' AND parent_execution_id IS NULL) x`,
  )
  const [tables] = await query(
    cluster,
    `SELECT (SELECT count(*)::int FROM noetl.execution WHERE status = 'RUNNING') AS running,
            (SELECT n_dead_tup::int FROM pg_stat_user_tables WHERE schemaname = 'noetl' AND relname = 'queue') AS dead,
            pg_total_relation_size('noetl.queue')::int / 1024 AS kb`,
  )
  return {
    ended: Number(ended?.n ?? 0),
    p50: round(Number(ended?.p50 ?? 0)),
    p99: round(Number(ended?.p99 ?? 0)),
    running: Number(tables?.running ?? 0),
    serverMb: Math.max(...cluster.servers.map((server) => memoryOf(server.pid()))),
    workerMb: Math.max(...cluster.workers.map((worker) => memoryOf(worker.pid()))),
    deadQueue: Number(tables?.dead ?? 0),
    queueKb: Number(tables?.kb ?? 0),
  }
}

async function query(cluster: Cluster, text: string): Promise<Record<string, unknown>[]> {
  for (;;) {
    const client = new pg.Client({ connectionString: cluster.databaseUrl })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return (await client.query(text)).rows
    } catch {
      // Postgres is one of those that are killed.
      await delay(500)
    } finally {
      await client.end().catch(() => undefined)
    }
  }
}

/** Resident memory of a process in megabytes. */
function memoryOf(pid: number): number {
  try {
    const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Math.round(Number(kb ?? 0) / 1024)
  } catch {
    return 0
  }
}

/** Medians of the first and the last third; what must not grow has grown when the last is half as much again. */
function trendsOf(rows: Minute[]) {
  const third = Math.max(1, Math.floor(rows.length / 3))
  const parts = [rows.slice(0, third), rows.slice(-third)] as const
  return (['p50', 'running', 'serverMb', 'workerMb', 'deadQueue', 'queueKb'] as const).map((what) => {
    const [first, last] = parts.map((part) => median(part.map((row) => row[what]))) as [number, number]
    return { what, first, last, grew: last > first * 1.5 + SLACK[what] }
  })
}

function median(numbers: number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100
}

async function report(
  rows: Minute[],
  figures: Awaited<ReturnType<typeof measure>> & { faults: number },
  trends: ReturnType<typeof trendsOf>,
): Promise<string> {
  const line = (cells: unknown[]) => `| ${cells.join(' | ')} |`
  return `# Soak

${minutes} minutes of ${perSecond} executions a second, of the playbooks of [the fault matrix](fault-matrix.md), on two servers, three workers of 8 slots, a Postgres and a NATS of their own, with a fault at random every ${between} seconds or so (seed ${values.seed}).

Executions: ${figures.executions}, commands: ${figures.commands}, faults: ${figures.faults}. Lost: ${figures.lost}, stuck: ${figures.stuck}, doubled: ${figures.doubled}, wrong: ${figures.wrong}, repeated calls: ${figures.repeated}, late reports: ${figures.late}.

${line(['minute', 'faults', 'ended', 'p50 s', 'p99 s', 'running', 'server MB', 'worker MB', 'dead tuples of the queue', 'queue kB'])}
${line(['---:', '---', ...Array.from({ length: 8 }, () => '---:')])}
${rows.map((r) => line([r.minute, r.faults.join(', '), r.ended, r.p50, r.p99, r.running, r.serverMb, r.workerMb, r.deadQueue, r.queueKb])).join('\n')}

Medians of the first and the last third:

${line(['', 'first', 'last', ''])}
${line(['---', '---:', '---:', '---'])}
${trends.map(({ what, first, last, grew }) => line([what, first, last, grew ? 'grew' : ''])).join('\n')}

Seconds are from the start of an execution to its end, the waits of its retries included. Memory is the resident set of the largest server and the largest worker; a process that was killed begins anew.

Measured ${new Date().toISOString().slice(0, 10)} by \`npm run soak -- --minutes ${minutes} --seed ${values.seed}\` on ${await machine()}; the load average was ${loadavg()[1]!.toFixed(1)} at the end.
`
}

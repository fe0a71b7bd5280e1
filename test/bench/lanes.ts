import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { testCluster } from '../support/cluster.ts'

/**
 * A backlog of low commands, then high ones that arrive one after the other: how long they wait for their lease, and
 * what share of the leases low has meanwhile. `npm run bench -- lanes [low] [high]`.
 */
export async function benchLanes(
  teardown: (fn: () => unknown) => void,
  { low = 10_000, high = 100 }: { low: number | undefined; high: number | undefined },
): Promise<void> {
  const cluster = await testCluster(
    { teardown },
    { servers: 1, workers: 0, env: { NOETL_LOG_LEVEL: 'info', NOETL_PLUGINS: '@noetl/lanes' } },
  )
  const db = new pg.Client({ connectionString: cluster.databaseUrl })
  await db.connect()
  teardown(() => db.end())
  await cluster.register('metadata: {path: one}\nworkflow:\n- {step: start, tool: {kind: noop}}')
  for (let left = low; left > 0; left -= 1000) {
    const executions = Array.from({ length: Math.min(left, 1000) }, () => ({ path: 'one', lane: 'low' }))
    await cluster.client.request('POST', '/api/v2/execute/batch', { executions })
  }
  const running = async () => {
    const { rows } = await db.query(`SELECT count(*)::int AS n FROM noetl.execution WHERE status = 'RUNNING'`)
    return rows[0].n as number
  }
  await cluster.startWorker()
  while ((await running()) > low * 0.98) await delay(5)

  const starts: Promise<{ execution_id: string }>[] = []
  for (let n = 0; n < high; n++) {
    starts.push(cluster.client.request('POST', '/api/v2/execute', { path: 'one', lane: 'high' }))
    await delay(10)
  }
  const ids = (await Promise.all(starts)).map(({ execution_id }) => execution_id)
  while ((await running()) > 0) await delay(50)

  // By the clock of the one server, to the millisecond.
  const { rows } = await db.query<{ high: boolean; issued: number; claimed: number }>(
    `SELECT i.execution_id = ANY($1) AS high, extract(epoch FROM i.created_at)::float8 * 1000 AS issued,
            extract(epoch FROM c.created_at)::float8 * 1000 AS claimed
     FROM noetl.event i JOIN noetl.event c ON c.execution_id = i.execution_id AND c.node_id = i.node_id
     WHERE i.event_type = 'command.issued' AND c.event_type = 'command.claimed'`,
    [ids],
  )
  const urgent = rows.filter((row) => row.high)
  const waits = urgent.map(({ issued, claimed }) => claimed - issued).sort((a, b) => a - b)
  const at = (part: number) => waits[Math.min(waits.length - 1, Math.floor(waits.length * part))]!.toFixed(0)
  const from = Math.min(...urgent.map(({ issued }) => issued))
  const until = Math.max(...urgent.map(({ claimed }) => claimed))
  const meanwhile = rows.filter(({ claimed }) => claimed >= from && claimed <= until)
  const lowOnes = meanwhile.filter((row) => !row.high).length
  const first = Math.min(...rows.map(({ claimed }) => claimed))
  const last = Math.max(...rows.map(({ claimed }) => claimed))
  const show = (name: string, value: string) => console.log(`${name.padEnd(58)} ${value}`)
  show(`${high} high among ${low} low, wait of high until its lease`, `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`)
  show(
    'share of low in the leases meanwhile (its least: 1 in 14)',
    `${((100 * lowOnes) / Math.max(1, meanwhile.length)).toFixed(0)} %`,
  )
  show('leases a second, over all', `${Math.round(rows.length / ((last - first) / 1000))}`)
}

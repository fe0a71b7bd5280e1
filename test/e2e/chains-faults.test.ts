import pg from 'pg'
import t from 'tap'
import { testCluster } from '../support/cluster.ts'
import { checkDatabase } from '../support/history-database.ts'
import { until } from '../support/wait.ts'

const EXECUTIONS = 6
const STEPS = 40

t.test(
  'chains: workers are killed, stopped and drained in the midst, and each statement is applied once',
  { timeout: 180_000 },
  async (t) => {
    const cluster = await testCluster(t, {
      servers: 1,
      workers: 2,
      env: { NOETL_LEASE_SECONDS: '3', NOETL_WORKER_SLOTS: '4', NOETL_WORKER_GRACE_SECONDS: '1' },
    })
    const db = new pg.Client({ connectionString: cluster.databaseUrl })
    await db.connect()
    t.teardown(() => db.end())
    await db.query('CREATE TABLE chain_ledger (execution bigint, n int)')
    const path = await cluster.register(`metadata: {path: chain/paid}
spec: {max_attempts: 20}
workflow:
- {step: start, set: {ctx.n: 0}, next: {arcs: [{step: pay}]}}
- step: pay
  tool:
    kind: postgres
    exactly_once: true
    command: |
      INSERT INTO chain_ledger VALUES ({{ execution_id }}, {{ ctx.n }});
      SELECT pg_sleep(0.1)
  set: {ctx.n: "{{ ctx.n + 1 }}"}
  next: {arcs: [{step: pay, when: "{{ ctx.n < ${STEPS} }}"}]}`)
    const ids = await Promise.all(Array.from({ length: EXECUTIONS }, () => cluster.execute(path)))
    const paid = async () =>
      Number((await db.query<{ count: string }>('SELECT count(*) FROM chain_ledger')).rows[0]!.count)
    const harms: NodeJS.Signals[] = ['SIGKILL', 'SIGTERM', 'SIGSTOP', 'SIGKILL', 'SIGTERM']
    const asleep: (typeof cluster.workers)[number][] = []
    for (const [i, harm] of harms.entries()) {
      const mark = (await paid()) + 15
      await until('payments that go on', async () => (await paid()) >= mark || undefined, {
        withinMs: 30_000,
      })
      const victim = cluster.workers[i]!
      victim.kill(harm)
      if (harm === 'SIGSTOP') asleep.push(victim)
      if (harm === 'SIGTERM') t.equal(await victim.exited, 0, 'a worker drains in the midst of a chain')
      await cluster.startWorker()
    }
    for (const worker of asleep) worker.kill('SIGCONT')
    const ended = await Promise.all(ids.map((id) => cluster.ended(id, 90_000)))
    t.same([...new Set(ended.map(({ status }) => status))], ['COMPLETED'])
    const { rows } = await db.query<{ execution: string; many: number; kinds: number }>(
      'SELECT execution, count(*)::int AS many, count(DISTINCT n)::int AS kinds FROM chain_ledger GROUP BY 1',
    )
    t.same(
      rows.map(({ many, kinds }) => [many, kinds]),
      Array.from({ length: EXECUTIONS }, () => [STEPS, STEPS]),
    )
    t.equal((await db.query('SELECT 1 FROM noetl.queue')).rowCount, 0, 'nothing is left in the queue')
    t.same((await checkDatabase(cluster.databaseUrl)).faults, [])
  },
)

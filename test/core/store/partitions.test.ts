import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { NOTHING } from '../../../core/engine/fold.ts'
import { commitTransitions } from '../../../core/store/commit.ts'
import { idAt, idTime } from '../../../core/store/ids.ts'
import { ensurePartitions, listPartitions, partitionsFrom, retire } from '../../../core/store/partitions.ts'
import { retentionDuty } from '../../../core/upkeep/retention.ts'
import { testDatabase } from '../../support/postgres.ts'

const DAY = 86_400_000
const WEEK = 7 * DAY
const { url } = await testDatabase(t)
const pool = new pg.Pool({ connectionString: url })
t.teardown(() => pool.end())
const NOW = Math.floor(Date.now() / WEEK) * WEEK + 3 * DAY

t.test('partitions: periods follow each other without a gap, whatever the time of day', async (t) => {
  const periods = partitionsFrom(NOW, 5)
  for (const [i, { from, to }] of periods.entries()) {
    t.equal(idTime(to) - idTime(from), WEEK)
    if (i > 0) t.equal(from, periods[i - 1]?.to)
  }
  t.ok(idTime(periods[0]!.from) <= NOW && NOW < idTime(periods[0]!.to))
  t.same(partitionsFrom(NOW + DAY, 5), periods, 'later the same week they are the same')
})

t.test('partitions: a set-up makes those of now and ahead, and again makes none', async (t) => {
  t.equal((await listPartitions(pool)).length, 3)
  t.same(await ensurePartitions(pool, Date.now()), [])
  const made = await Promise.all([
    ensurePartitions(pool, NOW + 3 * WEEK),
    ensurePartitions(pool, NOW + 3 * WEEK),
  ])
  t.equal(made.flat().length, 3, 'two servers at once make each once')
})

const at = (ms: number, n: number) => String(BigInt(idAt(ms)) + BigInt(n))
async function execution(id: string, { finished, events }: { finished: number | null; events: string[] }) {
  await commitTransitions(pool, [
    {
      execution_id: id,
      revision: null,
      status: finished === null ? 'RUNNING' : 'COMPLETED',
      state: { ...NOTHING, last: id },
      error: null,
      birth: { catalog_id: '1', path: 'p', version: 1, parent_execution_id: null },
      settles: [],
      events: events.map((event_id) => ({
        event_id,
        execution_id: id,
        created_at: new Date().toISOString(),
        event_type: 'playbook.started',
      })),
      commands: [],
      keys: [{ key: 'k', event_id: id }],
      results: [{ result_id: id, name: 'x', store: 'kv', bytes: 2, data: {} }],
      waits: [],
      awaited: [],
      letters: [],
    },
  ])
  if (finished !== null) {
    await pool.query('UPDATE noetl.execution SET finished_at = $2 WHERE execution_id = $1', [
      id,
      new Date(finished),
    ])
  }
}
const count = async (table: string, id: string) =>
  (await pool.query(`SELECT 1 FROM noetl.${table} WHERE execution_id = $1`, [id])).rowCount

t.test(
  'retention: what ended long ago goes with all that is its own; what runs keeps its events',
  async (t) => {
    const before = NOW - 10 * WEEK
    await ensurePartitions(pool, before)
    const old = at(before, 1)
    const long = at(before + WEEK, 2)
    const fresh = at(NOW, 3)
    await execution(old, { finished: before + DAY, events: [old] })
    await execution(long, { finished: null, events: [long, at(NOW, 4)] })
    await execution(fresh, { finished: NOW, events: [fresh] })
    const first = await retire(pool, NOW - 4 * WEEK)
    t.equal(first.executions, 1)
    t.equal(first.partitions.length, 1, 'the partition of what still runs, and those after it, are kept')
    for (const table of ['execution', 'event', 'result', 'event_key']) {
      t.equal(await count(table, old), 0, table)
      t.ok(await count(table, long), table)
      t.ok(await count(table, fresh), table)
    }
    t.equal(await count('event', long), 2)
    await pool.query(
      `UPDATE noetl.execution SET status = 'COMPLETED', finished_at = $2 WHERE execution_id = $1`,
      [long, new Date(NOW - 5 * WEEK)],
    )
    const log = pino({ level: 'silent' })
    const pools = { durable: pool, relaxed: pool, close: async () => {} }
    await retentionDuty({ pools, log, days: 0, now: () => NOW }).run()
    t.ok(await count('execution', long), 'without a number of days everything is kept')
    await retentionDuty({ pools, log, days: 28, now: () => NOW }).run()
    t.equal(await count('execution', long), 0)
    t.ok((await listPartitions(pool)).every(({ to }) => idTime(to) > NOW - 4 * WEEK))
    t.ok(await count('event', fresh))
  },
)

t.test('retention: events written before there were partitions go too', async (t) => {
  const id = at(NOW - 100 * WEEK, 5)
  await execution(id, { finished: NOW - 99 * WEEK, events: [id] })
  t.equal((await pool.query('SELECT 1 FROM noetl.event_default WHERE execution_id = $1', [id])).rowCount, 1)
  await retire(pool, NOW - 4 * WEEK)
  t.equal(await count('event', id), 0)
})

import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { Pools } from '../../core/store/pools.ts'
import { makeStore } from '../../core/store/store.ts'
import { testDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'
import { agree, ask, askMemory, plain, sorted } from './contract-ask.ts'
import { type Call, makeCalls } from './contract-calls.ts'
import { CLOCKED, dumpMemory, dumpPostgres, emptyTables, makeClock } from './contract-rows.ts'
import { makeMemoryStore } from './memory-store.ts'
import { makeRandom } from './random.ts'
import type { Tables } from './tables.ts'

const { url } = await testDatabase(t)
const pool = new pg.Pool({ connectionString: url, max: 4, options: CLOCKED })
t.teardown(() => pool.end())
const setClock = await makeClock(pool)
const store = makeStore({ durable: pool, relaxed: pool } as Pools)
const fresh = Date.now() % 1_000_000

/**
 * Calls that wait for rows which others hold, and name these rows. Those of upkeep look for rows, skip what is
 * held, and do not see what has just come: their next round does.
 */
const WAITING = [
  'commitTransitions',
  'claimCommands',
  'renewLeases',
  'releaseLeases',
  'retryLetters',
  'seizeLetter',
  'makeDue',
]
/** Calls before two meet. */
const PRELUDE = 12

for (const seed of [1, 2, 3, 4, 5, 6, fresh]) {
  t.test(`store: two calls at once are as if one came after the other (seed ${seed})`, (t) =>
    meet(t, seed, 12),
  )
}

/** Again and again: some calls, then two that begin together while all rows are held, and go on together. */
async function meet(t: Test, seed: number, times: number): Promise<void> {
  const random = makeRandom(seed)
  let compared = 0
  for (let round = 1; round <= times; round++) {
    await emptyTables(pool)
    let now = Date.UTC(2026, 0, 1)
    let id = 1000
    const newId = () => String(++id)
    const done: { call: Call; now: number; id: number }[] = []
    const { statements, tables } = makeMemoryStore(() => now)
    const draw = makeCalls(random, tables, newId)
    for (let n = 0; n < PRELUDE; n++) {
      now += random.weighted([
        [6, random.int(0, 30)],
        [3, random.int(500, 4000)],
      ])
      await setClock(now)
      const call = draw()
      const before = id
      const real = await ask(store, call, newId)
      id = before
      const agreed = agree(call, real)
      done.push({ call: agreed, now, id })
      askMemory(statements, agreed, newId)
    }
    const [one, two] = [drawWaiting(draw, tables), drawWaiting(draw, tables)]
    const before = id
    const answers = await together(() => [ask(store, one, newId), ask(store, two, newId)])
    const rows = plain(await dumpPostgres(pool))
    const orders = [
      [0, 1],
      [1, 0],
    ].map((order) => {
      const memory = makeMemoryStore(() => now)
      const end = now
      for (const { call, now: at, id: from } of done) {
        now = at
        id = from
        askMemory(memory.statements, call, newId)
      }
      now = end
      id = before
      const told: unknown[] = []
      for (const i of order) {
        const call = agree([one, two][i]!, answers[i])
        // What Postgres refused as a deadlock was not done.
        told[i] = isDeadlock(answers[i]) ? answers[i] : askMemory(memory.statements, call, newId)
      }
      return { told, rows: plain(dumpMemory(memory.tables)) }
    })
    compared += 1
    if (
      orders.some(
        (order) =>
          isDeepStrictEqual(order.told.map(sorted), answers.map(sorted)) &&
          isDeepStrictEqual(order.rows, rows),
      )
    )
      continue
    t.same(
      { answers: answers.map(sorted), rows },
      { answers: orders[0]!.told.map(sorted), rows: orders[0]!.rows },
      `seed ${seed}, round ${round}: ${JSON.stringify([one, two])}`,
    )
    return
  }
  t.equal(compared, times)
}

function drawWaiting(draw: () => Call, tables: Tables): Call {
  for (;;) {
    const call = draw()
    if (call.name === 'commitTransitions') {
      // A birth waits for nothing; and a revision that is still to come was decided on by no one.
      const known = call.given[0].every(({ execution_id, revision }) => {
        const now = tables.executions.get(execution_id)?.row.revision
        return revision !== null && now !== undefined && revision <= now
      })
      if (!known) continue
    }
    if (WAITING.includes(call.name)) return call
  }
}

/** Has calls begin while all rows are held by another, so that each sees them as they were before the other. */
async function together(begin: () => Promise<unknown>[]): Promise<unknown[]> {
  const holder = await pool.connect()
  try {
    await holder.query('BEGIN')
    await holder.query('SELECT 1 FROM noetl.queue FOR UPDATE')
    await holder.query('SELECT 1 FROM noetl.execution FOR UPDATE')
    const answers = Promise.all(begin())
    let ended = false
    void answers.finally(() => {
      ended = true
    })
    await until('both to wait, or to have ended', async () => {
      const { rows } = await pool.query<{ waiting: number; active: number }>(
        `SELECT count(*) FILTER (WHERE wait_event_type = 'Lock')::int AS waiting, count(*)::int AS active
         FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%noetl.%'`,
      )
      return ended || (rows[0]!.active > 0 && rows[0]!.waiting === rows[0]!.active)
    })
    await holder.query('COMMIT')
    return await answers
  } finally {
    holder.release()
  }
}

function isDeadlock(answer: unknown): boolean {
  return (answer as { code?: string } | null)?.code === '40P01'
}

import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { Pools } from '../../core/store/pools.ts'
import { makeStore } from '../../core/store/store.ts'
import { testDatabase } from '../support/postgres.ts'
import { agree, ask, askMemory, plain, sorted } from './contract-ask.ts'
import { makeCalls } from './contract-calls.ts'
import { CLOCKED, dumpMemory, dumpPostgres, emptyTables, makeClock } from './contract-rows.ts'
import { makeMemoryStore } from './memory-store.ts'
import { makeRandom } from './random.ts'

const { url } = await testDatabase(t)
const pool = new pg.Pool({ connectionString: url, max: 2, options: CLOCKED })
t.teardown(() => pool.end())
const setClock = await makeClock(pool)
const store = makeStore({ durable: pool, relaxed: pool } as Pools)
const fresh = Date.now() % 1_000_000

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, fresh]) {
  t.test(`store: in memory it answers and leaves what Postgres does, whatever is asked (seed ${seed})`, (t) =>
    compare(t, seed, 120),
  )
}

async function compare(t: Test, seed: number, calls: number): Promise<void> {
  await emptyTables(pool)
  const random = makeRandom(seed)
  let now = Date.UTC(2026, 0, 1)
  let id = 1000
  const newId = () => String(++id)
  const { statements, tables } = makeMemoryStore(() => now)
  const draw = makeCalls(random, tables, newId)
  for (let n = 1; n <= calls; n++) {
    now += random.weighted([
      [6, random.int(0, 30)],
      [3, random.int(500, 4000)],
      [1, random.int(5000, 20_000)],
    ])
    await setClock(now)
    const call = draw()
    const given = JSON.stringify(call.given)
    const before = id
    const real = await ask(store, call, newId)
    id = before
    const fake = askMemory(statements, agree(call, real), newId)
    const place = `seed ${seed}, call ${n}, ${call.name}(${given})`
    if (!isDeepStrictEqual(sorted(fake), sorted(real))) {
      t.same(sorted(fake), sorted(real), place)
      return
    }
    const [mine, its] = [dumpMemory(tables), await dumpPostgres(pool)]
    const table = Object.keys(its).find((name) => !isDeepStrictEqual(plain(mine[name]), plain(its[name])))
    if (table !== undefined) {
      t.same(plain(mine[table]), plain(its[table]), `rows of ${table} after ${place}`)
      return
    }
  }
  t.pass(`${calls} calls`)
}

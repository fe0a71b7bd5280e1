import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { Pools } from '../../core/store/pools.ts'
import type { Claim, Claimed } from '../../core/store/queue.ts'
import { makeStore, type Store } from '../../core/store/store.ts'
import { testDatabase } from '../support/postgres.ts'
import { type Call, makeCalls } from './contract-calls.ts'
import { dumpMemory, dumpPostgres, makeClock } from './contract-rows.ts'
import { makeMemoryStore, type Statements } from './memory-store.ts'
import { makeRandom } from './random.ts'

const { url } = await testDatabase(t)
// One connection, for its clock is a setting of the session, which `now()` of its own schema reads.
const pool = new pg.Pool({ connectionString: url, max: 1, options: '-c search_path=clock,pg_catalog' })
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
  await pool.query(
    'TRUNCATE noetl.execution, noetl.queue, noetl.event, noetl.result, noetl.wait, noetl.dead_letter',
  )
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
    const fake = await askMemory(statements, agree(call, real), newId)
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

async function ask(store: Store, { name, given }: Call, newId: () => string): Promise<unknown> {
  if (name === 'rescue') return store.rescueExpired(given[0], newId)
  if (name === 'tellExpired') throw new Error('it is a part of rescue')
  return (store[name] as (...given: unknown[]) => Promise<unknown>)(...given).catch(codeOf)
}

async function askMemory(
  statements: Statements,
  { name, given }: Call,
  newId: () => string,
): Promise<unknown> {
  if (name === 'rescue') {
    const rows = statements.rescue(given[0])
    statements.tellExpired(
      rows.map(({ execution_id, queue_id, node_id, node_name, holder, attempt }) => ({
        event_id: newId(),
        execution_id,
        created_at: '',
        event_type: 'command.lease_expired',
        node_id,
        node_name,
        worker_id: holder,
        meta: { command_id: queue_id, attempt },
      })),
    )
    return rows
  }
  try {
    return (statements[name] as (...given: unknown[]) => unknown)(...given)
  } catch (error) {
    return codeOf(error)
  }
}

const codeOf = (error: unknown) => ({ code: (error as { code?: string }).code })

/** Of several that ask for one free command, Postgres takes any: the memory is to take the same. */
function agree(call: Call, real: unknown): Call {
  if (call.name !== 'claimCommands' || !Array.isArray(real)) return call
  const won = (claim: Claim) =>
    (real as Claimed[]).some((row) => row.queue_id === claim.queue_id && row.lease_token === claim.token)
  const [claims, seconds] = call.given
  const first = [...claims.filter(won), ...claims.filter((claim) => !won(claim))]
  return { name: call.name, given: [first, seconds] }
}

/** Answers in one form: most lists have no order, and objects none. */
function sorted(answer: unknown): unknown {
  if (answer instanceof Set) return [...answer].sort()
  if (Array.isArray(answer)) return answer.map((entry) => JSON.stringify(ordered(plain(entry)))).sort()
  if (answer !== null && typeof answer === 'object' && 'written' in answer) {
    return Object.entries(answer).map(([name, ids]) => [name, sorted(ids)])
  }
  return plain(answer)
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, ordered(inner)]),
  )
}

/** As JSON has it: dates are text, nothing is null. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null))

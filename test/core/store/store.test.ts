import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import pg from 'pg'
import t from 'tap'
import { NOTHING } from '../../../core/engine/fold.ts'
import { commitTransitions, type Transition } from '../../../core/store/commit.ts'
import { believable, idAt, idTime, makeIdSource } from '../../../core/store/ids.ts'
import { jsonText } from '../../../core/store/json-text.ts'
import { migrate } from '../../../core/store/migrate.ts'
import { claimCommands, lookAtCommands, releaseLeases } from '../../../core/store/queue.ts'
import { testDatabase } from '../../support/postgres.ts'

const { url } = await testDatabase(t)
const pool = new pg.Pool({ connectionString: url, max: 8 })
t.teardown(() => pool.end())
const newId = makeIdSource({ server: 1 })

function birth(id: string, commands: string[] = []): Transition {
  return {
    execution_id: id,
    revision: null,
    status: 'RUNNING',
    state: { ...NOTHING, last: id },
    error: null,
    birth: { catalog_id: '1', path: 'p', version: 1, parent_execution_id: null },
    settles: [],
    events: [
      {
        event_id: id,
        execution_id: id,
        created_at: new Date().toISOString(),
        event_type: 'playbook.started',
        context: { workload: { text: 'a\0b\ud800' } },
      },
      ...commands.map((event_id) => ({
        event_id,
        execution_id: id,
        created_at: new Date().toISOString(),
        event_type: 'command.issued',
        node_id: event_id,
        node_name: 's',
        context: {},
      })),
    ],
    commands: commands.map((queue_id) => ({
      queue_id,
      node_id: queue_id,
      node_name: 's',
      tool_kind: 'noop',
      lane: 'normal',
      pool: '',
      max_attempts: 3,
      effect: 'idempotent' as const,
      delay: 0,
      dead: false,
    })),
    keys: [],
    results: [],
    waits: [],
    awaited: [],
    letters: [],
  }
}
const next = (id: string, revision: number, more: Partial<Transition> = {}): Transition => {
  const { birth: _, ...rest } = birth(id)
  return { ...rest, revision, events: [], ...more }
}
/** Each file of migrations/ is one. */
const MIGRATIONS = readdirSync(new URL('../../../core/store/migrations/', import.meta.url)).length
const token = '00000000-0000-4000-8000-000000000001'
const other = '00000000-0000-4000-8000-000000000002'

t.test('migrate: twice and at once is safe', async (t) => {
  const fresh = await testDatabase(t, { migrated: false })
  const results = await Promise.all([migrate(fresh.url), migrate(fresh.url), migrate(fresh.url)])
  t.same(results.map(({ applied }) => applied.length).sort(), [0, 0, MIGRATIONS])
  t.same(await migrate(fresh.url), { applied: [], version: MIGRATIONS })
})

t.test('commit: a transition is written only at the revision it was decided on', async (t) => {
  const id = newId()
  t.ok((await commitTransitions(pool, [birth(id)])).written.has(id))
  t.notOk((await commitTransitions(pool, [birth(id)])).written.has(id), 'an execution is born once')
  const [a, b] = await Promise.all([
    commitTransitions(pool, [next(id, 1)]),
    commitTransitions(pool, [next(id, 1)]),
  ])
  t.equal([a, b].filter(({ written }) => written.has(id)).length, 1, 'of two at once one wins')
  t.notOk((await commitTransitions(pool, [next(id, 1)])).written.has(id))
  t.ok((await commitTransitions(pool, [next(id, 2)])).written.has(id))
})

t.test(
  'commit: a settled command is gone with the report, under its token alone, and whole or not at all',
  async (t) => {
    const id = newId()
    const command = newId()
    await commitTransitions(pool, [birth(id, [command])])
    const claim = { execution_id: id, queue_id: command, worker_id: 'w', event_id: newId() }
    t.equal((await claimCommands(pool, [{ ...claim, token }], 15)).length, 1)
    t.equal((await claimCommands(pool, [{ ...claim, event_id: newId(), token: other }], 15)).length, 0)
    const event = {
      event_id: newId(),
      execution_id: id,
      created_at: new Date().toISOString(),
      event_type: 'call.done',
    }
    const settles = (lease: string) => [{ queue_id: command, token: lease, worker_id: 'w' }]
    const refused = await commitTransitions(pool, [next(id, 1, { settles: settles(other), events: [event] })])
    t.same([refused.written.size, refused.held.size], [0, 0])
    const { rows } = await pool.query('SELECT 1 FROM noetl.event WHERE event_id = $1', [event.event_id])
    t.equal(rows.length, 0, 'nothing of it is written')
    const taken = await commitTransitions(pool, [next(id, 1, { settles: settles(token), events: [event] })])
    t.ok(taken.written.has(id))
    t.equal((await pool.query('SELECT 1 FROM noetl.queue WHERE execution_id = $1', [id])).rowCount, 0)
  },
)

t.test(
  'claim: a holder that asks again keeps its lease and its attempt, whoever asks beside it in the same call',
  async (t) => {
    const id = newId()
    const command = newId()
    await commitTransitions(pool, [birth(id, [command])])
    const claim = (lease: string) => ({
      execution_id: id,
      queue_id: command,
      worker_id: `worker of ${lease}`,
      token: lease,
      event_id: newId(),
    })
    await claimCommands(pool, [claim(token)], 15)
    for (const asking of [
      [other, token],
      [token, other],
    ]) {
      const claimed = await claimCommands(pool, asking.map(claim), 15)
      t.same(
        claimed.map(({ lease_token, attempt }) => [lease_token, attempt]),
        [[token, 1]],
      )
    }
  },
)

t.test(
  'commit: how long an execution waits for another is counted by the clock of the database',
  async (t) => {
    const id = newId()
    const wait = { child_execution_id: newId(), event_id: newId(), timeout_seconds: 10 }
    await commitTransitions(pool, [birth(id), { ...birth(newId()), waits: [wait] }])
    const { rows } = await pool.query(
      "SELECT deadline = created_at + $2 * interval '1 second' AS fits FROM noetl.wait WHERE child_execution_id = $1",
      [wait.child_execution_id, 10],
    )
    t.same(rows, [{ fits: true }])
  },
)

t.test('release: a command that is not safe to repeat is not handed back to be run again', async (t) => {
  const id = newId()
  const [safe, unsafe] = [newId(), newId()]
  const born = birth(id, [safe, unsafe])
  born.commands[1]!.effect = 'unsafe'
  await commitTransitions(pool, [born])
  const leases = [safe, unsafe].map((queue_id) => ({ execution_id: id, queue_id, token, event_id: newId() }))
  await claimCommands(
    pool,
    leases.map((lease) => ({ ...lease, worker_id: 'w' })),
    15,
  )
  const released = await releaseLeases(
    pool,
    leases.map((lease) => ({ ...lease, event_id: newId() })),
  )
  t.same(
    released.map(({ queue_id }) => queue_id),
    [safe],
  )
  t.same((await lookAtCommands(pool, [{ execution_id: id, queue_id: unsafe }]))[0]?.status, 'running')
})

t.test(
  'commit: the end of an execution takes its commands out of the queue, and nothing follows it',
  async (t) => {
    const id = newId()
    await commitTransitions(pool, [birth(id, [newId(), newId()])])
    await commitTransitions(pool, [next(id, 1, { status: 'CANCELLED' })])
    t.equal((await pool.query('SELECT 1 FROM noetl.queue WHERE execution_id = $1', [id])).rowCount, 0)
    t.equal((await commitTransitions(pool, [next(id, 2)])).written.size, 0)
  },
)

t.test('commit: many executions in one statement stand or fall by themselves', async (t) => {
  const ids = Array.from({ length: 50 }, () => newId())
  await commitTransitions(
    pool,
    ids.map((id) => birth(id)),
  )
  const { written } = await commitTransitions(
    pool,
    ids.map((id, i) => next(id, i % 2 === 0 ? 1 : 7)),
  )
  t.same([...written].sort(), ids.filter((_, i) => i % 2 === 0).sort())
})

t.test(
  'ids: rise within one source, differ between sources, and go on above one from a faster clock',
  async (t) => {
    let now = Date.now()
    const first = makeIdSource({ server: 1, now: () => now })
    const second = makeIdSource({ server: 2, now: () => now })
    const ids = Array.from({ length: 10_000 }, () => BigInt(first()))
    t.ok(ids.every((id, i) => i === 0 || id > ids[i - 1]!))
    t.notOk(ids.includes(BigInt(second())))
    now -= 60_000
    t.ok(BigInt(first()) > ids.at(-1)!, 'a clock that is set back changes nothing')
    const ahead = makeIdSource({ server: 3, now: () => now + 3_600_000 })()
    t.ok(BigInt(second(ahead)) > BigInt(ahead))
    t.ok(Math.abs(idTime(makeIdSource({ server: 1 })()) - Date.now()) < 1000)
  },
)

t.test('ids: rise above one that another source made in the same millisecond', async (t) => {
  const now = Date.now()
  const mine = makeIdSource({ server: 1, now: () => now })
  const other = makeIdSource({ server: 5, now: () => now })
  mine()
  for (let n = 0; n < 5; n++) {
    const its = other()
    const after = mine(its)
    t.ok(BigInt(after) > BigInt(its), `${after} is above ${its}`)
    t.ok(BigInt(other(after)) > BigInt(after))
  }
})

t.test('ids: one that a client names is not followed into a distant future', async (t) => {
  const hour = idAt(Date.now() + 3_600_000)
  t.equal(believable(hour), hour, 'a clock may be an hour off')
  t.equal(believable('9223372036854775807'), undefined)
})

t.test(
  'json text: whatever a string holds, jsonb takes it and gives it back but for NUL and half pairs',
  async (t) => {
    const fixed = (value: string) => value.replaceAll('\0', '\ufffd').toWellFormed()
    const strings = fc.sample(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom('\\u0000', '\\\0', '\\\\u0000', '\ud800x', '\udc00', '😀\0'),
      ),
      300,
    )
    const { rows } = await pool.query('SELECT $1::jsonb AS value', [jsonText(strings)])
    t.same(rows[0].value, strings.map(fixed))
  },
)

import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t from 'tap'
import { makeChildren } from '../../../core/engine/children.ts'
import { makeClaims } from '../../../core/engine/claims.ts'
import { makeEngine } from '../../../core/engine/engine.ts'
import { makePlans } from '../../../core/engine/plans.ts'
import type { Outcome } from '../../../core/schemas/command.ts'
import { addCatalogEntry } from '../../../core/store/catalog.ts'
import { loadExecution } from '../../../core/store/executions.ts'
import { makeIdSource } from '../../../core/store/ids.ts'
import { openPools } from '../../../core/store/pools.ts'
import { makeStore } from '../../../core/store/store.ts'
import { childrenDuty } from '../../../core/upkeep/children.ts'
import { testDatabase } from '../../support/postgres.ts'
import { until } from '../../support/wait.ts'

const { url } = await testDatabase(t)
const pools = openPools({ url, maxConnections: 6, onError: () => {} })
t.teardown(() => pools.close())
const store = makeStore(pools)
const newId = makeIdSource({ server: 7 })
const log = pino({ level: 'silent' })

/** A server's engine that dies before it has started a child, or told a parent: its hooks do nothing. */
function forgetfulServer() {
  const plans = makePlans(store)
  const engine = makeEngine({
    store,
    plans,
    newId,
    log,
    announce: () => {},
    leaseSeconds: 15,
    effectOf: () => 'idempotent',
    onChildren: () => {},
    onEnded: () => {},
  })
  const claims = makeClaims({ store, plans, newId, leaseSeconds: 15, glimpse: engine.glimpse })
  const children = makeChildren({ store, plans, engine, log })
  return { plans, engine, claims, duty: childrenDuty({ store, children, log }) }
}

const { plans, engine, claims, duty } = forgetfulServer()

async function register(path: string, content: string): Promise<string> {
  const catalog_id = newId()
  const text = `metadata: {path: ${path}}\n${content}`
  await addCatalogEntry(pools.durable, {
    catalog_id,
    path,
    kind: 'Playbook',
    content: text,
    payload: {},
    meta: {},
  })
  return catalog_id
}

async function start(catalogId: string): Promise<string> {
  const executionId = newId()
  const plan = await plans.byId(catalogId)
  await engine.start({ executionId, plan, workload: {}, parentExecutionId: null, meta: {} })
  return executionId
}

async function open(executionId: string): Promise<string> {
  return until('a command', async () => {
    const sql = 'SELECT queue_id FROM noetl.queue WHERE execution_id = $1'
    const { rows } = await pools.durable.query<{ queue_id: string }>(sql, [executionId])
    return rows[0]?.queue_id
  })
}

/** Claims and reports the open command of an execution, as a worker would. */
async function work(executionId: string, outcome: Outcome) {
  const queue_id = await open(executionId)
  const token = randomUUID()
  const command = await claims.claim({ execution_id: executionId, queue_id, worker_id: 'w', token })
  const report = {
    type: 'report',
    command_id: queue_id,
    step: command.step,
    worker_id: 'w',
    attempt: command.attempt,
    started_at: null,
    outcome,
  } as const
  const answer = await engine.report(executionId, report, { queue_id, token, worker_id: 'w' })
  return { command, answer }
}

const meta = { duration_ms: 1, calls: 1, facets: {} }
const ok = (result: number | null): Outcome => ({ status: 'ok', error: null, result, set: {}, meta })
const waiting = (timeout_seconds: number | null = null): Outcome => ({
  status: 'waiting',
  error: null,
  result: null,
  set: {},
  meta,
  child: { path: 'child', version: null, payload: {}, return_step: 'start', timeout_seconds },
  resume: { at: 0, here: true },
})

await register('child', 'workflow: [{step: start, tool: {kind: noop}}]')
const parent = await register('parent', 'workflow: [{step: start, tool: {kind: playbook, path: child}}]')
const childOf = async (executionId: string) => {
  const sql = 'SELECT child_execution_id AS id FROM noetl.wait WHERE execution_id = $1'
  const { rows } = await pools.durable.query<{ id: string }>(sql, [executionId])
  return rows[0]!.id
}
const age = (seconds: number) =>
  pools.durable.query(`UPDATE noetl.wait SET created_at = created_at - $1 * interval '1 second'`, [seconds])

t.test('children: what a server left undone when it died is done by upkeep, and nothing twice', async (t) => {
  const id = await start(parent)
  await work(id, waiting())
  const child = await childOf(id)
  await duty.run()
  t.equal(
    await loadExecution(pools.durable, child),
    undefined,
    'the server that is about to start it has its time',
  )
  await age(10)
  await duty.run()
  t.match(await loadExecution(pools.durable, child), { status: 'RUNNING', parent_execution_id: id })
  await duty.run()
  t.equal((await work(child, ok(42))).answer.execution_status, 'COMPLETED')
  t.match((await loadExecution(pools.durable, id))?.status, 'RUNNING')
  await pools.durable.query(
    `UPDATE noetl.execution SET finished_at = finished_at - interval '10 seconds' WHERE execution_id = $1`,
    [child],
  )
  await Promise.all([duty.run(), forgetfulServer().duty.run()])
  const { rows } = await pools.durable.query('SELECT 1 FROM noetl.queue WHERE execution_id = $1', [id])
  t.equal(rows.length, 1, 'two servers that tell the parent at once issue one command')
  const { command, answer } = await work(id, ok(1))
  t.same(command.resume, { state: { at: 0, here: true }, outcome: { result: 42, error: null } })
  t.equal(answer.execution_status, 'COMPLETED')
  t.equal((await pools.durable.query('SELECT 1 FROM noetl.wait')).rowCount, 0)
})

t.test('children: a wait whose time is up goes on with an error, and the child is cancelled', async (t) => {
  const id = await start(parent)
  await work(id, waiting(1000))
  const child = await childOf(id)
  await age(10)
  await duty.run()
  await pools.durable.query('UPDATE noetl.wait SET deadline = now()')
  await duty.run()
  t.match((await loadExecution(pools.durable, child))?.status, 'CANCELLED')
  const { command } = await work(id, ok(1))
  t.match(command.resume, { outcome: { error: { kind: 'timeout', code: 'NOETL_ERR_EXECUTION_CHILD' } } })
})

t.test(
  'children: one that has ended in time counts, though its parent was told after the time',
  async (t) => {
    const id = await start(parent)
    await work(id, waiting(1000))
    const child = await childOf(id)
    await age(10)
    await duty.run()
    await work(child, ok(7))
    await pools.durable.query('UPDATE noetl.wait SET deadline = now()')
    await duty.run()
    const { command } = await work(id, ok(1))
    t.same(command.resume?.outcome, { result: 7, error: null })
  },
)

t.test('children: one wait that cannot be looked after does not keep upkeep from the others', async (t) => {
  const sick = await start(parent)
  await work(sick, waiting())
  const well = await start(parent)
  await work(well, waiting())
  await age(10)
  const seen: string[] = []
  const duty = childrenDuty({
    store,
    log,
    children: {
      begin: () => {},
      ended: () => {},
      look: async (wait) => {
        seen.push(wait.execution_id)
        if (wait.execution_id === sick) throw new Error('it cannot be')
      },
    },
  })
  await duty.run()
  t.same(seen.sort(), [sick, well].sort())
  await Promise.all([sick, well].map((id) => engine.cancel(id, 'enough')))
})

t.test(
  'children: a parent that was cancelled waits for nothing, and an ended child tells no one',
  async (t) => {
    const id = await start(parent)
    await work(id, waiting())
    await engine.cancel(id, 'enough')
    t.equal((await pools.durable.query('SELECT 1 FROM noetl.wait')).rowCount, 0)
    t.equal(await engine.childEnded(id, newId(), null), false)
  },
)

t.test('children: the same report of a wait twice changes nothing', async (t) => {
  const id = await start(parent)
  const queue_id = await open(id)
  const token = randomUUID()
  const { attempt } = await claims.claim({ execution_id: id, queue_id, worker_id: 'w', token })
  const report = {
    type: 'report' as const,
    command_id: queue_id,
    step: 'start',
    worker_id: 'w',
    attempt,
    started_at: null,
    outcome: waiting(),
  }
  const settle = { queue_id, token, worker_id: 'w' }
  t.equal((await engine.report(id, report, settle)).status, 'recorded')
  t.equal((await engine.report(id, report, settle)).status, 'duplicate')
  t.equal((await pools.durable.query('SELECT 1 FROM noetl.wait')).rowCount, 1)
})

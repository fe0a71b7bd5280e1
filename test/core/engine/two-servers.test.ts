import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t from 'tap'
import { makeClaims } from '../../../core/engine/claims.ts'
import { makeEngine } from '../../../core/engine/engine.ts'
import { makePlans } from '../../../core/engine/plans.ts'
import type { Outcome } from '../../../core/schemas/command.ts'
import { addCatalogEntry } from '../../../core/store/catalog.ts'
import { makeIdSource } from '../../../core/store/ids.ts'
import { openPools } from '../../../core/store/pools.ts'
import { makeStore } from '../../../core/store/store.ts'
import { testDatabase } from '../../support/postgres.ts'
import { until } from '../../support/wait.ts'

const { url } = await testDatabase(t)
const pools = openPools({ url, maxConnections: 6, onError: () => {} })
t.teardown(() => pools.close())
const store = makeStore(pools)

/** What servers log as errors. */
const complaints: string[] = []

/** The engine of one server; nothing tells it of what another one does. `mayCommit`: how often, before it dies. */
function server(number: number, mayCommit = Number.POSITIVE_INFINITY) {
  let commits = 0
  const plans = makePlans(store)
  const newId = makeIdSource({ server: number })
  const engine = makeEngine({
    store: {
      ...store,
      commitTransitions: (transitions) =>
        ++commits > mayCommit
          ? Promise.reject(Object.assign(new Error('it is dead'), { code: '57P01' }))
          : store.commitTransitions(transitions),
    },
    plans,
    newId,
    log: pino({ level: 'error' }, { write: (line) => complaints.push(line) }),
    announce: () => {},
    leaseSeconds: 15,
    effectOf: () => 'idempotent',
    onChildren: () => {},
    onEnded: () => {},
  })
  const claims = makeClaims({ store, plans, newId, leaseSeconds: 15, glimpse: engine.glimpse })

  /** Claims the open command of an execution here. */
  async function claim(executionId: string) {
    const { rows } = await pools.durable.query<{ queue_id: string }>(
      'SELECT queue_id FROM noetl.queue WHERE execution_id = $1',
      [executionId],
    )
    const { queue_id } = rows[0]!
    const token = randomUUID()
    return claims.claim({ execution_id: executionId, queue_id, worker_id: 'w', token })
  }

  /** The same, and reports its outcome. */
  async function work(executionId: string, outcome: Outcome) {
    const { command_id: queue_id, token, step, attempt } = await claim(executionId)
    return engine.report(
      executionId,
      { type: 'report', command_id: queue_id, step, worker_id: 'w', attempt, started_at: null, outcome },
      { queue_id, token, worker_id: 'w' },
    )
  }
  return { plans, engine, newId, claim, work }
}

const [one, two] = [server(1), server(2)]
const meta = { duration_ms: 1, calls: 1, facets: {} }
const ok: Outcome = { status: 'ok', error: null, result: 1, set: {}, meta }
const waiting: Outcome = {
  ...{ error: null, result: null, set: {}, meta, resume: {} },
  status: 'waiting',
  child: { path: 'child', version: null, payload: {}, return_step: null, timeout_seconds: null },
}
async function register(path: string, steps: string): Promise<string> {
  const catalog_id = one.newId()
  const content = `metadata: {path: ${path}}\nworkflow:\n${steps}`
  await addCatalogEntry(pools.durable, { catalog_id, path, kind: 'Playbook', content, payload: {}, meta: {} })
  return catalog_id
}

const chain = await register(
  'chain',
  `- {step: start, tool: {kind: noop}, next: {arcs: [{step: two}]}}
- {step: two, tool: {kind: noop}, next: {arcs: [{step: three}]}}
- {step: three, tool: {kind: noop}}`,
)

async function start(catalogId = chain): Promise<string> {
  const executionId = one.newId()
  const plan = await one.plans.byId(catalogId)
  await one.engine.start({ executionId, plan, workload: {}, parentExecutionId: null, meta: {} })
  return executionId
}

t.test(
  'two servers: a report under its lease is recorded by a server that remembers the execution as it was before',
  async (t) => {
    const id = await start()
    t.equal((await two.work(id, ok)).status, 'recorded')
    t.equal((await one.work(id, ok)).status, 'recorded', 'the first server did not see this command issued')
    t.match(await two.work(id, ok), { status: 'recorded', execution_status: 'COMPLETED' })
  },
)

t.test(
  'two servers: the end of a child is taken by a server that remembers its parent as it was before',
  async (t) => {
    const id = await start()
    await two.work(id, waiting)
    const [child] = Object.keys(Object.values((await store.loadExecution(id))!.state.runs)[0]!.waits!)
    t.equal(await one.engine.childEnded(id, child!, null), true)
    t.equal(await two.engine.childEnded(id, child!, null), false, 'once')
  },
)

t.test(
  'two servers: one that remembers an execution as it was before goes on with what another left half routed',
  async (t) => {
    const routers = Array.from(
      { length: 500 },
      (_, i) => `- {step: s${i}, next: {arcs: [{step: ${i === 499 ? 'last' : `s${i + 1}`}}]}}`,
    )
    const long = await register(
      'long',
      `- {step: start, tool: {kind: noop}, next: {arcs: [{step: s0}]}}\n${routers.join('\n')}\n- {step: last}`,
    )
    const id = await start(long)
    const dying = server(3, 1)
    t.equal((await dying.work(id, ok)).status, 'recorded')
    await one.engine.nudge(id)
    await until('its end', async () => (await store.loadExecution(id))?.status === 'COMPLETED')
  },
)

t.test(
  'two servers: a command gets the newest results, also from a server that remembers older ones',
  async (t) => {
    const round = await register(
      'round',
      `- {step: start, tool: {kind: noop}, next: {arcs: [{step: reader}]}}
- {step: reader, tool: {kind: noop, result: "{{ start }}"}, next: {arcs: [{step: start}]}}`,
    )
    const given = (result: number): Outcome => ({ ...ok, result })
    const id = await start(round)
    await one.work(id, given(1))
    await two.work(id, given(0))
    await two.work(id, given(2))
    t.same((await one.claim(id)).context.steps, { start: 2 })
  },
)

t.test(
  'one server: the same execution begun twice at once begins once, and no one else notices',
  async (t) => {
    const executionId = one.newId()
    const plan = await one.plans.byId(chain)
    const about = { plan, workload: {}, parentExecutionId: null, meta: {} }
    const begun = await Promise.allSettled([
      one.engine.start({ ...about, executionId }),
      one.engine.start({ ...about, executionId }),
      one.engine.start({ ...about, executionId: one.newId() }),
    ])
    t.same(
      begun.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    t.same(complaints, [], 'nothing was refused by Postgres')
    t.equal((await one.work(executionId, ok)).status, 'recorded')
  },
)

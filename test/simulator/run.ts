import { isDeepStrictEqual } from 'node:util'
import { makePlan, type Plan } from '../../core/engine/plan.ts'
import type { Plans } from '../../core/engine/plans.ts'
import { makeError } from '../../core/errors.ts'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import type { Json } from '../../core/schemas/json.ts'
import { checkHistory } from '../support/history.ts'
import { breakThings, drawClocks } from './chaos.ts'
import { makeCluster } from './cluster.ts'
import { simulateGlobals } from './globals.ts'
import { makeMemoryStore } from './memory-store.ts'
import { makeNet } from './net.ts'
import { makePeople } from './people.ts'
import { type Drawn, drawPlaybooks } from './playbooks.ts'
import { makeStream } from './stream.ts'
import { byId, type Kept } from './tables.ts'
import { watchTools } from './tools.ts'
import { makePostgres } from './trips.ts'
import { makeWatch } from './watch.ts'
import { calm, drawWeather } from './weather.ts'
import { makeWorld, type Process } from './world.ts'

simulateGlobals()

/** What came of one schedule. */
export interface Simulated {
  seed: number
  faults: string[]
  trace: string[]
  /** Events of the simulation. */
  steps: number
  executions: number
  /** The longest time, in simulated seconds, that nothing moved after the last fault. */
  still: number
}

/** However bad it was, nothing stands still for so long while there is something to do. In milliseconds. */
const STILL_MS = 180_000
/** No playbook that is drawn takes so long. In milliseconds. */
const REST_MS = 60 * 60_000

const compiled = new Map<string, ReturnType<typeof compilePlaybook>['playbook']>()
const expected = new Map<string, Promise<Comparable>>()

/** One schedule: the processes, what they run, and all that happens to them, from one number. */
export async function simulate(
  seed: number,
  options: { traced?: boolean; calm?: Drawn } = {},
): Promise<Simulated & { outcome: Comparable | undefined; kept: Kept[] }> {
  const world = makeWorld(seed, options)
  const { random } = world
  const { statements, tables } = makeMemoryStore(world.wall)
  let weather = options.calm ? calm() : drawWeather(random)
  const watch = makeWatch(world, tables)
  watchTools(world, { begun: watch.onTool })
  const now = () => weather
  const postgres = makePostgres({ world, statements, weather: now, observe: watch.observe })
  const stream = makeStream(world, now)
  const net = makeNet(world, now)
  /** People meet reports: they watch what workers do. */
  const onRun: typeof watch.onRun = (process, command, signal) => {
    const ended = watch.onRun(process, command, signal)
    return () => {
      ended()
      const found = tables.all().find(({ queue }) => queue.has(command))
      if (found !== undefined) people.onReport(found.row.execution_id)
    }
  }
  const cluster = makeCluster({
    world,
    postgres,
    surroundings: { net, stream, leaseSeconds: random.pick([15, 15, 5]), onRun },
    plansOf,
    servers: random.int(1, 3),
    workers: random.int(1, 3),
    slots: random.int(1, 4),
    clockOf: options.calm ? () => ({ offset: 0, rate: 1 }) : drawClocks(world),
  })
  const drawn = options.calm ?? drawPlaybooks(random)
  const plans = new Map<string, Plan>()
  for (const [path, text] of Object.entries(drawn.texts)) register(path, text)

  function register(path: string, content: string): void {
    const catalog_id = String(10 + plans.size)
    const about = { path, version: 1, kind: 'playbook', payload: null, meta: null }
    tables.catalog.set(catalog_id, {
      ...about,
      catalog_id,
      content,
      created_at: new Date(),
      archived_at: null,
    })
    let playbook = compiled.get(content)
    if (playbook === undefined) {
      playbook = compilePlaybook(content).playbook
      if (compiled.size > 500) compiled.clear()
      compiled.set(content, playbook)
    }
    plans.set(catalog_id, makePlan(playbook, { catalogId: catalog_id, path, version: 1 }))
  }

  /** As `makePlans`, with playbooks compiled once for all processes. */
  function plansOf(process: Process): Plans {
    const known = new Set<string>()
    const store = postgres.storeOf(process)
    return {
      async byId(catalogId) {
        if (!known.has(catalogId)) {
          const entry = await store.getCatalogEntry({ catalogId })
          if (entry === undefined) throw makeError('NOETL_ERR_PLAYBOOK_NOT_FOUND', [catalogId, ''])
          known.add(catalogId)
        }
        return plans.get(catalogId)!
      },
    }
  }

  const people = makePeople({ world, tables, cluster, open: net.open(world.process('people')) })
  for (const { start } of [...cluster.servers, ...cluster.workers])
    world.after(random.between(0, 500), null, start)
  const main = [...plans].find(([, { path }]) => path === 'main')![0]
  const wanted = options.calm ? 1 : random.int(1, 3)
  const lasting = options.calm ? 1000 : random.pick([5, 20, 60]) * 1000
  for (let n = 0; n < wanted; n++) {
    world.after(600 + random.between(0, options.calm ? 0 : lasting / 2), null, () => people.start(main))
  }
  if (!options.calm) {
    breakThings({ world, cluster, postgres, stream, net, tables, watch }, lasting)
    if (random.chance(0.3)) people.meddle(lasting)
    if (random.chance(0.4)) people.tend({ kindly: random.chance(0.5) })
  }
  await world.run(() => false, lasting)

  world.note(() => 'from here on, nothing breaks')
  weather = calm()
  postgres.down = false
  stream.down = false
  net.cutOff.clear()
  cluster.healAll()
  people.tend({ kindly: true })
  if (tables.executions.size === 0) people.start(main)
  const before = world.now()
  const atRest = () =>
    tables.executions.size > 0 &&
    people.asking === 0 &&
    tables.all().every(({ row, queue, waits }) => row.status !== 'RUNNING' && queue.size + waits.size === 0)
  let still = 0
  await world.run(() => {
    still = Math.max(still, Math.min(watch.still(), world.now() - before))
    return atRest() || still > STILL_MS
  }, REST_MS)
  const rested = atRest()
  await world.run(() => false, 3000)

  const faults = [...watch.faults, ...world.accidents]
  const all = tables.all()
  if (!rested) for (const kept of all) faults.push(...unrest(kept))
  for (const kept of all) {
    const { row, queue, waits } = kept
    const { graph, playbook } = plans.get(row.catalog_id)!
    const wayBack = playbook.steps.some(({ name }) => graph.reaches(name, name))
    const sorted = [...kept.events].sort((a, b) => byId(a.event_id, b.event_id))
    faults.push(
      ...checkHistory(sorted, row, [...queue.values()], {
        waits: [...waits.keys()],
        ...(wayBack ? {} : { acyclic: graph }),
      }),
    )
  }
  const mains = all.filter(({ row }) => row.parent_execution_id === null)
  if (!options.calm && drawn.settled && rested) {
    const wanted = await outcomeOfCalm(drawn)
    for (const kept of mains) {
      if (people.meddledWith.has(kept.row.execution_id)) continue
      const found = comparable(kept)
      if (!isDeepStrictEqual(found, wanted)) {
        faults.push(
          `execution ${kept.row.execution_id} came to ${JSON.stringify(found)}, undisturbed to ${JSON.stringify(wanted)}`,
        )
      }
    }
  }
  return {
    seed,
    faults,
    trace: world.trace,
    steps: world.steps,
    executions: all.length,
    still: still / 1000,
    outcome: mains[0] && comparable(mains[0]),
    kept: all,
  }
}

/** What an execution came to, as far as it does not turn on time and place. */
interface Comparable {
  status: string
  ctx: unknown
  results: Record<string, Json>
}

function comparable({ row, events }: Kept): Comparable {
  const results: Record<string, Json> = {}
  for (const { event_type, node_name, current_index, result = null, meta } of events) {
    if (!['call.done', 'call.error', 'loop.done'].includes(event_type) || current_index !== undefined)
      continue
    // A stub names its event.
    results[node_name ?? ''] = meta?.stored === undefined ? withoutIds(result) : 'stored aside'
  }
  return { status: row.status, ctx: withoutIds(row.state.ctx), results }
}

/** Ids differ from run to run. */
function withoutIds<T>(value: T): T {
  return JSON.parse(JSON.stringify(value).replace(/\d{15,}/g, '#')) as T
}

/** What the same playbooks come to when nothing breaks. */
function outcomeOfCalm(drawn: Drawn): Promise<Comparable> {
  const key = JSON.stringify(drawn.texts)
  let found = expected.get(key)
  if (found === undefined) {
    found = simulate(1, { calm: drawn }).then(({ outcome, faults }) => {
      if (outcome === undefined || faults.length > 0)
        throw new Error(`undisturbed, it fails: ${faults.join('; ')}`)
      return outcome
    })
    if (expected.size > 500) expected.clear()
    expected.set(key, found)
  }
  return found
}

function unrest({ row, queue, waits }: Kept): string[] {
  if (row.status !== 'RUNNING' && queue.size + waits.size === 0) return []
  const rows = [...queue.values()].map(
    ({ queue_id, status, attempt }) => `${queue_id} ${status} (attempt ${attempt})`,
  )
  return [
    `execution ${row.execution_id} is ${row.status} and does not move; in the queue: [${rows}], it waits for [${[...waits.keys()]}]`,
  ]
}

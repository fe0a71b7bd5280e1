import { makePlan, type Plan } from '../../core/engine/plan.ts'
import type { Plans } from '../../core/engine/plans.ts'
import { makeError } from '../../core/errors.ts'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import { breakThings, drawClocks } from './chaos.ts'
import { makeCluster } from './cluster.ts'
import { simulateGlobals } from './globals.ts'
import { makeMemoryStore } from './memory-store.ts'
import { makeNet } from './net.ts'
import { makePeople } from './people.ts'
import { type Drawn, drawPlaybooks } from './playbooks.ts'
import { makeRandom } from './random.ts'
import { makeStream } from './stream.ts'
import type { Kept } from './tables.ts'
import { watchTools } from './tools.ts'
import { makePostgres } from './trips.ts'
import { type Comparable, compareWithCalm, faultsOf, outcomeOf } from './verdict.ts'
import { makeWatch } from './watch.ts'
import { answersLost, calm, drawWeather } from './weather.ts'
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
const undisturbed = new Map<string, ReturnType<typeof simulate>>()

/**
 * In some runs one command ends every worker that begins it, as one that takes all memory does, or begins as its
 * worker is told to stop. Drawn apart, so that the rest of a seed's schedule is what it was.
 */
function drawPoison(
  seed: number,
): ((command: string) => { afterMs: number; stops: boolean } | undefined) | undefined {
  const random = makeRandom(seed ^ 0x5eed)
  if (!random.chance(0.15)) return undefined
  const blow = { afterMs: random.between(0, 20), stops: random.chance(0.4) }
  let others = random.int(0, 5)
  let poisoned: string | undefined
  return (command) => {
    if (poisoned === undefined && others-- === 0) poisoned = command
    return command === poisoned ? blow : undefined
  }
}

/** One schedule: the processes, what they run, and all that happens to them, from one number. */
export async function simulate(
  seed: number,
  options: { traced?: boolean; calm?: Drawn; only?: 'answers lost' } = {},
): Promise<Simulated & { outcome: Comparable | undefined; kept: Kept[] }> {
  const world = makeWorld(seed, options)
  const { random } = world
  const { statements, tables } = makeMemoryStore(world.wall)
  const gentle = options.calm !== undefined || options.only !== undefined
  let weather = options.calm ? calm() : options.only ? answersLost(random) : drawWeather(random)
  const watch = makeWatch(world, tables)
  watchTools(world, { begun: watch.onTool })
  const now = () => weather
  let healed = false
  const postgres = makePostgres({ world, statements, weather: now, observe: watch.observe })
  const stream = makeStream(world, now)
  const net = makeNet(world, now)
  /** People meet reports: they watch what workers do. */
  const poison = gentle ? undefined : drawPoison(seed)
  const onRun: typeof watch.onRun = (process, command, signal) => {
    const ended = watch.onRun(process, command, signal)
    const blow = poison?.(command)
    if (blow !== undefined && !healed) {
      const place = cluster.workers.find((one) => one.process === process)
      world.note(() => `${command} is the end of ${process.name}`)
      world.after(blow.afterMs, null, () => {
        if (place?.process !== process) return
        if (blow.stops) place.stop(0)
        else process.kill()
      })
    }
    return () => {
      ended()
      const found = tables.all().find(({ queue }) => queue.has(command))
      if (found !== undefined) people.onReport(found.row.execution_id)
    }
  }
  const cluster = makeCluster({
    world,
    postgres,
    surroundings: {
      net,
      stream,
      leaseSeconds: random.pick([15, 15, 5]),
      onRun,
      onReported: watch.onReported,
    },
    plansOf,
    servers: random.int(1, 3),
    workers: random.int(1, 3),
    slots: random.int(1, 4),
    clockOf: gentle ? () => ({ offset: 0, rate: 1 }) : drawClocks(world),
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
  if (!gentle) {
    breakThings({ world, cluster, postgres, stream, net, tables, watch }, lasting)
    if (random.chance(0.3)) people.meddle(lasting)
    if (random.chance(0.4)) people.tend({ kindly: random.chance(0.5) })
  }
  await world.run(() => false, lasting)

  world.note(() => 'from here on, nothing breaks')
  healed = true
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
  const comeToRest = () =>
    world.run(() => {
      still = Math.max(still, Math.min(watch.still(), world.now() - before))
      return atRest() || still > STILL_MS
    }, REST_MS)
  await comeToRest()
  await world.run(() => false, 3000)
  // A slow request to start one may have arrived meanwhile.
  await comeToRest()
  const rested = atRest()

  const faults = [...watch.faults, ...world.accidents]
  const all = tables.all()
  for (const kept of all) faults.push(...faultsOf(kept, plans.get(kept.row.catalog_id)!, rested))
  const mains = all.filter(({ row }) => row.parent_execution_id === null)
  if (!options.calm && drawn.settled && rested) {
    const { outcome, faults: others } = await simulateCalmly(drawn)
    faults.push(...others.map((fault) => `undisturbed: ${fault}`))
    const alone = mains.filter(({ row }) => !people.meddledWith.has(row.execution_id))
    if (outcome !== undefined) for (const kept of alone) faults.push(...compareWithCalm(kept, outcome))
  }
  return {
    seed,
    faults,
    trace: world.trace,
    steps: world.steps,
    executions: all.length,
    still: still / 1000,
    outcome: mains[0] && outcomeOf(mains[0]),
    kept: all,
  }
}

/** What the same playbooks come to when nothing breaks. */
function simulateCalmly(drawn: Drawn): ReturnType<typeof simulate> {
  const key = JSON.stringify(drawn.texts)
  let found = undisturbed.get(key)
  if (found === undefined) {
    found = simulate(1, { calm: drawn })
    if (undisturbed.size > 500) undisturbed.clear()
    undisturbed.set(key, found)
  }
  return found
}

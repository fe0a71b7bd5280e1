import type { Plans } from '../../core/engine/plans.ts'
import { runServer, runWorker, type SimulatedWorker, type Surroundings } from './processes.ts'
import type { Postgres } from './trips.ts'
import type { Process, World } from './world.ts'

/** Servers and workers of one run: each has a place, and a process while it lives. */
export interface Cluster {
  servers: Place[]
  workers: Place[]
  /** Starts what does not run, wakes what is frozen. */
  healAll(): void
}

export interface Place {
  readonly name: string
  readonly url: string
  readonly process: Process | undefined
  start(): void
  /** As SIGTERM; only workers have something to hand back. */
  stop(graceMs: number): void
}

export function makeCluster(parts: {
  world: World
  surroundings: Surroundings
  postgres: Postgres
  plansOf(process: Process): Plans
  servers: number
  workers: number
  slots: number
  clockOf(name: string): Process['clock']
}): Cluster {
  const { world, surroundings, postgres, plansOf, slots, clockOf } = parts
  let number = 0

  function makePlace(
    kind: 'server' | 'worker',
    n: number,
    run: (process: Process) => SimulatedWorker | undefined,
  ): Place {
    let process: Process | undefined
    let worker: SimulatedWorker | undefined
    let births = 0
    const name = `${kind}-${n}`
    const place: Place = {
      name,
      url: `http://${name}`,
      get process() {
        return process?.alive ? process : undefined
      },
      start() {
        if (process?.alive) return
        births += 1
        const born = world.process(`${name}#${births}`)
        process = born
        born.clock = clockOf(name)
        // Someone starts it again, sooner or later.
        born.onDeath(() => world.after(world.random.between(100, 20_000), null, place.start))
        world.note(() => `${born.name} starts`)
        worker = born.as(() => run(born))
      },
      stop(graceMs) {
        if (process?.alive) worker?.stop(graceMs)
      },
    }
    return place
  }

  const servers = Array.from({ length: parts.servers }, (_, i) =>
    makePlace('server', i + 1, (process) => {
      number += 1
      const about = { number, url: `http://server-${i + 1}`, plans: plansOf(process) }
      runServer(process, { ...surroundings, ...about, store: postgres.storeOf(process) })
      return undefined
    }),
  )
  const workers = Array.from({ length: parts.workers }, (_, i) =>
    makePlace('worker', i + 1, (process) =>
      runWorker(process, { ...surroundings, slots, home: world.random.pick(servers).url }),
    ),
  )
  return {
    servers,
    workers,
    healAll() {
      for (const { process, start } of [...servers, ...workers]) {
        if (process === undefined) start()
        else process.thaw()
      }
    },
  }
}

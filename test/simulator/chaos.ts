import type { Cluster, Place } from './cluster.ts'
import type { Net } from './net.ts'
import type { Stream } from './stream.ts'
import type { Tables } from './tables.ts'
import type { Postgres } from './trips.ts'
import type { Watch } from './watch.ts'
import type { Process, World } from './world.ts'

/** What a run may suffer beside bad weather. */
export interface Stage {
  world: World
  cluster: Cluster
  postgres: Postgres
  stream: Stream
  net: Net
  tables: Tables
  watch: Watch
}

/** Clocks that are right, a little off, far off, fast and slow; drawn once for each process. */
export function drawClocks(world: World): (name: string) => Process['clock'] {
  const { random } = world
  const lying = random.chance(0.6)
  const clocks = new Map<string, Process['clock']>()
  return (name) => {
    const there = clocks.get(name)
    if (there !== undefined) return there
    const clock = {
      offset: lying
        ? random.pick([0, random.int(-5, 5), random.int(-500, 500), random.int(-7_200_000, 7_200_000)])
        : 0,
      rate: lying && random.chance(0.3) ? random.pick([0.5, 0.95, 1.05, 2]) : 1,
    }
    clocks.set(name, clock)
    return clock
  }
}

/** Has things break until a time, of some kinds and not of others. Whoever calls heals what is broken then. */
export function breakThings(stage: Stage, untilMs: number): void {
  const { world } = stage
  const { random } = world
  for (const act of acts(stage)) {
    if (!random.chance(0.35)) continue
    for (let n = random.int(1, 4); n > 0; n--) world.after(random.between(0, untilMs), null, act)
  }
}

function acts({ world, cluster, postgres, stream, net, tables, watch }: Stage): (() => void)[] {
  const { random } = world
  const seconds = (most: number) => random.between(0.1, most) * 1000
  const someone = (places: Place[]) => random.pick(places)

  const kill = (place: Place) => {
    world.note(() => `kill ${place.process?.name}`)
    place.process?.kill()
  }
  const freeze = (place: Place) => {
    const { process } = place
    world.note(() => `freeze ${process?.name}`)
    process?.freeze()
    world.after(seconds(random.pick([5, 50])), null, () => process?.thaw())
  }
  const away = (what: string, most: number, set: (down: boolean) => void) => {
    world.note(() => `${what} goes away`)
    set(true)
    world.after(seconds(most), null, () => {
      world.note(() => `${what} is back`)
      set(false)
    })
  }
  const postgresAway = (down: boolean) => {
    postgres.down = down
  }
  return [
    () => kill(someone(cluster.workers)),
    () => kill(someone(cluster.servers)),
    () => freeze(someone(cluster.workers)),
    () => freeze(someone(cluster.servers)),
    () => {
      const place = someone(cluster.workers)
      const grace = random.pick([0, seconds(5), seconds(20)])
      world.note(() => `stop ${place.process?.name} within ${grace} ms`)
      place.stop(grace)
    },
    () => away('Postgres', 20, postgresAway),
    () => {
      const lost = tables.crash((undoable) => random.int(0, undoable))
      world.note(() => `Postgres crashes and loses ${lost} changes`)
      watch.onCrash()
      away('Postgres', 5, postgresAway)
    },
    () =>
      away('NATS', 30, (down) => {
        stream.down = down
      }),
    () => {
      world.note(() => 'NATS loses its store')
      stream.wipe()
    },
    () => {
      world.note(() => 'consumers fall silent')
      stream.silence()
    },
    () => {
      world.note(() => 'the stream takes no messages')
      stream.breakStore()
    },
    () => {
      const { process } = someone(cluster.workers)
      if (process === undefined) return
      away(`the network of ${process.name}`, 30, (down) => {
        if (down) net.cutOff.add(process)
        else net.cutOff.delete(process)
      })
    },
    () => {
      const { process } = random.pick([...cluster.workers, ...cluster.servers])
      if (process === undefined) return
      const jump = random.int(-3_600_000, 3_600_000)
      world.note(() => `the clock of ${process.name} jumps by ${jump} ms`)
      process.clock = { ...process.clock, offset: process.clock.offset + jump }
    },
  ]
}

import { AsyncLocalStorage } from 'node:async_hooks'
import { makeHeap } from './heap.ts'
import { makeRandom, type Random } from './random.ts'

/**
 * Simulated time, and the processes that live in it. Everything that happens is an event on one list, in the
 * order of its time; between two events all promises settle. What code under simulation asks of the clock, of
 * timers and of chance is answered from here (`globals.ts`), so that a seed decides all.
 */
export interface World {
  readonly random: Random
  /** Milliseconds since the beginning; the clock of Postgres. */
  now(): number
  /** Milliseconds since 1970 by that clock. */
  wall(): number
  /**
   * Does something after a while, as the process it belongs to: not at all when that is dead by then, later
   * when it is frozen. Gives a function that calls it off.
   */
  after(ms: number, owner: Process | null, act: () => void): () => void
  process(name: string): Process
  /** Lets time pass until something holds, or so long. True: it holds. */
  run(until: () => boolean, limitMs: number): Promise<boolean>
  /** Notes a line of the trace; costs nothing unless one is kept. */
  note(line: () => string): void
  /** What went wrong in a way that no part of the gateway may: an exception that nobody caught. */
  readonly accidents: string[]
  readonly trace: string[]
  /** Events done so far. */
  readonly steps: number
}

/** A process of the gateway: a server or a worker. */
export interface Process {
  readonly name: string
  readonly world: World
  readonly alive: boolean
  readonly frozen: boolean
  /** Its clock: so many milliseconds off, and so many times as fast. */
  clock: { offset: number; rate: number }
  /** What its clock says, in milliseconds since 1970. */
  wall(): number
  /** Runs code as this process. */
  as<T>(act: () => T): T
  /** As SIGKILL: it does nothing any more. */
  kill(): void
  /** As SIGSTOP and SIGCONT: what comes meanwhile happens when it wakes. */
  freeze(): void
  thaw(): void
  /** Hears of its death. */
  onDeath(hear: () => void): void
}

const EPOCH = Date.UTC(2026, 0, 1)
const storage = new AsyncLocalStorage<Process>()
/** A turn of the real loop: its own timers and those of the runner are not to wait for a whole run. */
const turnOfLoop = setImmediate
/** Events between two turns of the real loop. */
const EVENTS_PER_TURN = 2000

/** The process whose code runs now. */
export function currentProcess(): Process | undefined {
  return storage.getStore()
}

interface Happening {
  at: number
  order: number
  owner: (Process & { later: Happening[] }) | null
  act: (() => void) | null
}

export function makeWorld(seed: number, options: { traced?: boolean } = {}): World {
  const random = makeRandom(seed)
  const heap = makeHeap<Happening>((a, b) => a.at - b.at || a.order - b.order)
  const trace: string[] = []
  const accidents: string[] = []
  let time = 0
  let order = 0
  let steps = 0

  function push(happening: Happening): void {
    heap.push(happening)
  }

  const world: World = {
    random,
    now: () => time,
    wall: () => EPOCH + time,
    accidents,
    trace,
    get steps() {
      return steps
    },
    after(ms, owner, act) {
      order += 1
      const happening: Happening = {
        at: time + Math.max(0, ms),
        order,
        owner: owner as Happening['owner'],
        act,
      }
      push(happening)
      return () => {
        happening.act = null
      }
    },
    note(line) {
      if (options.traced) trace.push(`${(time / 1000).toFixed(4).padStart(10)} ${line()}`)
    },
    process(name) {
      let alive = true
      let frozen = false
      const hearers: (() => void)[] = []
      const process: Process & { later: Happening[] } = {
        name,
        world,
        later: [],
        clock: { offset: 0, rate: 1 },
        get alive() {
          return alive
        },
        get frozen() {
          return frozen
        },
        wall: () => Math.floor(EPOCH + process.clock.offset + time * process.clock.rate),
        as: (act) => storage.run(process, act),
        kill() {
          if (!alive) return
          alive = false
          process.later = []
          for (const hear of hearers) hear()
        },
        freeze() {
          frozen = alive
        },
        thaw() {
          frozen = false
          for (const happening of process.later.splice(0)) push({ ...happening, at: time })
        },
        onDeath: (hear) => void hearers.push(hear),
      }
      return process
    },
    async run(until, limitMs) {
      const end = time + limitMs
      while (!until()) {
        const next = heap.pop()
        if (next === undefined) return until()
        if (next.at > end) {
          push(next)
          time = end
          return until()
        }
        const { owner, act } = next
        time = Math.max(time, next.at)
        if (act === null || owner?.alive === false) continue
        if (owner?.frozen) {
          owner.later.push(next)
          continue
        }
        steps += 1
        try {
          if (owner === null) act()
          else storage.run(owner, act)
        } catch (error) {
          accidents.push(`${owner?.name ?? 'nobody'}: ${(error as Error).stack ?? error}`)
        }
        // A tick comes when no promise is left to settle: what the event set off has gone as far as it can.
        await new Promise<void>((resolve) => {
          if (steps % EVENTS_PER_TURN === 0) turnOfLoop(resolve)
          else process.nextTick(resolve)
        })
      }
      return true
    },
  }
  return world
}

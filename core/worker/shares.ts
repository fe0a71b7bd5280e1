import type { LanePlan, LaneState } from '../tools/lanes.ts'

/** What a worker knows of its lanes, and how many commands it asks each of them for. */
export interface Shares {
  /** A command was delivered; `behind`: so many waited behind it. */
  delivered(lane: string, behind: number): void
  /** A lane was asked, and had nothing. */
  empty(lane: string): void
  began(lane: string): void
  ended(lane: string): void
  /** How many more commands each lane is asked for. */
  wanted(): Readonly<Record<string, number>>
  /** Some wait in a lane, as far as is known. */
  readonly waits: boolean
  /** Some wait in a lane that is served before this one, as far as is known. */
  waitsAbove(lane: string): boolean
}

/** A lane that was asked and told nothing for so long has nothing: one that has answers within a few milliseconds. */
const SILENT_MS = 50

interface Known extends LaneState {
  /** Since when it had some waiting and none was begun. */
  since: number
  heard: number
}

/**
 * A plugin says how slots are shared; here is what it decides on. Whatever it answers, no more than the free slots are
 * filled: who is delivered too many keeps the rest for a moment. A lane of which nothing is known is asked for one.
 */
export function makeShares(options: {
  /** In the order of the plan. */
  lanes: readonly string[]
  slots: number
  share: LanePlan['share']
  now?: () => number
}): Shares {
  const { slots, share, now = Date.now } = options
  const known = new Map<string, Known>()
  for (const lane of options.lanes)
    known.set(lane, { lane, busy: 0, waiting: 0, passed: 0, age: 0, since: now(), heard: now() })

  function told(lane: Known, waiting: number): void {
    if (lane.waiting === 0) {
      lane.passed = 0
      lane.since = now()
    }
    lane.waiting = waiting
    lane.heard = now()
  }

  return {
    delivered(name, behind) {
      const lane = known.get(name)
      if (lane !== undefined) told(lane, behind)
    },
    empty(name) {
      const lane = known.get(name)
      if (lane !== undefined && now() - lane.heard >= SILENT_MS) told(lane, 0)
    },
    began(name) {
      for (const lane of known.values()) {
        if (lane.lane === name) {
          lane.busy += 1
          lane.passed = 0
          lane.since = now()
        } else if (lane.waiting > 0) lane.passed += 1
      }
    },
    ended(name) {
      const lane = known.get(name)
      if (lane !== undefined) lane.busy -= 1
    },
    wanted() {
      const states = [...known.values()]
      const free = slots - states.reduce((sum, { busy }) => sum + busy, 0)
      if (free <= 0) return {}
      const at = now()
      const shared = share({
        slots,
        lanes: states.map(({ lane, busy, waiting, passed, since }) => ({
          ...{ lane, busy, waiting, passed },
          age: waiting === 0 ? 0 : (at - since) / 1000,
        })),
      })
      return Object.fromEntries(
        states.map(({ lane, waiting }) => [lane, Math.max(shared[lane] ?? 0, waiting === 0 ? 1 : 0)]),
      )
    },
    get waits() {
      return [...known.values()].some(({ waiting }) => waiting > 0)
    },
    waitsAbove(name) {
      for (const { lane, waiting } of known.values()) {
        if (lane === name) return false
        if (waiting > 0) return true
      }
      return false
    },
  }
}

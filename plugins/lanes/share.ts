import type { LanePlan, LaneState, ShareState } from '@noetl/core'
import type { LaneRule } from './options.ts'

/**
 * Shares the free slots of a worker, one turn after the other. A turn goes to a lane that has been passed over as often
 * as its weight allows, or for as long as its ageing allows; else to the highest lane that has work. Hence the highest
 * is served first, and a lane with work has a turn at least once in `turnsOf` it, and one more for each other lane
 * that is due in the same turn. Slots that are reserved for a lane are never given to another.
 */
export function makeShare(rules: readonly LaneRule[]): LanePlan['share'] {
  const turns = turnsOf(rules)
  return ({ slots, lanes }: ShareState) => {
    const states = rules.flatMap((rule) => {
      const state = lanes.find(({ lane }) => lane === rule.name)
      return state === undefined ? [] : [{ ...state, rule, granted: 0 }]
    })
    const kept = keptFor(rules, slots)
    let free = slots - states.reduce((sum, { busy }) => sum + busy, 0)
    while (free > 0) {
      const next = nextOf(
        states.filter((state) => state.waiting > state.granted && free > keptFromOf(state, states, kept)),
        turns,
      )
      if (next === undefined) break
      for (const state of states) if (state.waiting > state.granted) state.passed += 1
      next.granted += 1
      next.passed = 0
      next.age = 0
      free -= 1
    }
    // What is reserved and idle asks ahead, so that what comes is here at once.
    for (const state of states) {
      const idle = Math.min(free, (kept.get(state.lane) ?? 0) - state.busy - state.granted)
      if (idle <= 0) continue
      state.granted += idle
      free -= idle
    }
    return Object.fromEntries(states.map(({ lane, granted }) => [lane, granted]))
  }
}

/** Turns within which a lane with work has one: the sum of the weights over its own, rounded up. */
export function turnsOf(rules: readonly LaneRule[]): ReadonlyMap<string, number> {
  const sum = rules.reduce((total, { weight }) => total + weight, 0)
  return new Map(rules.map(({ name, weight }) => [name, Math.ceil(sum / weight)]))
}

/** Slots kept for each lane: as said, in the order of the lanes, but for one that is for all. */
function keptFor(rules: readonly LaneRule[], slots: number): ReadonlyMap<string, number> {
  let left = Math.max(0, slots - 1)
  return new Map(
    rules.map(({ name, reserved }) => {
      const kept = Math.min(left, reserved)
      left -= kept
      return [name, kept]
    }),
  )
}

interface Shared extends LaneState {
  rule: LaneRule
  granted: number
}

/** Slots that this lane may not have: those reserved for others and not used by them. */
function keptFromOf(lane: Shared, all: readonly Shared[], kept: ReadonlyMap<string, number>): number {
  return all
    .filter((other) => other !== lane)
    .reduce((sum, other) => sum + Math.max(0, (kept.get(other.lane) ?? 0) - other.busy - other.granted), 0)
}

function nextOf(candidates: Shared[], turns: ReadonlyMap<string, number>): Shared | undefined {
  // Of those that are due, the one that has been passed over the longest, by its own measure.
  const overdue = ({ lane, passed, age, rule }: Shared) =>
    Math.max((passed + 1) / (turns.get(lane) ?? 1), age / rule.ageingSeconds)
  const due = candidates.filter((state) => overdue(state) >= 1)
  return (
    due.reduce<Shared | undefined>(
      (most, state) => (most === undefined || overdue(state) > overdue(most) ? state : most),
      undefined,
    ) ?? candidates[0]
  )
}

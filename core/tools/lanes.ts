import { makeError } from '../errors.ts'
import { isPlaceName, laneHint, NORMAL_LANE } from '../schemas/lanes.ts'

/** How a worker shares its slots among lanes; a plugin brings it. */
export interface LanePlan {
  /** Names, from the one to be served first to the last; `normal` among them. */
  lanes: readonly string[]
  /**
   * For how many more commands each lane is asked. Pure, quick, and for no more in all than slots are free. A lane of
   * which nothing is known is asked for one all the same, so that what comes is heard of.
   */
  share(state: ShareState): Readonly<Record<string, number>>
}

/** What a worker knows of its lanes, each in the order of the plan. */
export interface ShareState {
  slots: number
  lanes: readonly LaneState[]
}

export interface LaneState {
  lane: string
  /** Commands of it under way here. */
  busy: number
  /** Commands that wait in it, as the bus told last; 0: none, as far as is known. */
  waiting: number
  /** Commands of other lanes begun here since one of it was, while it had some waiting. */
  passed: number
  /** Seconds since one of it was begun, while it had some waiting. */
  age: number
}

/** The lanes of a process: the one there is, or those of a plugin. */
export interface Lanes {
  readonly names: readonly string[]
  readonly share: LanePlan['share'] | undefined
  /** Takes the lanes of a plugin; throws for names that cannot be, and when another plugin was there before. */
  bring(plan: LanePlan): void
  /** Throws NOETL_ERR_LANE_UNKNOWN. */
  check(names: readonly string[]): void
  /**
   * Those that a worker takes, in the order of the plan; of none that are wanted, all. Without a plugin it may take
   * any, for one may have been there before. Throws NOETL_ERR_LANE_UNKNOWN.
   */
  taken(wanted: readonly string[]): readonly string[]
}

const MOST_LANES = 16

export function makeLanes(): Lanes {
  let plan: LanePlan | undefined
  const names = () => plan?.lanes ?? [NORMAL_LANE]
  function check(asked: readonly string[]): void {
    const unknown = asked.find((name) => !names().includes(name))
    if (unknown !== undefined)
      throw makeError('NOETL_ERR_LANE_UNKNOWN', [unknown, names().join(', '), laneHint(names())])
  }
  return {
    get names() {
      return names()
    },
    get share() {
      return plan?.share
    },
    bring(brought) {
      const { lanes } = brought
      if (plan !== undefined)
        throw new Error(`the lanes ${plan.lanes.join(', ')} were brought by another plugin`)
      const wrong = lanes.find((lane, i) => !isPlaceName(lane) || lanes.indexOf(lane) !== i)
      if (wrong !== undefined || !lanes.includes(NORMAL_LANE) || lanes.length > MOST_LANES) {
        throw new Error(
          `its lanes are ${JSON.stringify(lanes)}; up to ${MOST_LANES} different names of letters, digits, - and _, "${NORMAL_LANE}" among them, were expected`,
        )
      }
      plan = brought
    },
    check,
    taken(wanted) {
      if (wanted.length === 0) return names()
      if (plan === undefined) return wanted
      check(wanted)
      return names().filter((name) => wanted.includes(name))
    },
  }
}

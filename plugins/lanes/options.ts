/** How a lane is served. */
export interface LaneOptions {
  /** Its share of the turns while all lanes have work, against the other weights. A whole number from 1 to 1000. */
  weight?: number
  /** Slots of each worker that are kept for it; one slot at least is left for the rest. */
  reserved?: number
  /** Seconds after which it has the next turn, whatever its weight says. */
  ageing_seconds?: number
}

export interface LanesOptions {
  /** By name, from the one to be served first to the last. */
  lanes?: Readonly<Record<string, LaneOptions>>
}

/** A lane with everything said. */
export interface LaneRule {
  name: string
  weight: number
  reserved: number
  ageingSeconds: number
}

const AGEING_SECONDS = 30
const DEFAULT: NonNullable<LanesOptions['lanes']> = {
  high: { weight: 8, reserved: 1 },
  normal: { weight: 3 },
  low: { weight: 1 },
}
const FIELDS = ['weight', 'reserved', 'ageing_seconds']

/** Throws with what was seen and what was expected; the core checks the names. */
export function readOptions({ lanes = DEFAULT, ...rest }: LanesOptions): LaneRule[] {
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw new Error(`its option "${unknown}" is unknown; only "lanes" was expected`)
  if (!isObject(lanes)) {
    throw new Error(`its option "lanes" is ${JSON.stringify(lanes)}; {"high": {"weight": 8}, …} was expected`)
  }
  return Object.entries(lanes).map(([name, given]) => {
    if (!isObject(given))
      throw new Error(`its lane "${name}" is ${JSON.stringify(given)}; {"weight": 1} was expected`)
    const wrong = Object.keys(given).find((field) => !FIELDS.includes(field))
    if (wrong !== undefined)
      throw new Error(`its lane "${name}" has the field "${wrong}"; ${FIELDS.join(', ')} were expected`)
    return {
      name,
      weight: number(name, 'weight', given.weight ?? 1, { min: 1, max: 1000, whole: true }),
      reserved: number(name, 'reserved', given.reserved ?? 0, { min: 0, max: 1000, whole: true }),
      ageingSeconds: number(name, 'ageing_seconds', given.ageing_seconds ?? AGEING_SECONDS, {
        ...{ min: 0.1, max: 86_400, whole: false },
      }),
    }
  })
}

function number(
  lane: string,
  field: string,
  value: unknown,
  { min, max, whole }: { min: number; max: number; whole: boolean },
): number {
  const fits =
    typeof value === 'number' && value >= min && value <= max && (!whole || Number.isInteger(value))
  if (fits) return value
  throw new Error(
    `${field} of its lane "${lane}" is ${JSON.stringify(value)}; a ${whole ? 'whole ' : ''}number from ${min} to ${max} was expected`,
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

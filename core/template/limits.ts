/** Bounds that keep a hostile or mistaken template from taking the process with it. */
export const LIMITS = {
  /** Characters of one template. */
  source: 4 * 2 ** 20,
  /** Characters that one template may print, or one operation may make. */
  output: 16 * 2 ** 20,
  /** Expressions and loop rounds evaluated by one rendering: about a second. */
  fuel: 3_000_000,
  /** Elements of a `range()`, of a repeated list, or a number handed to a layout filter. */
  range: 100_000,
  /** Members of one path. */
  members: 1000,
  /** Brackets, conditions and statements inside each other. */
  depth: 100,
  /** Compiled templates kept, and the characters of their sources together. */
  kept: 4096,
  keptCharacters: 16 * 2 ** 20,
} as const

let spent = 0

/** Counts work that turns on the size of values, in the units of `LIMITS.fuel`. */
export function spend(units: number): void {
  spent += units
}

/** What was counted since the last time, for the evaluation under way to pay. */
export function takeSpent(): number {
  const units = spent
  spent = 0
  return units
}

/** Something wrong in a playbook, at its place in the text. */
export interface Fault {
  message: string
  /** From 1. */
  line: number
  column: number
  /** Where it is in the document: `workflow[2].next.arcs[0].step`. */
  path: string
  /** What was probably meant. */
  suggestion?: string
}

export type Path = readonly (string | number)[]

/** What was probably meant; a function is asked only when the fault is kept, for looking is dear. */
export type Suggestion = string | undefined | (() => string | undefined)

/** Where things stand in the text. */
export interface Places {
  /** What is at a path, or what is nearest above it. */
  placeOf(path: Path): { line: number; column: number }
  /** A character of the text at a path. */
  placeIn(path: Path, offset: number): { line: number; column: number }
}

/** Collects faults and warnings while a playbook is compiled, so that all are told at once. */
export interface Faults {
  /** `offset`: the character of the text at `path` that is meant. */
  fault(path: Path, message: string, suggestion?: Suggestion, offset?: number): void
  warn(path: Path, message: string, suggestion?: Suggestion, offset?: number): void
  readonly faults: Fault[]
  readonly warnings: Fault[]
  /** Remembers where something compiled was written. */
  mark(thing: object, path: Path): void
  markOf(thing: object): Path | undefined
  /** Puts both lists in the order of the text and says how many more there are than were kept. */
  settle(): void
}

/** More than this nobody reads. */
const KEPT = 100

export function makeFaults(places: Places): Faults {
  const marks = new WeakMap<object, Path>()
  const makeList = (what: string) => {
    const list: Fault[] = []
    const seen = new Set<string>()
    let more = 0
    return {
      list,
      add(path: Path, message: string, suggestion?: Suggestion, offset?: number) {
        const shown = showPath(path)
        const key = `${shown}\n${offset ?? ''}\n${message}`
        if (seen.has(key)) return
        if (list.length >= KEPT) {
          more += 1
          return
        }
        seen.add(key)
        const place = offset === undefined ? places.placeOf(path) : places.placeIn(path, offset)
        const meant = typeof suggestion === 'function' ? suggestion() : suggestion
        list.push({ message, ...place, path: shown, ...(meant ? { suggestion: meant } : {}) })
      },
      settle() {
        list.sort((a, b) => a.line - b.line || a.column - b.column)
        const last = list.at(-1)
        if (more === 0 || last === undefined) return
        list.push({
          message: `there are ${more} more ${what}`,
          line: last.line,
          column: last.column,
          path: '',
        })
        more = 0
      },
    }
  }
  const faults = makeList('faults')
  const warnings = makeList('warnings')
  return {
    fault: faults.add,
    warn: warnings.add,
    faults: faults.list,
    warnings: warnings.list,
    mark: (thing, path) => void marks.set(thing, path),
    markOf: (thing) => marks.get(thing),
    settle() {
      faults.settle()
      warnings.settle()
    },
  }
}

function showPath(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`))
    .join('')
}

/** `line 3, column 5 (workflow[0].next): message. Did you mean …?` */
export function showFault(fault: Fault): string {
  const hint = fault.suggestion === undefined ? '' : ` Did you mean "${fault.suggestion}"?`
  return `line ${fault.line}, column ${fault.column}${fault.path === '' ? '' : ` (${fault.path})`}: ${fault.message}${hint}`
}

/** A name that somebody sent, as messages show it: its beginning when it is far too long. */
export function shownName(name: string): string {
  return name.length > 200 ? `${name.slice(0, 200)}…` : name
}

/** Names beyond these are not compared. */
const COMPARED = 5000

/** The few names that look most like a wrong one; none when nothing is near. */
export function nearest(wrong: string, names: Iterable<string>): string[] {
  const sought = wrong.slice(0, 200).toLowerCase()
  // Most of a short name must be left: "foo" is not near to "now", nor "ab" to "xy".
  const limit =
    sought.length < 5 ? Math.min(1, sought.length - 1) : Math.max(2, Math.floor(sought.length / 3))
  const found: { name: string; distance: number }[] = []
  for (const name of [...new Set(names)].slice(0, COMPARED)) {
    const other = name.slice(0, 200).toLowerCase()
    const distance = distanceWithin(sought, other, limit)
    if (distance <= limit || name.toLowerCase().endsWith(`/${sought}`)) found.push({ name, distance })
  }
  return found
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ name }) => name)
}

/** Edits (insert, drop, change, two letters swapped) that turn one text into the other; infinite beyond the limit. */
function distanceWithin(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return Number.POSITIVE_INFINITY
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    let least = i
    for (let j = 1; j <= b.length; j++) {
      let edits = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, before[j - 2]! + 1)
      next.push(edits)
      least = Math.min(least, edits)
    }
    if (least > limit) return Number.POSITIVE_INFINITY
    before = row
    row = next
  }
  return row[b.length]!
}

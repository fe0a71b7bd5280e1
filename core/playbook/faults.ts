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

/** Collects faults and warnings while a playbook is compiled, so that all are told at once. */
export interface Faults {
  fault(path: Path, message: string, suggestion?: string): void
  warn(path: Path, message: string, suggestion?: string): void
  readonly faults: Fault[]
  readonly warnings: Fault[]
}

/** More than this nobody reads. */
const KEPT = 100

export function makeFaults(placeOf: (path: Path) => { line: number; column: number }): Faults {
  const faults: Fault[] = []
  const warnings: Fault[] = []
  const add = (list: Fault[], path: Path, message: string, suggestion?: string) => {
    if (list.length >= KEPT) return
    list.push({ message, ...placeOf(path), path: showPath(path), ...(suggestion ? { suggestion } : {}) })
  }
  return {
    fault: (path, message, suggestion) => add(faults, path, message, suggestion),
    warn: (path, message, suggestion) => add(warnings, path, message, suggestion),
    faults,
    warnings,
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

/** The few names that look most like a wrong one; none when nothing is near. */
export function nearest(wrong: string, names: Iterable<string>): string[] {
  const sought = wrong.slice(0, 200).toLowerCase()
  const limit = Math.max(2, Math.floor(sought.length / 3))
  return [...new Set(names)]
    .map((name) => ({ name, distance: distanceOf(sought, name.slice(0, 200).toLowerCase()) }))
    .filter(({ name, distance }) => distance <= limit || name.toLowerCase().endsWith(`/${sought}`))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ name }) => name)
}

/** Edits (insert, drop, change) that turn one text into the other. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

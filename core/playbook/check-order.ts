import type { Playbook, Step } from '../schemas/playbook.ts'

/** Where one leads, in whatever way: once for each arc. */
export function arcsOf({ next, onEnter, onCall, onExit }: Step): string[] {
  const arcs = next.arcs.map(({ step }) => step)
  for (const reactions of [onEnter, onCall, onExit]) {
    for (const { calls, next } of reactions)
      for (const { step } of [...calls, ...(next ?? [])]) arcs.push(step)
  }
  return arcs
}

/** Steps that one leads to. */
export function targetsOf(step: Step): Set<string> {
  return new Set(arcsOf(step))
}

/**
 * Tells whether one step can run before another: a way of one arc or more leads from it to the other. Steps that
 * lead to each other are one, and each knows those it leads to as a row of bits, so that thousands of steps take
 * no more than a few megabytes.
 */
export function orderOf(playbook: Playbook): (before: string, after: string) => boolean {
  const arcs = new Map(playbook.steps.map((step) => [step.name, targetsOf(step)]))
  const reaches = reachOf(arcs)
  return (before, after) => after === playbook.finalStep || reaches(before, after)
}

/** Tells whether a way of one arc or more leads from one step to another. Arcs to what is no step are left out. */
export function reachOf(arcs: ReadonlyMap<string, Iterable<string>>): (from: string, to: string) => boolean {
  const names = new Map([...arcs.keys()].map((name, i) => [name, i]))
  const targets = [...arcs.values()].map((steps) => {
    const places: number[] = []
    for (const step of steps) if (names.has(step)) places.push(names.get(step)!)
    return places
  })
  const { ringOf, rings } = ringsOf(targets)
  const words = Math.ceil(rings.length / 32)
  const reached: Uint32Array[] = []
  // A ring is finished only after all that it leads to.
  for (const [ring, steps] of rings.entries()) {
    const row = new Uint32Array(words)
    reached.push(row)
    for (const step of steps) {
      for (const target of targets[step]!) {
        const other = ringOf[target]!
        // What is reached already has been joined with all beyond it.
        if (((row[other >>> 5]! >>> (other & 31)) & 1) === 1) continue
        row[other >>> 5]! |= 1 << (other & 31)
        if (other === ring) continue
        const beyond = reached[other]!
        for (let word = 0; word < words; word++) row[word]! |= beyond[word]!
      }
    }
  }
  return (from, to) => {
    const [before, after] = [names.get(from), names.get(to)]
    if (before === undefined || after === undefined) return false
    const ring = ringOf[after]!
    return ((reached[ringOf[before]!]![ring >>> 5]! >>> (ring & 31)) & 1) === 1
  }
}

/** Tarjan's components, without recursion: the deepest first. */
export function ringsOf(targets: number[][]): { ringOf: number[]; rings: number[][] } {
  const order: number[] = new Array(targets.length).fill(-1)
  const low: number[] = []
  const ringOf: number[] = new Array(targets.length).fill(-1)
  const rings: number[][] = []
  const open: number[] = []
  let count = 0
  for (const root of targets.keys()) {
    if (order[root] !== -1) continue
    const path: { step: number; next: number }[] = [{ step: root, next: 0 }]
    while (path.length > 0) {
      const place = path.at(-1)!
      const { step } = place
      if (place.next === 0) {
        order[step] = low[step] = count++
        open.push(step)
      }
      const target = targets[step]![place.next++]
      if (target !== undefined) {
        if (order[target] === -1) path.push({ step: target, next: 0 })
        else if (ringOf[target] === -1) low[step] = Math.min(low[step]!, order[target]!)
        continue
      }
      path.pop()
      const above = path.at(-1)?.step
      if (above !== undefined) low[above] = Math.min(low[above]!, low[step]!)
      if (low[step] !== order[step]) continue
      const ring = open.splice(open.lastIndexOf(step))
      for (const member of ring) ringOf[member] = rings.length
      rings.push(ring)
    }
  }
  return { ringOf, rings }
}

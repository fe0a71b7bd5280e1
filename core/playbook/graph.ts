import type { Playbook } from '../schemas/playbook.ts'

/** Which step can lead to which. */
export interface Graph {
  /** Steps with an arc to this one, each once. */
  predecessors(step: string): readonly string[]
  /** True when a way of one arc or more leads from one to the other. */
  reaches(from: string, to: string): boolean
  /** The same along arcs that lead on: none that leads back to a step it came through. */
  leadsOn(from: string, to: string): boolean
}

export function graphOf(playbook: Playbook): Graph {
  const after = new Map<string, Set<string>>()
  const before = new Map<string, string[]>()
  for (const { name, next, onEnter, onCall, onExit } of playbook.steps) {
    const reactions = [...onEnter, ...onCall, ...onExit].flatMap(({ calls, next }) => [
      ...calls,
      ...(next ?? []),
    ])
    const targets = new Set([...next.arcs, ...reactions].map((target) => target.step))
    after.set(name, targets)
    for (const target of targets) before.set(target, [...(before.get(target) ?? []), name])
  }
  const reachableFrom = closureOf(after)
  const onwardFrom = closureOf(onwardArcs(after, [playbook.entry, ...after.keys()]))
  return {
    predecessors: (step) => before.get(step) ?? [],
    reaches: (from, to) => reachableFrom(from).has(to),
    leadsOn: (from, to) => onwardFrom(from).has(to),
  }
}

type Arcs = ReadonlyMap<string, ReadonlySet<string>>

function closureOf(arcs: Arcs): (step: string) => ReadonlySet<string> {
  const closures = new Map<string, Set<string>>()
  return (step) => {
    const known = closures.get(step)
    if (known !== undefined) return known
    const found = new Set<string>()
    const open = [...(arcs.get(step) ?? [])]
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (found.has(name)) continue
      found.add(name)
      open.push(...(arcs.get(name) ?? []))
    }
    closures.set(step, found)
    return found
  }
}

/** The arcs without those that close a cycle, on a walk along them from the roots. */
function onwardArcs(arcs: Arcs, roots: string[]): Arcs {
  const onward = new Map<string, Set<string>>()
  const way = new Set<string>()
  const open: { step: string; left: string[] }[] = []
  const enter = (step: string) => {
    onward.set(step, new Set())
    way.add(step)
    open.push({ step, left: [...(arcs.get(step) ?? [])] })
  }
  for (const root of roots) {
    if (!onward.has(root)) enter(root)
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const target = top.left.shift()
      if (target === undefined) {
        way.delete(top.step)
        open.pop()
      } else if (!way.has(target)) {
        onward.get(top.step)!.add(target)
        if (!onward.has(target)) enter(target)
      }
    }
  }
  return onward
}

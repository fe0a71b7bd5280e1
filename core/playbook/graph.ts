import type { Playbook } from '../schemas/playbook.ts'

/** Which step can lead to which. */
export interface Graph {
  /** Steps with an arc to this one, each once. */
  predecessors(step: string): readonly string[]
  /** True when a way of one arc or more leads from one to the other. */
  reaches(from: string, to: string): boolean
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
  const reachable = new Map<string, Set<string>>()

  function reachableFrom(step: string): Set<string> {
    const known = reachable.get(step)
    if (known !== undefined) return known
    const found = new Set<string>()
    const open = [...(after.get(step) ?? [])]
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (found.has(name)) continue
      found.add(name)
      open.push(...(after.get(name) ?? []))
    }
    reachable.set(step, found)
    return found
  }

  return {
    predecessors: (step) => before.get(step) ?? [],
    reaches: (from, to) => reachableFrom(from).has(to),
  }
}

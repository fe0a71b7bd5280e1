import type { Playbook } from '../schemas/playbook.ts'
import { reachOf, targetsOf } from './check-order.ts'

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
  for (const step of playbook.steps) {
    const targets = targetsOf(step)
    after.set(step.name, targets)
    for (const target of targets) {
      const others = before.get(target)
      if (others === undefined) before.set(target, [step.name])
      else others.push(step.name)
    }
  }
  const reaches = once(() => reachOf(after))
  const leadsOn = once(() => reachOf(onwardArcs(after, [playbook.entry, ...after.keys()])))
  return {
    predecessors: (step) => before.get(step) ?? [],
    reaches: (from, to) => reaches()(from, to),
    leadsOn: (from, to) => leadsOn()(from, to),
  }
}

/** Most playbooks have no joins, and never ask. */
function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

type Arcs = ReadonlyMap<string, ReadonlySet<string>>

const NONE: ReadonlySet<string> = new Set()

/** The arcs without those that close a cycle, on a walk along them from the roots. */
function onwardArcs(arcs: Arcs, roots: string[]): Arcs {
  const onward = new Map<string, Set<string>>()
  const way = new Set<string>()
  const open: { step: string; left: Iterator<string> }[] = []
  const enter = (step: string) => {
    onward.set(step, new Set())
    way.add(step)
    open.push({ step, left: (arcs.get(step) ?? NONE).values() })
  }
  for (const root of roots) {
    if (!onward.has(root)) enter(root)
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const { value: target, done } = top.left.next()
      if (done) {
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

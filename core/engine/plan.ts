import { type Graph, graphOf } from '../playbook/graph.ts'
import type { Json } from '../schemas/json.ts'
import type { KeychainEntry, Playbook, Reaction, Step, Target, Task } from '../schemas/playbook.ts'
import { compileCondition, compileTemplate, type Template } from '../template/template.ts'

/** A playbook made ready for the engine: steps by name, the graph, templates compiled when first used. */
export interface Plan {
  catalogId: string
  path: string
  version: number
  playbook: Playbook
  graph: Graph
  /** Lanes that it names, anywhere. */
  lanes: readonly string[]
  step(name: string): StepPlan | undefined
}

export interface StepPlan {
  step: Step
  set: () => Template
  loopIn: () => Template
  inFlight: () => Template
  arcs: {
    step: string
    group: number | undefined
    lane: string | undefined
    when: (() => Condition) | undefined
    set: () => Template
    args: () => Template
  }[]
  onEnter: ReactionPlan[]
  onCall: ReactionPlan[]
  onExit: ReactionPlan[]
  admit: { when: (() => Condition) | undefined; allow: boolean }[]
  /** Kind that the queue row carries: the tool's, or `task_sequence` for a list. */
  kind: string
  needs: () => Needs
}

/** See `Reaction`. */
export interface ReactionPlan {
  when: (() => Condition) | undefined
  set: () => Template
  collect: { into: string; from: () => Template; mode: 'append' | 'extend' }[]
  calls: TargetPlan[]
  next: TargetPlan[] | null
}

export interface TargetPlan {
  step: string
  args: () => Template
}

export type Condition = ReturnType<typeof compileCondition>

/** Names that a step's own templates refer to; the command's context holds these and no others. */
export interface Needs {
  /** Everything: python code that looks into `context`. */
  all: boolean
  roots: ReadonlySet<string>
  /** Names below `ctx` or `vars`, `workload`, `steps`; null: the whole of it. */
  below: ReadonlyMap<string, ReadonlySet<string> | null>
}

export function makePlan(
  playbook: Playbook,
  entry: { catalogId: string; path: string; version: number },
): Plan {
  const steps = new Map(playbook.steps.map((step) => [step.name, planStep(step, playbook)]))
  return {
    ...entry,
    playbook,
    graph: graphOf(playbook),
    lanes: lanesOf(playbook),
    step: (name) => steps.get(name),
  }
}

function lanesOf({ lane, steps }: Playbook): string[] {
  const named = [lane, ...steps.flatMap((step) => [step.lane, ...step.next.arcs.map((arc) => arc.lane)])]
  return [...new Set(named.filter((name) => name !== undefined))]
}

function planStep(step: Step, { keychain }: Playbook): StepPlan {
  return {
    step,
    set: once(() => compileTemplate(step.set)),
    loopIn: once(() => compileTemplate(step.loop?.in ?? null)),
    inFlight: once(() => compileTemplate(step.loop?.maxInFlight ?? 1)),
    arcs: step.next.arcs.map((arc) => ({
      step: arc.step,
      group: arc.group,
      lane: arc.lane,
      when: arc.when === undefined ? undefined : once(() => compileCondition(arc.when!)),
      set: once(() => compileTemplate(arc.set)),
      args: once(() => compileTemplate(arc.args)),
    })),
    onEnter: step.onEnter.map(planReaction),
    onCall: step.onCall.map(planReaction),
    onExit: step.onExit.map(planReaction),
    admit: step.admit.map((rule) => ({
      when: rule.when === undefined ? undefined : once(() => compileCondition(rule.when!)),
      allow: rule.allow,
    })),
    kind: step.pipeline && step.tasks.length !== 1 ? 'task_sequence' : (step.tasks[0]?.kind ?? 'noop'),
    needs: once(() => needsOf(step, keychain)),
  }
}

function planReaction({ when, set, collect, calls, next }: Reaction): ReactionPlan {
  return {
    when: when === undefined ? undefined : once(() => compileCondition(when)),
    set: once(() => compileTemplate(set)),
    collect: collect.map(({ into, from, mode }) => ({ into, mode, from: once(() => compileTemplate(from)) })),
    calls: calls.map(planTarget),
    next: next === null ? null : next.map(planTarget),
  }
}

function planTarget({ step, args }: Target): TargetPlan {
  return { step, args: once(() => compileTemplate(args)) }
}

function needsOf(step: Step, keychain: KeychainEntry[]): Needs {
  const roots = new Set<string>()
  const below = new Map<string, Set<string> | null>()
  let all = false
  const add = (compiled: { roots: Iterable<string>; paths: readonly (readonly (string | number)[])[] }) => {
    for (const root of compiled.roots) roots.add(root)
    for (const [root, second] of compiled.paths) {
      if (typeof root !== 'string') continue
      if (typeof second !== 'string') below.set(root, null)
      else if (below.get(root) !== null) below.set(root, new Set(below.get(root)).add(second))
    }
  }
  // A template that does not parse fails where it is used: on the worker, as an error of this step.
  const template = (source: Json | undefined) => attempt(() => add(compileTemplate(source ?? null)))
  const condition = (source: Json | undefined) => attempt(() => add(compileCondition(source ?? null)))
  template(step.input)
  for (const task of step.tasks) {
    for (const part of [task.config, task.input, task.set]) template(part)
    if (task.when !== undefined) condition(task.when)
    for (const rule of task.rules) {
      if (rule.when !== undefined) condition(rule.when)
      for (const part of [rule.set, rule.attempts, rule.delay, rule.message, rule.result]) template(part)
    }
    if (task.kind === 'python' && looksAtAll(task)) all = true
  }
  template(step.loop?.cursor?.config)
  // A token is the keychain's, where it has an entry of its name.
  if (
    /\btoken\s*\(/.test(JSON.stringify([step.input, step.tasks.map(({ config, input }) => [config, input])]))
  ) {
    roots.add('keychain')
  }
  if (roots.has('keychain')) for (const entry of keychain) template(entry.config)
  return { all, roots, below }
}

/** Code that may look at every name; of code from elsewhere nothing is known yet. */
function looksAtAll({ config }: Task): boolean {
  const { code, script } = config
  if (typeof code === 'string') return /\b(context|variables)\b/.test(code)
  return script !== undefined && script !== null
}

function attempt(work: () => void): void {
  try {
    work()
  } catch {
    // See needsOf.
  }
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

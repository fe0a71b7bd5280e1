import type { Token } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'
import type { Scope } from '../template/template.ts'
import type { ReactionPlan, TargetPlan } from './plan.ts'
import { ctxValues } from './values.ts'

/** What a reaction comes to. */
export interface Reacted {
  /** Values for ctx. */
  set: JsonObject
  /** Tokens of steps issued beside the flow. */
  calls: Token[]
  /** Where the flow goes on; null: the step's own `next` says. */
  next: Token[] | null
}

export interface Reacting {
  /** Names visible, with values about to be set laid over ctx. */
  scopeWith(set: JsonObject): Scope
  /** The current value of a ctx name. */
  ctx(name: string): Json | undefined
  from: string
  previous: string | undefined
}

/** The first reaction that matches, evaluated; undefined when none does. */
export function react(reactions: ReactionPlan[], about: Reacting): Reacted | undefined {
  const scope = about.scopeWith({})
  const found = reactions.find(({ when }) => when === undefined || when().test(scope))
  if (found === undefined) return undefined
  const set = ctxValues(found.set().render(scope))
  for (const { into, from, mode } of found.collect) {
    const value = from().render(scope)
    const there = Object.hasOwn(set, into) ? set[into] : about.ctx(into)
    const before = Array.isArray(there) ? there : there === undefined || there === null ? [] : [there]
    put(set, into, [...before, ...(mode === 'extend' && Array.isArray(value) ? value : [value])])
  }
  const after = about.scopeWith(set)
  return {
    set,
    calls: found.calls.map((target) => ({ ...tokenOf(target, after, about), aside: true })),
    next: found.next === null ? null : found.next.map((target) => tokenOf(target, after, about)),
  }
}

function tokenOf({ step, args }: TargetPlan, scope: Scope, { from, previous }: Reacting): Token {
  return {
    step,
    args: args().render(scope) as JsonObject,
    from,
    ...(previous === undefined ? {} : { previous }),
  }
}

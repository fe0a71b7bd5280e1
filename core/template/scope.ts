import type { Json, JsonObject } from '../schemas/json.ts'
import type { Scope, StepResult } from './template.ts'

/** Where the names come from that are visible everywhere. Each may throw to say that it is not loaded yet. */
export interface Names {
  executionId: string
  parentExecutionId: string | null
  /** Seed playbooks look into ctx before the workload. */
  ctxFirst: boolean
  workload(): JsonObject
  ctxNames(): Iterable<string>
  ctx(name: string): Json | undefined
  stepNames(): Iterable<string>
  /** Result of a step; undefined when it has none. */
  step(name: string): StepResult | undefined
  /** Result of the step that led here; undefined when there is none. */
  previous(): StepResult | undefined
  now(): string
}

/**
 * The names of one place. `extras` are what only this place has (labels, the iterator, `output`, `event`)
 * and win over all but the ids; then step results, workload keys, ctx names, the result before.
 */
export function makeScope(names: Names, extras: Readonly<Record<string, unknown>>): Scope {
  return {
    lookup(name) {
      if (Object.hasOwn(extras, name)) return extras[name]
      switch (name) {
        case 'execution_id':
          return names.executionId
        case 'parent_execution_id':
          return names.parentExecutionId
        case 'job':
          return { uuid: names.executionId, execution_id: names.executionId, id: names.executionId }
        case 'now':
          return names.now()
        case 'workload':
          return names.ctxFirst ? lazy(bothNames(names), bothValue(names)) : names.workload()
        case 'ctx':
          return lazy(names.ctxNames(), names.ctx)
        case 'vars':
          if (names.ctxFirst) return lazy(bothNames(names), bothValue(names))
          // Of the current dialect this is no name of its own: a workload key may be called so.
          return Object.hasOwn(names.workload(), name)
            ? names.workload()[name]
            : lazy(names.ctxNames(), names.ctx)
        case 'steps':
          return lazy(names.stepNames(), names.step)
      }
      const step = names.step(name)
      if (step !== undefined) return step
      const bare = bareValue(names, name)
      if (bare !== undefined) return bare
      if (name === 'result' || name === 'response' || name === '_prev') return names.previous()
      return undefined
    },
  }
}

function bareValue(names: Names, name: string): Json | undefined {
  if (names.ctxFirst) return bothValue(names)(name)
  const workload = names.workload()
  return Object.hasOwn(workload, name) ? workload[name] : names.ctx(name)
}

function bothNames(names: Names): Set<string> {
  return new Set([...Object.keys(names.workload()), ...names.ctxNames()])
}

function bothValue(names: Names): (name: string) => Json | undefined {
  return (name) => {
    const value = names.ctx(name)
    if (value !== undefined) return value
    const workload = names.workload()
    return Object.hasOwn(workload, name) ? workload[name] : undefined
  }
}

/** Names by which the compiler of the first dialect keeps what a clause decided; no one else needs to see them. */
export function isMark(name: string): boolean {
  return /^_(case|enter|failed):/.test(name)
}

/** An object whose members are fetched when they are looked at. */
function lazy(keys: Iterable<string>, get: (key: string) => unknown): object {
  const object = {}
  for (const key of keys) {
    Object.defineProperty(object, key, { enumerable: !isMark(key), configurable: true, get: () => get(key) })
  }
  return object
}

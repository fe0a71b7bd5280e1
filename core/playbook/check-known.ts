import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Playbook } from '../schemas/playbook.ts'
import { stepsOf, workbookTools } from './check-sites.ts'

/** Names that templates of a playbook may use, by where they come from. */
export interface KnownNames {
  steps: ReadonlySet<string>
  workload: ReadonlySet<string>
  /** Names that some `set`, `vars` or `collect` gives a value. */
  ctx: ReadonlySet<string>
  /** The same below `iter.`. */
  iter: ReadonlySet<string>
  keychain: ReadonlySet<string>
  /** Bare names but steps: those above, and what is there anyway. */
  everywhere: ReadonlySet<string>
  /** While workload and keychain are made, before the first step. */
  atStart: ReadonlySet<string>
  /** Of one step: its iterator, labels and arguments. Undefined: of all, for a tool that any may use. */
  ofStep(step: string | undefined): ReadonlySet<string>
}

const AT_START = ['execution_id', 'parent_execution_id', 'job', 'workload', 'keychain', 'now']
/** What is there without being set, or what the moment gives: a tool's outcome, an event, a loop's round. */
const WELL_KNOWN = [
  ...AT_START,
  ...['ctx', 'vars', 'steps', 'args', 'input', 'iter', 'item', 'loop', 'loop_index', 'step'],
  ...[
    'result',
    'response',
    'output',
    'outcome',
    'error',
    'event',
    'results',
    '_prev',
    '_outputs',
    '_task',
    '_attempt',
  ],
]
const OF_SINKS = ['data', 'this']
const OF_CURSORS = ['__frame_max_rows']
const NONE: ReadonlySet<string> = new Set()

export function knownNamesOf(playbook: Playbook, root: JsonObject): KnownNames {
  const ctx = new Set<string>()
  const iter = new Set<string>()
  const own = new Map<string, Set<string>>()
  const ownOf = (step: string) => {
    const names = own.get(step) ?? new Set()
    own.set(step, names)
    return names
  }
  const addSet = (value: Json | undefined) => {
    for (const key of isObject(value) ? Object.keys(value) : []) {
      const [scope, ...rest] = key.split('.')
      const [name = key] = scope !== undefined && SCOPES.has(scope) ? rest : [scope]
      ;(scope === 'iter' ? iter : ctx).add(name)
    }
  }
  const addKeys = (step: string, value: Json | undefined) => {
    for (const key of isObject(value) ? Object.keys(value) : []) ownOf(step).add(key)
  }
  const walk = (value: Json | undefined, step: string): void => {
    if (Array.isArray(value)) for (const item of value) walk(item, step)
    if (!isObject(value)) return
    addSet(value.set)
    addSet(value.vars)
    if (typeof value.into === 'string') addSet({ [value.into]: null })
    // Arguments that are handed to a step are its own; others are of the step where they stand.
    const target = typeof value.step === 'string' ? value.step : step
    addKeys(target, value.args)
    addKeys(target, value.input)
    if ('sink' in value) for (const name of OF_SINKS) ownOf(step).add(name)
    for (const name of [value.iterator, value.element, value.name])
      if (typeof name === 'string') ownOf(step).add(name)
    if ('cursor' in value) for (const name of OF_CURSORS) ownOf(step).add(name)
    for (const inner of Object.values(value)) walk(inner, step)
  }
  for (const { value, name } of stepsOf(root)) walk(value, name)
  for (const { value } of workbookTools(root)) walk(value, ANY)
  for (const { name, loop, tasks, input } of playbook.steps) {
    const names = ownOf(name)
    if (loop !== undefined) names.add(loop.iterator)
    for (const task of tasks) for (const key of [task.label, ...Object.keys(task.input)]) names.add(key)
    for (const key of Object.keys(input)) names.add(key)
  }
  const workload = new Set(Object.keys(playbook.workload))
  let ofAny: Set<string> | undefined
  return {
    // Those that cannot be read are meant all the same.
    steps: new Set([...playbook.steps, ...stepsOf(root)].map(({ name }) => name)),
    workload,
    ctx,
    iter,
    keychain: new Set(playbook.keychain.map(({ name }) => name)),
    everywhere: new Set([...WELL_KNOWN, ...workload, ...ctx]),
    atStart: new Set([...AT_START, 'env', ...workload]),
    ofStep(step) {
      if (step !== undefined) return own.get(step) ?? NONE
      ofAny ??= new Set([...own.values()].flatMap((names) => [...names]))
      return ofAny
    },
  }
}

/** In place of a step's name: a tool of the workbook, which any step may use. */
const ANY = ''
const SCOPES = new Set(['ctx', 'vars', 'workload', 'iter', 'step'])

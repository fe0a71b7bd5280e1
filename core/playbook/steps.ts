import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Playbook, Step } from '../schemas/playbook.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { readLoop } from './loop.ts'
import { readReact } from './react.ts'
import { readNext } from './router.ts'
import { readAdmit, readRules } from './rules.ts'
import { applySeed } from './seed.ts'
import { unfoldKinds } from './seed-kinds.ts'
import { readTasks, type TasksAbout } from './tasks.ts'
import { laneIn, mapping, text, warnUnknownKeys } from './values.ts'

export const STEP_KEYS: readonly string[] = [
  'step',
  'name',
  'desc',
  'description',
  'tool',
  'next',
  'loop',
  'set',
  'vars',
  'input',
  'args',
  'output',
  'output_select',
  'spec',
  'case',
  'sink',
  'react',
  'ahead',
  'aside',
]
/** Characters of a step's name, which stands in events, addresses and messages. */
const MAX_NAME = 255
/** Actions of a case that mean nothing outside of one. */
const ACTIONS = ['call', 'collect', 'fail', 'retry']

/** One item of `workflow`: a step, and the steps that stand for what it does at the end of its loop. */
export function readStep(
  written: Json,
  path: Path,
  about: Omit<TasksAbout, 'step'> & { line: number },
): Step[] {
  const { faults } = about
  if (!isObject(written)) {
    faults.fault(path, 'a step must be a mapping with "step: <name>"')
    return []
  }
  const name = text(written.step ?? written.name, [...path, 'step'], faults)
  if (name === undefined) {
    faults.fault(path, 'a step needs a name: "step: <name>"')
    return []
  }
  // What was registered before there was a limit is read all the same.
  if (name.length > MAX_NAME && about.toolKinds !== undefined) {
    const message = `the name of a step has ${name.length} characters; ${MAX_NAME} at most were expected`
    faults.fault([...path, 'step' in written ? 'step' : 'name'], message)
  }
  for (const key of ACTIONS) {
    if (!(key in written)) continue
    faults.fault(
      [...path, key],
      `"${key}" of step "${name}" has its place in a case: case: [{when, then: {${key}}}]`,
    )
  }
  warnUnknownKeys(written, [...STEP_KEYS, ...ACTIONS], path, { faults, nearest })
  const value = unfoldKinds(written, path, faults)
  const input = {
    ...mapping(value.args, [...path, 'args'], faults),
    ...mapping(value.input, [...path, 'input'], faults),
  }
  const { tasks, pipeline } = readTasks({ tool: value.tool, ahead: value.ahead, aside: value.aside }, path, {
    ...about,
    step: name,
    given: input,
  })
  const spec = mapping(value.spec, [...path, 'spec'], faults)
  const policy = mapping(spec.policy, [...path, 'spec', 'policy'], faults)
  const [only, second] = tasks.filter(({ aside }) => aside === undefined)
  if (only !== undefined && second === undefined && only.rules.length === 0) {
    only.rules = readRules(policy.rules, [...path, 'spec', 'policy', 'rules'], faults)
  }
  const loop = readLoop(value.loop, [...path, 'loop'], faults)
  const output = isObject(value.output) ? value.output : {}
  const maxAttempts = spec.max_attempts
  const step: Step = {
    name,
    ...(typeof value.desc === 'string' ? { description: value.desc } : {}),
    line: about.line,
    tasks,
    pipeline,
    input,
    ...(loop === undefined ? {} : { loop }),
    set: {
      ...ctxNames(mapping(value.vars, [...path, 'vars'], faults)),
      ...mapping(value.set, [...path, 'set'], faults),
    },
    next: readNext(value.next, [...path, 'next'], faults),
    ...readReact(value.react, [...path, 'react'], faults),
    loopResult: loop === undefined ? 'all' : readLoopResult(value.loop, [...path, 'loop'], about),
    admit: readAdmit(policy.admit, [...path, 'spec', 'policy', 'admit'], faults),
    ...(typeof maxAttempts === 'number' && maxAttempts >= 1
      ? { maxAttempts: Math.min(100, maxAttempts) }
      : {}),
    ...laneIn(spec, [...path, 'spec'], faults),
    outputSelect: textList(output.output_select ?? value.output_select),
    ...readStore(output.store),
  }
  return [step, ...applySeed(step, value, path, about)]
}

/** Stores that are elsewhere (`gcs`, `s3`) are none of ours; a result is then kept as without a name. */
function readStore(store: Json | undefined): Pick<Step, 'outputStore'> {
  const kind = isObject(store) ? store.kind : undefined
  return kind === 'kv' || kind === 'disk' || kind === 'db' ? { outputStore: kind } : {}
}

/** The first dialect's loops give the result of the last round, the other's those of all. */
function readLoopResult(
  value: Json | undefined,
  path: Path,
  { dialect, faults }: { dialect: Playbook['dialect']; faults: Faults },
): Step['loopResult'] {
  const spec = isObject(value) && isObject(value.spec) ? value.spec : {}
  const { result = dialect === 'seed' ? 'last' : 'all' } = spec
  if (result === 'all' || result === 'last') return result
  faults.fault([...path, 'spec', 'result'], `result is ${JSON.stringify(result)}; all or last was expected`)
  return 'all'
}

/** `vars: {a: …}` writes ctx. */
function ctxNames(vars: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(vars).map(([name, value]) => [`ctx.${name}`, value]))
}

function textList(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

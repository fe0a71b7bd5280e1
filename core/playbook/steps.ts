import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Step } from '../schemas/playbook.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { readLoop } from './loop.ts'
import { readNext } from './router.ts'
import { readAdmit, readRules } from './rules.ts'
import { readTasks, type ToolKinds } from './tasks.ts'
import { mapping, text, warnUnknownKeys } from './values.ts'
import type { Workbook } from './workbook.ts'

const STEP_KEYS = [
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
]
/** Constructs of the first dialect that this version does not run yet. */
const NOT_YET = ['case', 'sink', 'call', 'collect']

/** One item of `workflow`. */
export function readStep(
  value: Json,
  path: Path,
  about: { toolKinds: ToolKinds; workbook: Workbook; faults: Faults; line: number },
): Step | undefined {
  const { faults } = about
  if (!isObject(value)) {
    faults.fault(path, 'a step must be a mapping with "step: <name>"')
    return undefined
  }
  const name = text(value.step ?? value.name, [...path, 'step'], faults)
  if (name === undefined) {
    faults.fault(path, 'a step needs a name: "step: <name>"')
    return undefined
  }
  for (const key of NOT_YET) {
    if (key in value)
      faults.fault([...path, key], `"${key}" of step "${name}" is not available in this version`)
  }
  warnUnknownKeys(value, [...STEP_KEYS, ...NOT_YET], path, { faults, nearest })
  const { tasks, pipeline } = readTasks(value.tool, [...path, 'tool'], { ...about, step: name })
  const spec = mapping(value.spec, [...path, 'spec'], faults)
  const policy = mapping(spec.policy, [...path, 'spec', 'policy'], faults)
  const [only] = tasks
  if (only !== undefined && tasks.length === 1 && only.rules.length === 0) {
    only.rules = readRules(policy.rules, [...path, 'spec', 'policy', 'rules'], faults)
  }
  const loop = readLoop(value.loop, [...path, 'loop'], faults)
  const output = isObject(value.output) ? value.output : {}
  const maxAttempts = spec.max_attempts
  return {
    name,
    ...(typeof value.desc === 'string' ? { description: value.desc } : {}),
    line: about.line,
    tasks,
    pipeline,
    input: {
      ...mapping(value.args, [...path, 'args'], faults),
      ...mapping(value.input, [...path, 'input'], faults),
    },
    ...(loop === undefined ? {} : { loop }),
    set: {
      ...ctxNames(mapping(value.vars, [...path, 'vars'], faults)),
      ...mapping(value.set, [...path, 'set'], faults),
    },
    next: readNext(value.next, [...path, 'next'], faults),
    onEnter: [],
    onCall: [],
    onExit: [],
    loopResult: 'all',
    admit: readAdmit(policy.admit, [...path, 'spec', 'policy', 'admit'], faults),
    ...(typeof maxAttempts === 'number' && maxAttempts >= 1
      ? { maxAttempts: Math.min(100, maxAttempts) }
      : {}),
    outputSelect: textList(output.output_select ?? value.output_select),
  }
}

/** `vars: {a: …}` writes ctx. */
function ctxNames(vars: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(vars).map(([name, value]) => [`ctx.${name}`, value]))
}

function textList(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Playbook, Step } from '../schemas/playbook.ts'
import { PLAYBOOK_LIMITS, type PlaybookLimits } from '../schemas/playbook-limits.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { checkPlaybook } from './check.ts'
import { checkLanes } from './check-lanes.ts'
import { arcsOf } from './check-order.ts'
import { checkReferences } from './check-references.ts'
import { descriptionOf, PATH_MISSING } from './describe.ts'
import { type ReadDocument, readDocument, tooLarge } from './document.ts'
import { type Fault, type Faults, makeFaults, showFault } from './faults.ts'
import { readKeychain } from './keychain.ts'
import { isRouter } from './router.ts'
import { knownNames } from './seed-names.ts'
import { readStep } from './steps.ts'
import type { TasksAbout } from './tasks.ts'
import { laneIn, mapping, text, wordOf } from './values.ts'
import { readWorkbook } from './workbook.ts'

const ON_ERROR = ['fail', 'continue', 'park'] as const

/**
 * Compiles a playbook's text, in either dialect, into the one internal form. With `toolKinds` (those there
 * are) it checks as for a registration, with `tools` also the fields of these; without, it reads what was
 * registered before. Throws NOETL_ERR_PLAYBOOK_YAML, or NOETL_ERR_PLAYBOOK_INVALID with all faults at once in
 * `details.faults`, and the warnings beside them.
 */
export function compilePlaybook(
  source: string | ReadDocument,
  options: {
    /** What it may be at most; absent: the defaults for a registration, nothing for what was registered. */
    limits?: PlaybookLimits
    toolKinds?: readonly string[]
    tools?: readonly ToolDescription[]
    /** Lanes that there are; absent: any may be named. */
    lanes?: readonly string[]
    /**
     * What would fail a step if it ever ran (a literal that its tool does not take, a field that is absent) is
     * told as a warning: playbooks that other engines took run as far as they ran there.
     */
    lenient?: boolean
  } = {},
): { playbook: Playbook; warnings: Fault[] } {
  const { toolKinds } = options
  const limits = options.limits ?? (toolKinds === undefined ? undefined : PLAYBOOK_LIMITS)
  const document = typeof source === 'string' ? readPlaybook(source, limits) : source
  const { root, placeOf } = document
  const faults = makeFaults(document)
  const { path = '', name, kind } = descriptionOf(root)
  if (path === '') faults.fault(['metadata', 'path'], PATH_MISSING)
  if (kind.toLowerCase() !== 'playbook') faults.fault(['kind'], `kind is "${kind}"; Playbook was expected`)
  if (root.apiVersion !== undefined && !/^noetl\.io\/v[12]$/.test(wordOf(root.apiVersion))) {
    faults.fault(['apiVersion'], `apiVersion is ${JSON.stringify(root.apiVersion)}; noetl.io/v2 was expected`)
  }
  const workload = mapping(root.workload, ['workload'], faults)
  const dialect = dialectOf(root)
  const workbook = readWorkbook(root.workbook, faults)
  const known = knownNames(root)
  const steps = readSteps(root.workflow, {
    ...{ dialect, faults, toolKinds, workbook, known, placeOf },
    maxSteps: limits?.steps ?? Number.POSITIVE_INFINITY,
  })
  const spec = executorSpec(root, faults)
  const entry = text(spec.entry_step, ['executor', 'spec', 'entry_step'], faults) ?? 'start'
  const finalStep = text(spec.final_step, ['executor', 'spec', 'final_step'], faults)
  const playbook: Playbook = {
    path,
    name,
    ...(isObject(root.metadata) && typeof root.metadata.description === 'string'
      ? { description: root.metadata.description }
      : {}),
    dialect,
    workload,
    steps,
    entry,
    ...(finalStep === undefined ? {} : { finalStep }),
    onError: ON_ERROR.find((known) => known === spec.on_error) ?? 'fail',
    ...maxStepsOf(spec, faults),
    ...laneIn(spec, ['executor', 'spec'], faults),
    ...(spec.no_next_is_error === true ? { noNextIsError: true as const } : {}),
    keychain: readKeychain(root.keychain, faults),
  }
  const arcs = playbook.steps.reduce((count, step) => count + arcsOf(step).length, 0)
  if (limits !== undefined && arcs > limits.arcs) {
    // What leads where is not looked at then: that is the dear part.
    faults.fault(['workflow'], `there are ${arcs} arcs between steps; ${limits.arcs} at most were expected`)
  } else {
    checkReferences(playbook, root, faults)
    if (options.lanes !== undefined) checkLanes(root, options.lanes, faults)
    if (toolKinds !== undefined) {
      const told = options.lenient ? { ...faults, fault: faults.warn } : faults
      checkPlaybook(playbook, root, { tools: options.tools ?? [], faults: told })
    }
  }
  faults.settle()
  if (faults.faults.length > 0) {
    throw makeError(
      'NOETL_ERR_PLAYBOOK_INVALID',
      [faults.faults.map((fault) => `  ${showFault(fault)}`).join('\n')],
      { details: { faults: faults.faults as unknown as Json, warnings: faults.warnings as unknown as Json } },
    )
  }
  return { playbook, warnings: faults.warnings }
}

/** Reads the text, if it is not too much of one. */
export function readPlaybook(text: string, limits: PlaybookLimits | undefined): ReadDocument {
  if (limits === undefined) return readDocument(text, { maxNodes: Number.POSITIVE_INFINITY })
  // A character takes a byte at least: what is much too long is not looked at.
  const bytes = text.length > limits.bytes ? text.length : Buffer.byteLength(text)
  if (bytes > limits.bytes) throw tooLarge(`${bytes} bytes or more`, limits.bytes)
  return readDocument(text, { maxNodes: limits.nodes })
}

/** What `dialect` says; else the first dialect, if any step uses what only that one has. */
function dialectOf({ dialect, workflow }: JsonObject): Playbook['dialect'] {
  if (dialect === 'seed' || dialect === 'current') return dialect
  const seed = (step: Json) =>
    isObject(step) && (['case', 'args', 'sink', 'vars'].some((key) => key in step) || !isRouter(step.next))
  return Array.isArray(workflow) && workflow.some(seed) ? 'seed' : 'current'
}

function readSteps(
  workflow: Json | undefined,
  about: Omit<TasksAbout, 'step'> & {
    placeOf: (path: (string | number)[]) => { line: number }
    maxSteps: number
  },
): Step[] {
  const { dialect, faults, placeOf, maxSteps } = about
  if (!Array.isArray(workflow) || workflow.length === 0) {
    faults.fault(['workflow'], 'workflow must be a list with at least one step')
    return []
  }
  if (workflow.length > maxSteps) {
    faults.fault(['workflow'], `there are ${workflow.length} steps; ${maxSteps} at most were expected`)
    return []
  }
  const steps = new Map<string, Step>()
  for (const [i, value] of workflow.entries()) {
    const path = ['workflow', i]
    const [step, ...beside] = readStep(value, path, { ...about, line: placeOf(path).line })
    if (step === undefined) continue
    const first = steps.get(step.name)
    if (first === undefined) for (const one of [step, ...beside]) steps.set(one.name, one)
    else if (dialect === 'seed') {
      faults.warn(
        [...path, 'step'],
        `step "${step.name}" is there already, in line ${first.line}; this one is ignored`,
      )
    } else faults.fault([...path, 'step'], `step "${step.name}" is there already, in line ${first.line}`)
  }
  return [...steps.values()]
}

/** The most that can be asked for: a counter beyond it would run for years. */
const MOST_STEPS = 1_000_000_000

function maxStepsOf({ max_steps: value }: JsonObject, faults: Faults): { maxSteps?: number } {
  if (value === undefined || value === null) return {}
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST_STEPS)
    return { maxSteps: value }
  faults.fault(
    ['executor', 'spec', 'max_steps'],
    `max_steps is ${JSON.stringify(value)}; a whole number from 1 to ${MOST_STEPS} was expected`,
  )
  return {}
}

function executorSpec(root: JsonObject, faults: Faults): JsonObject {
  const executor = isObject(root.executor) ? root.executor : {}
  const spec = mapping(executor.spec, ['executor', 'spec'], faults)
  const { on_error } = spec
  if (on_error !== undefined && !ON_ERROR.some((known) => known === on_error)) {
    faults.fault(
      ['executor', 'spec', 'on_error'],
      `on_error is ${JSON.stringify(on_error)}; ${ON_ERROR.join(', ')} were expected`,
    )
  }
  return spec
}

import { isNoetlError, makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Playbook, Step } from '../schemas/playbook.ts'
import { compileCondition, compileTemplate } from '../template/template.ts'
import { describe } from './describe.ts'
import { readDocument } from './document.ts'
import { type Fault, type Faults, makeFaults, nearest, showFault } from './faults.ts'
import { graphOf } from './graph.ts'
import { readKeychain } from './keychain.ts'
import { isRouter } from './router.ts'
import { readStep } from './steps.ts'
import type { ToolKinds } from './tasks.ts'
import { mapping, text } from './values.ts'
import { readWorkbook, type Workbook } from './workbook.ts'

const MAX_STEPS = 10_000

/**
 * Compiles a playbook's text, in either dialect, into the one internal form. With `toolKinds` (those there
 * are) it checks as for a registration; without, it reads what was registered before. Throws
 * NOETL_ERR_PLAYBOOK_YAML, or NOETL_ERR_PLAYBOOK_INVALID with all faults at once in `details.faults`.
 */
export function compilePlaybook(
  source: string,
  options: { toolKinds?: readonly string[] } = {},
): { playbook: Playbook; warnings: Fault[] } {
  const { root, placeOf } = readDocument(source)
  const faults = makeFaults(placeOf)
  const { path, name, kind } = describe(root)
  if (kind.toLowerCase() !== 'playbook') faults.fault(['kind'], `kind is "${kind}"; Playbook was expected`)
  if (root.apiVersion !== undefined && !/^noetl\.io\/v[12]$/.test(String(root.apiVersion))) {
    faults.fault(['apiVersion'], `apiVersion is ${JSON.stringify(root.apiVersion)}; noetl.io/v2 was expected`)
  }
  const workload = mapping(root.workload, ['workload'], faults)
  const dialect = dialectOf(root.workflow)
  const workbook = readWorkbook(root.workbook, faults)
  const steps = readSteps(root.workflow, { dialect, faults, toolKinds: options.toolKinds, workbook, placeOf })
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
    onError: spec.on_error === 'continue' ? 'continue' : 'fail',
    keychain: readKeychain(root.keychain, faults),
  }
  checkReferences(playbook, root, faults)
  if (options.toolKinds !== undefined && faults.faults.length === 0) checkTemplates(playbook, root, faults)
  if (faults.faults.length > 0) {
    throw makeError(
      'NOETL_ERR_PLAYBOOK_INVALID',
      [faults.faults.map((fault) => `  ${showFault(fault)}`).join('\n')],
      {
        details: { faults: faults.faults as unknown as Json },
      },
    )
  }
  return { playbook, warnings: faults.warnings }
}

/** The first dialect, if any step uses what only that one has. */
function dialectOf(workflow: Json | undefined): Playbook['dialect'] {
  const seed = (step: Json) =>
    isObject(step) && (['case', 'args', 'sink', 'vars'].some((key) => key in step) || !isRouter(step.next))
  return Array.isArray(workflow) && workflow.some(seed) ? 'seed' : 'current'
}

function readSteps(
  workflow: Json | undefined,
  about: {
    dialect: Playbook['dialect']
    faults: Faults
    toolKinds: ToolKinds
    workbook: Workbook
    placeOf: (path: (string | number)[]) => { line: number }
  },
): Step[] {
  const { dialect, faults, placeOf } = about
  if (!Array.isArray(workflow) || workflow.length === 0) {
    faults.fault(['workflow'], 'workflow must be a list with at least one step')
    return []
  }
  if (workflow.length > MAX_STEPS) {
    faults.fault(['workflow'], `there are ${workflow.length} steps; at most ${MAX_STEPS} were expected`)
    return []
  }
  const steps = new Map<string, Step>()
  for (const [i, value] of workflow.entries()) {
    const path = ['workflow', i]
    const step = readStep(value, path, { ...about, line: placeOf(path).line })
    if (step === undefined) continue
    const first = steps.get(step.name)
    if (first === undefined) steps.set(step.name, step)
    else if (dialect === 'seed') {
      faults.warn(
        [...path, 'step'],
        `step "${step.name}" is there already, in line ${first.line}; this one is ignored`,
      )
    } else faults.fault([...path, 'step'], `step "${step.name}" is there already, in line ${first.line}`)
  }
  return [...steps.values()]
}

function executorSpec(root: JsonObject, faults: Faults): JsonObject {
  const executor = isObject(root.executor) ? root.executor : {}
  const spec = mapping(executor.spec, ['executor', 'spec'], faults)
  const { on_error } = spec
  if (on_error !== undefined && on_error !== 'continue' && on_error !== 'fail') {
    faults.fault(
      ['executor', 'spec', 'on_error'],
      `on_error is ${JSON.stringify(on_error)}; fail or continue was expected`,
    )
  }
  return spec
}

/** Names of steps must exist; what nothing leads to is worth a word. */
function checkReferences(playbook: Playbook, root: JsonObject, faults: Faults): void {
  const names = playbook.steps.map((step) => step.name)
  const known = new Set(names)
  const places = stepPlaces(root)
  if (names.length === 0) return
  for (const [name, path] of [
    [playbook.entry, ['workflow']],
    [playbook.finalStep, ['executor', 'spec', 'final_step']],
  ] as const) {
    if (name !== undefined && !known.has(name)) {
      faults.fault(
        path,
        `there is no step "${name}"${name === 'start' ? ', where a playbook begins' : ''}`,
        nearest(name, names)[0],
      )
    }
  }
  for (const step of playbook.steps) {
    const at = places.get(step.name) ?? []
    for (const arc of step.next.arcs) {
      if (known.has(arc.step)) continue
      faults.fault(
        [...at, ...arcPath(root, at, arc.step)],
        `step "${step.name}" leads to "${arc.step}", which is no step`,
        nearest(arc.step, names)[0],
      )
    }
  }
  if (!known.has(playbook.entry)) return
  const graph = graphOf(playbook)
  for (const name of names) {
    if (name === playbook.entry || name === playbook.finalStep || graph.reaches(playbook.entry, name))
      continue
    faults.warn(places.get(name) ?? [], `no step leads to "${name}"; it never runs`)
  }
}

function stepPlaces(root: JsonObject): Map<string, (string | number)[]> {
  const workflow = Array.isArray(root.workflow) ? root.workflow : []
  const places = new Map<string, (string | number)[]>()
  for (const [i, step] of workflow.entries()) {
    const name = isObject(step) ? String(step.step ?? step.name) : ''
    if (!places.has(name)) places.set(name, ['workflow', i])
  }
  return places
}

/** Where under a step's `next` a target is named. */
function arcPath(root: JsonObject, at: (string | number)[], target: string): (string | number)[] {
  const walk = (value: Json | undefined, path: (string | number)[]): (string | number)[] | undefined => {
    if (value === target) return path
    if (typeof value !== 'object' || value === null) return undefined
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'when' || key === 'set' || key === 'args') continue
      const found = walk(inner, [...path, Array.isArray(value) ? Number(key) : key])
      if (found !== undefined) return found
    }
    return undefined
  }
  const workflow = root.workflow as Json[]
  const step = workflow[at[1] as number]
  return walk(isObject(step) ? step.next : undefined, ['next']) ?? ['next']
}

/** A template that does not parse is an error of its step when it runs; the author is told now. */
function checkTemplates(playbook: Playbook, root: JsonObject, faults: Faults): void {
  const places = stepPlaces(root)
  for (const step of playbook.steps) {
    const at = places.get(step.name) ?? []
    const attempt = (where: (string | number)[], check: () => void) => {
      try {
        check()
      } catch (error) {
        if (!isNoetlError(error)) throw error
        faults.warn([...at, ...where], `step "${step.name}": ${error.message}`)
      }
    }
    attempt(['input'], () => compileTemplate(step.input))
    attempt(['set'], () => compileTemplate(step.set))
    attempt(['loop'], () => compileTemplate(step.loop?.in ?? null))
    for (const arc of step.next.arcs) {
      if (arc.when !== undefined) attempt(['next'], () => compileCondition(arc.when!))
      attempt(['next'], () => compileTemplate([arc.set, arc.args]))
    }
    for (const task of step.tasks) {
      attempt(['tool'], () => compileTemplate([task.config, task.input, task.set]))
      for (const rule of task.rules) {
        if (rule.when !== undefined) attempt(['tool'], () => compileCondition(rule.when!))
        attempt(['tool'], () => compileTemplate(rule.set))
      }
    }
  }
}

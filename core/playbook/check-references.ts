import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Playbook } from '../schemas/playbook.ts'
import { targetsOf } from './check-order.ts'
import { type Faults, nearest } from './faults.ts'
import { graphOf } from './graph.ts'

/** Names of steps must exist; what nothing leads to is worth a word. */
export function checkReferences(playbook: Playbook, root: JsonObject, faults: Faults): void {
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
        () => nearest(name, names)[0],
      )
    }
  }
  let astray = false
  for (const step of playbook.steps) {
    const at = places.get(step.name) ?? []
    for (const target of targetsOf(step)) {
      if (known.has(target)) continue
      astray = true
      faults.fault(
        [...at, ...targetPath(root, at, target)],
        `step "${step.name}" leads to "${target}", which is no step`,
        () => nearest(target, names)[0],
      )
    }
  }
  // What an arc that goes astray was meant to lead to is not known.
  if (astray || !known.has(playbook.entry)) return
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

/** Where in a step a target is named. */
function targetPath(root: JsonObject, at: (string | number)[], target: string): (string | number)[] {
  const walk = (value: Json | undefined, path: (string | number)[]): (string | number)[] | undefined => {
    if (value === target) return path
    if (typeof value !== 'object' || value === null) return undefined
    for (const [key, inner] of Object.entries(value)) {
      if (['when', 'set', 'args', 'collect', 'sink', 'result'].includes(key)) continue
      const found = walk(inner, [...path, Array.isArray(value) ? Number(key) : key])
      if (found !== undefined) return found
    }
    return undefined
  }
  const workflow = root.workflow as Json[]
  const step = workflow[at[1] as number]
  const parts = isObject(step) ? step : {}
  for (const key of ['next', 'case', 'react']) {
    const found = walk(parts[key], [key])
    if (found !== undefined) return found
  }
  return ['next']
}

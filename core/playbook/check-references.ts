import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { Playbook } from '../schemas/playbook.ts'
import { targetsOf } from './check-order.ts'
import { type Faults, nearest } from './faults.ts'
import { graphOf } from './graph.ts'

/** Names of steps must exist; what nothing leads to is worth a word. */
export function checkReferences(playbook: Playbook, root: JsonObject, faults: Faults): void {
  const names = playbook.steps.map((step) => step.name)
  const known = new Set(names)
  const steps = stepPlaces(root)
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
    const at = steps.get(step.name) ?? []
    let places: ReturnType<typeof targetPlaces> | undefined
    for (const target of targetsOf(step)) {
      if (known.has(target)) continue
      astray = true
      places ??= targetPlaces(root, at)
      faults.fault(
        [...at, ...(places.get(target) ?? ['next'])],
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
    faults.warn(steps.get(name) ?? [], `no step leads to "${name}"; it never runs`)
  }
}

function stepPlaces(root: JsonObject): Map<string, (string | number)[]> {
  const workflow = Array.isArray(root.workflow) ? root.workflow : []
  const places = new Map<string, (string | number)[]>()
  for (const [i, step] of workflow.entries()) {
    const name = isObject(step) ? nameIn(step) : ''
    if (!places.has(name)) places.set(name, ['workflow', i])
  }
  return places
}

function nameIn(step: JsonObject): string {
  const name = step.step ?? step.name
  return typeof name === 'object' ? '' : String(name)
}

/** Where in a step each target is named first. */
function targetPlaces(root: JsonObject, at: (string | number)[]): Map<string, (string | number)[]> {
  const places = new Map<string, (string | number)[]>()
  const walk = (value: Json | undefined, path: (string | number)[]): void => {
    if (typeof value === 'string' && !places.has(value)) places.set(value, path)
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (['when', 'set', 'args', 'collect', 'sink', 'result'].includes(key)) continue
      walk(inner, [...path, Array.isArray(value) ? Number(key) : key])
    }
  }
  const step = (root.workflow as Json[])[at[1] as number]
  const parts = isObject(step) ? step : {}
  for (const key of ['next', 'case', 'react']) walk(parts[key], [key])
  return places
}

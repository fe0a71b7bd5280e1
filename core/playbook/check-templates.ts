import type { JsonObject } from '../schemas/json.ts'
import type { Playbook } from '../schemas/playbook.ts'
import { analyse } from '../template/analyse.ts'
import { makeNameCheck } from './check-names.ts'
import { type Site, setsOf, sitesOf } from './check-sites.ts'
import { type Faults, nearest } from './faults.ts'

/** What is wrong with a template is an error of its step when it runs; the author is told now. */
export function checkTemplates(playbook: Playbook, root: JsonObject, faults: Faults): void {
  const checkNames = makeNameCheck(playbook, root, faults)
  for (const site of sitesOf(root)) {
    const { problem, unknown, mentions } = analyse(site.value, site.as)
    const whose = site.where.in === 'step' ? `step "${site.where.step}"` : site.where.in
    if (problem !== undefined) {
      const message = `${whose}: The template does not parse: ${problem.message}${placeWithin(site, problem.at)}`
      faults.warn(site.path, message, undefined, problem.at)
    }
    for (const { kind, name, at, there } of unknown) {
      const shown = kind === 'function' ? `${name}()` : name
      faults.warn(site.path, `${whose}: there is no ${kind} "${shown}"`, () => nearest(name, there)[0], at)
    }
    checkNames(site, mentions)
  }
}

/** Where in the template it is; the place of the warning is where that is in the document. */
function placeWithin({ value }: Site, at: number): string {
  const before = value.slice(0, at).split('\n')
  return ` (line ${before.length}, column ${before.at(-1)!.length + 1} of the template)`
}

const SCOPES = ['ctx', 'iter', 'step', 'vars', 'workload']

/** `set` writes `ctx.x`, `iter.x`, `step.x`, or a bare name. What it would write elsewhere, nobody can read. */
export function checkSets(root: JsonObject, faults: Faults): void {
  for (const { value, path } of setsOf(root)) {
    for (const [key, given] of Object.entries(value)) {
      const at = [...path, key]
      const [scope = '', name, ...rest] = key.split('.')
      if (name === undefined) {
        if (!SCOPES.includes(key) || typeof given !== 'object' || given === null) continue
        faults.warn(at, `this sets a name "${key}"; to set names in ${key}, write each as "${key}.<name>"`)
      } else if (!SCOPES.includes(scope)) {
        faults.warn(at, `"${scope}" is no scope of set; there are ctx, iter and step`, () => {
          const meant = nearest(scope, SCOPES)[0]
          return meant === undefined ? undefined : `${meant}.${[name, ...rest].join('.')}`
        })
      } else if (rest.length > 0 || name === '') {
        faults.warn(at, `"${key}" is no name that a template can read; "${scope}.<name>" was expected`)
      }
    }
  }
}

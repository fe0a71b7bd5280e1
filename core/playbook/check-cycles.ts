import type { JsonObject } from '../schemas/json.ts'
import type { Playbook, Step } from '../schemas/playbook.ts'
import { analyse } from '../template/analyse.ts'
import { truthy } from '../template/template.ts'
import { ringsOf, targetsOf } from './check-order.ts'
import { stepsOf } from './check-sites.ts'
import type { Faults } from './faults.ts'

/**
 * Tells of cycles that nothing can end: no step of theirs has a tool or may be refused, none leads out, and each
 * leads on whatever holds. An execution that gets there goes round until it has entered as many steps as it may.
 */
export function checkCycles(playbook: Playbook, root: JsonObject, faults: Faults): void {
  const { steps } = playbook
  const places = new Map(steps.map(({ name }, i) => [name, i]))
  const targets = steps.map((step) =>
    [...targetsOf(step)].flatMap((name) => (places.has(name) ? [places.get(name)!] : [])),
  )
  const { ringOf, rings } = ringsOf(targets)
  let written: Map<string, readonly (string | number)[]> | undefined
  for (const [ring, members] of rings.entries()) {
    const isCycle = members.length > 1 || targets[members[0]!]!.includes(members[0]!)
    const inside = members.every((member) => targets[member]!.every((target) => ringOf[target] === ring))
    if (!isCycle || !inside || !members.every((member) => goesOn(steps[member]!))) continue
    const names = members.map((member) => steps[member]!.name).sort((a, b) => places.get(a)! - places.get(b)!)
    written ??= new Map(stepsOf(root).map(({ name, path }) => [name, path]))
    const shown = names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '')
    faults.warn(
      written.get(names[0]!) ?? [],
      names.length === 1
        ? `step "${shown}" leads to itself without an end: it has no tool, and no arc that leads elsewhere`
        : `steps ${shown} lead to each other without an end: none has a tool, and no arc leads elsewhere`,
    )
  }
}

/** Nothing holds the step up, and one of its arcs is taken in any case. */
function goesOn({ tasks, loop, admit, next }: Step): boolean {
  if (tasks.length > 0 || loop !== undefined || admit.length > 0) return false
  return next.arcs.some(({ when }) => {
    if (when === undefined) return true
    return typeof when === 'string' ? analyse(when, 'condition').constant === true : truthy(when)
  })
}

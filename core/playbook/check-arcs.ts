import type { Arc, Playbook, Step } from '../schemas/playbook.ts'
import { type Analysis, analyse } from '../template/analyse.ts'
import { truthy } from '../template/template.ts'
import type { Faults } from './faults.ts'

/** Names by which a condition looks at how the step ended: with them it may hold after an error. */
const OUTCOME = ['event', 'error', 'output', 'outcome', 'result', 'response', 'steps']

/** Tells of arcs that are never taken, or are there twice. */
export function checkArcs(playbook: Playbook, faults: Faults): void {
  for (const step of playbook.steps) {
    const look = makeLook(step, playbook.onError)
    for (const arc of step.next.arcs) {
      const path = faults.markOf(arc)
      const wrong = look(arc)
      if (path !== undefined && wrong !== undefined) faults.warn(path, `step "${step.name}": ${wrong}`)
    }
  }
}

/** Looks at the arcs of a step in order, and says what is wrong with each. */
function makeLook({ name, next }: Step, onError: Playbook['onError']): (arc: Arc) => string | undefined {
  /** Arcs by condition, and by condition and target; those that nothing gets past. */
  const twins = new Map<string, Arc>()
  const copies = new Set<string>()
  let always: Arc | undefined
  let bare: Arc | undefined
  // Targets of one `then` are taken together.
  const apart = (arc: Arc, other: Arc | undefined): other is Arc =>
    other !== undefined && (other.group === undefined || other.group !== arc.group)

  return (arc) => {
    const { constant, mentions = [] } = conditionOf(arc)
    const condition = keyOf(arc)
    const copy = JSON.stringify([condition, arc.step, arc.args, arc.set])
    const twin = twins.get(condition)
    const [isCopy, isAlways, isBare] = [copies.has(copy), always, bare]
    copies.add(copy)
    twins.set(condition, twin ?? arc)
    if (constant === true) always ??= arc
    if (arc.when === undefined) bare ??= arc

    if (constant === false) return 'this arc is never taken: its condition is always false'
    if (isCopy) return `this arc to "${arc.step}" is there twice`
    if (next.mode === 'inclusive') return undefined
    if (apart(arc, isAlways)) {
      return `this arc is never taken: the condition of the one to "${isAlways.step}" before it is always true`
    }
    if (arc.when !== undefined && apart(arc, twin)) {
      return `this arc is never taken: the one to "${twin.step}" before it has the same condition`
    }
    if (!apart(arc, isBare)) return undefined
    // After an error arcs without a condition are passed over, so that one behind them may catch it.
    const catches = mentions.some(({ root }) => OUTCOME.includes(root) || root === name)
    if (arc.when !== undefined && catches && onError !== 'continue') return undefined
    return `this arc is never taken: the one to "${isBare.step}" before it has no condition; such a one comes last`
  }
}

function conditionOf({ when }: Arc): Partial<Analysis> {
  if (when === undefined) return {}
  return typeof when === 'string' ? analyse(when, 'condition') : { constant: truthy(when) }
}

/** Conditions are the same when their texts are, but for whitespace. */
function keyOf({ when }: Arc): string {
  return typeof when === 'string' ? when.replace(/\s+/g, ' ').trim() : JSON.stringify(when ?? null)
}

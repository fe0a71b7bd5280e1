import type { JsonObject } from '../schemas/json.ts'
import type { Playbook } from '../schemas/playbook.ts'
import type { Mention } from '../template/analyse.ts'
import { knownNamesOf } from './check-known.ts'
import { orderOf, targetsOf } from './check-order.ts'
import { type Site, stepsOf, type Where } from './check-sites.ts'
import { type Faults, nearest } from './faults.ts'

/** What is wrong with a name, and those that it could have been. */
interface Wrong {
  /** Empty, or what stands before the name: `ctx.`. */
  prefix: string
  name: string
  message: string
  instead(): Iterable<string>
}

const OF_ITERATIONS = ['index', '_index', '_total']

/**
 * Tells of names that nothing in the playbook gives a value, and of results that cannot be there yet. A name that
 * a template guards is its author's business; one that is told once for a step is not told again.
 */
export function makeNameCheck(
  playbook: Playbook,
  root: JsonObject,
  faults: Faults,
): (site: Site, mentions: readonly Mention[]) => void {
  const known = knownNamesOf(playbook, root)
  const seed = playbook.dialect === 'seed'
  const bag = seed ? new Set([...known.workload, ...known.ctx]) : known.ctx
  const told = new Set<string>()
  // While a step cannot be read, or one that is none is led to, what leads where is not known.
  const compiled = new Set(playbook.steps.map(({ name }) => name))
  const sure =
    stepsOf(root).every(({ name }) => compiled.has(name)) &&
    playbook.steps.every((step) => [...targetsOf(step)].every((target) => compiled.has(target)))
  let precedes: ReturnType<typeof orderOf> | undefined
  const canPrecede = (name: string, step: string) => {
    precedes ??= orderOf(playbook)
    return precedes(name, step)
  }

  return (site, mentions) => {
    const guarded = new Set(mentions.filter((mention) => mention.guarded).map(keyOf))
    for (const mention of mentions) {
      const key = keyOf(mention)
      const here = JSON.stringify([site.where, key])
      if (guarded.has(key) || told.has(here)) continue
      const wrong = look(mention, site.where)
      if (wrong === undefined) continue
      told.add(here)
      const { prefix, name, instead } = wrong
      const meant = () => nearest(name, instead()).map((other) => `${prefix}${other}`)[0]
      faults.warn(site.path, `${whoseIs(site.where)}${wrong.message}`, meant, mention.at)
    }
  }

  function look({ root: name, segments: [member] }: Mention, where: Where): Wrong | undefined {
    const atStart = where.in === 'workload' || where.in === 'keychain'
    if (typeof member !== 'string' || !NAMESPACES.has(name)) return lookBare(name, where)
    switch (name) {
      case 'ctx':
      case 'vars':
        if (!atStart) return lookIn(name, member, bag)
        return lookBare(name, where)
      case 'workload':
        return lookIn(name, member, seed ? bag : known.workload)
      case 'keychain':
        if (known.keychain.has(member)) return undefined
        return {
          prefix: 'keychain.',
          name: member,
          message: `there is no keychain entry "${member}"`,
          instead: () => known.keychain,
        }
      case 'iter':
        if (where.in !== 'step') return lookBare(name, where)
        return lookIn(name, member, new Set([...known.ofStep(where.step), ...known.iter, ...OF_ITERATIONS]))
      default:
        if (where.in !== 'step') return lookBare(name, where)
        if (known.steps.has(member)) return lookAtStep(member, where.step, 'steps.')
        return {
          prefix: 'steps.',
          name: member,
          message: `there is no step "${member}"`,
          instead: () => before(where.step),
        }
    }
  }

  function lookIn(space: string, name: string, names: ReadonlySet<string>): Wrong | undefined {
    if (names.has(name)) return undefined
    const payload = space === 'workload' || (seed && space !== 'iter')
    return {
      prefix: `${space}.`,
      name,
      message: `"${space}.${name}" is set nowhere in this playbook${payload ? '; it must come with the payload' : ''}`,
      instead: () => names,
    }
  }

  function lookBare(name: string, where: Where): Wrong | undefined {
    if (where.in === 'workload' || where.in === 'keychain') {
      if (known.atStart.has(name)) return undefined
      const early = known.steps.has(name) || known.everywhere.has(name)
      return {
        prefix: '',
        name,
        message: early
          ? `"${name}" is not there yet: this is evaluated at the start`
          : `"${name}" is set nowhere in this playbook; it must come with the payload`,
        instead: () => known.atStart,
      }
    }
    const step = where.in === 'step' ? where.step : undefined
    if (known.everywhere.has(name) || known.ofStep(step).has(name)) return undefined
    if (known.steps.has(name)) return step === undefined ? undefined : lookAtStep(name, step, '')
    return {
      prefix: '',
      name,
      message: `"${name}" is set nowhere in this playbook; it must come with the payload`,
      instead: () => inSight(step),
    }
  }

  function lookAtStep(name: string, step: string, prefix: string): Wrong | undefined {
    if (!sure || name === step || canPrecede(name, step)) return undefined
    // Of a step that never runs that is said, and enough.
    if (step !== playbook.entry && !canPrecede(playbook.entry, step)) return undefined
    return {
      prefix,
      name,
      message: `the result of "${name}" cannot be there: no way leads from "${name}" to "${step}"`,
      instead: () => (prefix === '' ? inSight(step) : before(step)),
    }
  }

  function inSight(step: string | undefined): string[] {
    return [...known.ofStep(step), ...known.everywhere, ...(step === undefined ? known.steps : before(step))]
  }

  function before(step: string): string[] {
    return [...known.steps].filter((name) => name === step || canPrecede(name, step))
  }
}

const NAMESPACES = new Set(['ctx', 'vars', 'workload', 'keychain', 'iter', 'steps'])

/** What is guarded as one: a name, or a member of what only holds others. */
function keyOf({ root, segments: [member] }: Mention): string {
  return NAMESPACES.has(root) && member !== undefined ? `${root}.${member}` : root
}

function whoseIs(where: Where): string {
  return where.in === 'step' ? `step "${where.step}": ` : `${where.in}: `
}

import { makeError } from '../errors.ts'
import { readText } from '../playbook/read-aside.ts'
import type { Store } from '../store/store.ts'
import { makePlan, type Plan } from './plan.ts'

/** Playbooks made ready, by catalog id: an entry never changes, so a plan is made once. */
export interface Plans {
  /** Throws NOETL_ERR_PLAYBOOK_NOT_FOUND. */
  byId(catalogId: string): Promise<Plan>
}

const KEPT = 1000

export function makePlans(store: Pick<Store, 'getCatalogEntry'>): Plans {
  const plans = new Map<string, Promise<Plan>>()
  return {
    byId(catalogId) {
      let plan = plans.get(catalogId)
      if (plan === undefined) {
        plan = loadPlan(store, catalogId)
        plan.catch(() => plans.delete(catalogId))
        if (plans.size >= KEPT) plans.delete(plans.keys().next().value!)
        plans.set(catalogId, plan)
      }
      return plan
    },
  }
}

async function loadPlan(store: Pick<Store, 'getCatalogEntry'>, catalogId: string): Promise<Plan> {
  const entry = await store.getCatalogEntry({ catalogId })
  if (entry === undefined) throw makeError('NOETL_ERR_PLAYBOOK_NOT_FOUND', [`catalog id ${catalogId}`, ''])
  const playbook = await readText('registered', entry.content, entry.content.length)
  return makePlan(playbook, { catalogId, path: entry.path, version: entry.version })
}

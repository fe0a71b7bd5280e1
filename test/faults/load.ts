import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/wait.ts'
import { ask, type Cluster } from './cluster.ts'
import { CASES, type Case, CHILD } from './playbooks.ts'

/** An execution that the gateway has accepted. */
export interface Started {
  id: string
  n: number
  about: Case
}

export interface Load {
  started: Started[]
  /** Resolves when so many are accepted. */
  reached(count: number): Promise<unknown>
  /** Resolves when all are. */
  all: Promise<Started[]>
}

/**
 * Starts executions of all playbooks in turn, evenly over time. A start that gets no answer is asked for again
 * under its key, as a careful client does, so that it begins once.
 */
export async function startLoad(
  cluster: Cluster,
  options: { executions: number; perSecond: number; ledger: string; cases?: string[] },
): Promise<Load> {
  const cases = CASES.filter(({ path }) => options.cases?.includes(path) ?? true)
  for (const content of [CHILD, ...cases.map((one) => one.content)])
    await ask(cluster, 'POST', '/api/catalog/register', { content })
  const started: Started[] = []
  async function start(n: number): Promise<void> {
    const about = cases[n % cases.length]!
    await delay((n / options.perSecond) * 1000)
    const { execution_id: id } = await ask<{ execution_id: string }>(cluster, 'POST', '/api/v2/execute', {
      path: about.path,
      payload: { ledger: options.ledger, n },
      dedup: { key: randomUUID(), window_secs: 3600 },
    })
    started.push({ id, n, about })
  }
  const all = Promise.all(Array.from({ length: options.executions }, (_, n) => start(n))).then(() => started)
  // Who waits for all hears of it; who does not must not be ended by it.
  all.catch(() => undefined)
  return {
    started,
    reached: (count) =>
      until(`${count} executions to be accepted`, () => started.length >= count, { withinMs: 120_000 }),
    all,
  }
}

import type { Logger } from 'pino'
import { makeBatcher } from '../batch.ts'
import type { Transition } from '../store/commit.ts'
import { isTransient } from '../store/pools.ts'
import type { Store } from '../store/store.ts'

/** Written; or not, for the execution has moved on or a lease was lost: `held` are those that were not. */
export type Committed = 'written' | { held: Set<string> }

/** Times that a deadlock, or another conflict of transactions, is tried again. */
const TRIES = 5

/**
 * Writes transitions, those of several executions that are ready at once in one statement. What cannot be written
 * rejects for its own execution and for no other.
 */
export function makeCommits({ store, log }: { store: Store; log: Logger }): {
  add(transition: Transition): Promise<Committed>
} {
  return makeBatcher<Transition, Committed>({
    maxItems: 200,
    concurrency: 2,
    // Two of one execution never go together: a start that two ask for may meet itself.
    run: (transitions) =>
      new Set(transitions.map((t) => t.execution_id)).size === transitions.length
        ? together(transitions)
        : singly(transitions),
  })

  async function singly(transitions: Transition[]): Promise<(Committed | Error)[]> {
    const outcomes: (Committed | Error)[] = []
    for (const transition of transitions) outcomes.push((await together([transition]))[0]!)
    return outcomes
  }

  async function together(transitions: Transition[]): Promise<(Committed | Error)[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { written, held } = await store.commitTransitions(transitions)
        return transitions.map((t) => (written.has(t.execution_id) ? 'written' : { held }))
      } catch (error) {
        const code = (error as { code?: string }).code ?? ''
        if (code.startsWith('40') && attempt < TRIES) continue
        if (isTransient(error) || transitions.length === 1) {
          return transitions.map(() => error as Error)
        }
        // One of them cannot be written; the others must not suffer for it.
        log.error({ err: error, count: transitions.length }, 'a batch was refused and is tried one by one')
        return singly(transitions)
      }
    }
  }
}

/** Executions known to have ended, which is for ever: the newest of them, so that nobody is asked again. */
export interface Ended {
  has(executionId: string): boolean
  add(executionId: string): void
}

const KEPT = 2000

export function makeEnded(): Ended {
  const ids = new Set<string>()
  return {
    has: (executionId) => ids.has(executionId),
    add(executionId) {
      ids.delete(executionId)
      ids.add(executionId)
      if (ids.size > KEPT) ids.delete(ids.values().next().value!)
    },
  }
}

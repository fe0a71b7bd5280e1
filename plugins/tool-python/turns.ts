/** Lets so many go on at once; the others wait for their turn, oldest first. */
export interface Turns {
  /** Waits for a turn, and gives the function that ends it. */
  take(signal: AbortSignal): Promise<() => void>
}

export function makeTurns(atOnce: number): Turns {
  let free = atOnce
  const waiting = new Set<() => void>()

  function release(): void {
    free += 1
    const [next] = waiting
    next?.()
  }

  return {
    take(signal) {
      return new Promise((resolve, reject) => {
        const begin = () => {
          waiting.delete(begin)
          signal.removeEventListener('abort', giveUp)
          free -= 1
          resolve(release)
        }
        const giveUp = () => {
          waiting.delete(begin)
          reject(signal.reason)
        }
        if (free > 0) return begin()
        signal.addEventListener('abort', giveUp, { once: true })
        waiting.add(begin)
      })
    },
  }
}

import type { Stop } from './stop.ts'

/** Lets at most `count` calls run at a time; the others wait in order, as long as they are not stopped. */
export function makeSlots(count: number) {
  let free = count
  const waiting: (() => void)[] = []

  function leave(): void {
    const next = waiting.shift()
    if (next === undefined) free++
    else next()
  }

  /** Resolves when there is a slot, with a function that gives it back. Rejects with why the call was stopped. */
  async function take(stop: Stop): Promise<() => void> {
    stop.throwIfStopped()
    if (free > 0) {
      free--
      return leave
    }
    const turn = Promise.withResolvers<void>()
    const onStop = () => {
      const place = waiting.indexOf(turn.resolve)
      if (place === -1) return
      waiting.splice(place, 1)
      turn.reject(stop.signal.reason)
    }
    waiting.push(turn.resolve)
    stop.signal.addEventListener('abort', onStop)
    try {
      await turn.promise
      return leave
    } finally {
      stop.signal.removeEventListener('abort', onStop)
    }
  }

  return { take }
}

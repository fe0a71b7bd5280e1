import type { Stop } from './stop.ts'

/** Lets at most `count` calls run at a time; the others wait in order, as long as they are not stopped. */
export function makeSlots(count: number) {
  let free = count
  const waiting: (() => void)[] = []

  /** Gives a function that gives the slot back. Throws why the call was stopped. */
  async function take(stop: Stop): Promise<() => void> {
    stop.throwIfStopped()
    if (free === 0) {
      const turn = Promise.withResolvers<void>()
      const onStop = () => {
        const place = waiting.indexOf(turn.resolve)
        if (place === -1) return
        waiting.splice(place, 1)
        turn.reject(stop.reason())
      }
      waiting.push(turn.resolve)
      stop.signal.addEventListener('abort', onStop)
      try {
        await turn.promise
      } finally {
        stop.signal.removeEventListener('abort', onStop)
      }
    } else free--
    let given = true
    return () => {
      if (!given) return
      given = false
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }

  return { take }
}

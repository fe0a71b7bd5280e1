/** A server that can be kept running: it tells its end, and stops when asked to. */
export interface Keepable {
  exited: Promise<void>
  stop(): Promise<void>
}

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 15_000
/** One that ran this long did start well; the next pause is a short one again. */
const STEADY_MS = 60_000

/**
 * Starts a server again whenever it ends by itself, with pauses that grow while it does not stay up. `stop`
 * ends it and the keeping, whether it runs, waits or is being started; safe twice.
 */
export function keepRunning(
  name: string,
  first: Keepable,
  options: {
    again(signal: AbortSignal): Promise<Keepable>
    say(line: string): void
    firstPauseMs?: number
  },
): { stop(): Promise<void> } {
  const { again, say, firstPauseMs = FIRST_PAUSE_MS } = options
  const stopping = new AbortController()
  const { signal } = stopping
  const stopped = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  const keeping = keep()

  async function keep(): Promise<void> {
    let server: Keepable | undefined = first
    let pause = firstPauseMs
    let since = Date.now()
    for (;;) {
      if (server !== undefined) {
        await Promise.race([server.exited, stopped])
        if (signal.aborted) return server.stop()
        if (Date.now() - since > STEADY_MS) pause = firstPauseMs
        say(`${name} has ended by itself; it is started again in ${pause} ms`)
      }
      const timer = Promise.withResolvers<void>()
      const timeout = setTimeout(timer.resolve, pause)
      await Promise.race([timer.promise, stopped])
      clearTimeout(timeout)
      if (signal.aborted) return
      pause = Math.min(LONGEST_PAUSE_MS, pause * 2)
      since = Date.now()
      server = await again(signal).catch((error: Error) => {
        if (!signal.aborted) say(`${name} does not start: ${error.message}; tried again in ${pause} ms`)
        return undefined
      })
      if (server !== undefined && !signal.aborted) say(`${name} runs again`)
    }
  }

  return {
    stop() {
      stopping.abort()
      return keeping
    },
  }
}

import { CallAborted, type ToolCall, ToolError } from '@noetl/core'

/** What ends a call early, as one: its own time limit, the signal it was given, the end of the tool. */
export interface Stop {
  /** Its reason is what the call must throw. */
  signal: AbortSignal
  /** The Job is to go on: the worker stops, and the next one that runs this call takes it over. */
  handsOver(): boolean
  /** Rejects with the reason when a stopped call still runs after a grace. */
  gaveUp: Promise<never>
  dispose(): void
}

/** How long a stopped call may take to end: more than removing a Job does. */
const STOP_MS = 4_000
/** The longest that a timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1

export function stopOf(
  call: ToolCall,
  about: { what: string; seconds: number; graceMs: number; closing: AbortSignal },
): Stop {
  const { what, seconds, graceMs, closing } = about
  const controller = new AbortController()
  const gaveUp = Promise.withResolvers<never>()
  gaveUp.promise.catch(() => {})
  let handsOver = false
  let grace: NodeJS.Timeout | undefined

  function end(why: unknown): void {
    if (controller.signal.aborted) return
    grace = setTimeout(() => gaveUp.reject(why), STOP_MS)
    controller.abort(why)
  }
  const onAbort = () => {
    const { reason } = call.signal
    handsOver = reason instanceof CallAborted && reason.why === 'stopping'
    end(reasonOf(reason, what))
  }
  const onClosing = () => {
    handsOver = true
    end(new ToolError('cancelled', `The wait for ${what} was ended: the worker stops.`))
  }
  const timer = setTimeout(
    () => end(new ToolError('timeout', `${what} took longer than ${seconds} s and was removed.`)),
    // The cluster's clock decides first.
    Math.min(seconds * 1000 + graceMs, MAX_TIMER_MS),
  )
  call.signal.addEventListener('abort', onAbort)
  closing.addEventListener('abort', onClosing)
  if (call.signal.aborted) onAbort()
  if (closing.aborted) onClosing()

  return {
    signal: controller.signal,
    handsOver: () => handsOver,
    gaveUp: gaveUp.promise,
    dispose() {
      clearTimeout(timer)
      clearTimeout(grace)
      call.signal.removeEventListener('abort', onAbort)
      closing.removeEventListener('abort', onClosing)
    },
  }
}

function reasonOf(reason: unknown, what: string): unknown {
  if (!(reason instanceof CallAborted) || reason.why !== 'deadline') return reason
  return new ToolError('timeout', `${what} still ran when the time of the call was up, and was removed.`, {
    cause: reason,
  })
}

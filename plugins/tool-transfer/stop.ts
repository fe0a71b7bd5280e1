import { CallAborted, type ToolCall, ToolError } from '@noetl/core'

/** What ends a call early, as one: its own time limit, the signal it was given, the end of the tool. */
export interface Stop {
  signal: AbortSignal
  throwIfStopped(): void
  /** Rejects with the reason when a stopped call still runs after a grace. */
  gaveUp: Promise<never>
  dispose(): void
}

/** How long a stopped call may take to end before it is left behind. */
const GRACE_MS = 4_000
/** The longest that a timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1

export function stopOf(call: ToolCall, options: { seconds: number; closing: AbortSignal }): Stop {
  const { seconds, closing } = options
  const controller = new AbortController()
  const gaveUp = Promise.withResolvers<never>()
  gaveUp.promise.catch(() => {})
  let grace: NodeJS.Timeout | undefined

  function end(why: unknown): void {
    if (controller.signal.aborted) return
    grace = setTimeout(() => gaveUp.reject(why), GRACE_MS)
    controller.abort(why)
  }
  const onAbort = () => end(reasonOf(call.signal.reason))
  const onClosing = () => end(new ToolError('cancelled', 'The transfer tool was closed: its worker stops.'))
  const timer = setTimeout(
    () => end(new ToolError('timeout', `The transfer took longer than ${seconds} s.`)),
    Math.min(seconds * 1000, MAX_TIMER_MS),
  )
  call.signal.addEventListener('abort', onAbort)
  closing.addEventListener('abort', onClosing)
  if (call.signal.aborted) onAbort()
  if (closing.aborted) onClosing()

  return {
    signal: controller.signal,
    throwIfStopped: () => controller.signal.throwIfAborted(),
    gaveUp: gaveUp.promise,
    dispose() {
      clearTimeout(timer)
      clearTimeout(grace)
      call.signal.removeEventListener('abort', onAbort)
      closing.removeEventListener('abort', onClosing)
    },
  }
}

function reasonOf(reason: unknown): unknown {
  if (!(reason instanceof CallAborted) || reason.why !== 'deadline') return reason
  return new ToolError('timeout', 'The transfer still ran when the time of the call was up.', {
    cause: reason,
  })
}

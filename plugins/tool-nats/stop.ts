import { CallAborted, type ToolCall, ToolError } from '@noetl/core'

/** The longest that a timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Runs what a call does under its own time limit and its signal. It ends at once when either ends; what
 * still runs is told by the signal it was given, and how it ends is nobody's concern any more.
 */
export async function withinTime<T>(
  call: ToolCall,
  limit: { seconds: number; what: string },
  running: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  call.signal.throwIfAborted()
  const controller = new AbortController()
  const stopped = Promise.withResolvers<never>()
  const end = (why: unknown) => {
    stopped.reject(why)
    controller.abort(why)
  }
  const onAbort = () => end(reasonOf(call.signal.reason, limit.what))
  const timer = setTimeout(
    () => end(new ToolError('timeout', `${limit.what} took longer than ${limit.seconds} s.`)),
    millisecondsOf(limit.seconds),
  )
  call.signal.addEventListener('abort', onAbort)
  try {
    const work = running(controller.signal)
    work.catch(() => {})
    return await Promise.race([work, stopped.promise])
  } finally {
    clearTimeout(timer)
    call.signal.removeEventListener('abort', onAbort)
  }
}

export function millisecondsOf(seconds: number): number {
  return Math.min(Math.ceil(seconds * 1000), MAX_TIMER_MS)
}

function reasonOf(reason: unknown, what: string): unknown {
  if (!(reason instanceof CallAborted) || reason.why !== 'deadline') return reason
  return new ToolError('timeout', `${what} still ran when the time of the call was up.`, { cause: reason })
}

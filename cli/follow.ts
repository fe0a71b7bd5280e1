import { setTimeout } from 'node:timers/promises'
import type { Client } from '@noetl/core'

/** An event as the API shows it. */
export interface ShownEvent {
  event_id: string
  event_type: string
  node_name: string | null
  status: string | null
  created_at: string
  duration: number | null
  current_index: number | null
  worker_id: string | null
  error: string | null
}

/** An execution as the API shows it. */
export interface ShownExecution {
  execution_id: string
  path: string
  version: number
  status: string
  started_at: string
  completed_at: string | null
  duration_seconds: number
  completed_steps: string[]
  failed_steps: string[]
  running_steps: string[]
  error: string | null
  result: unknown
  event_count: number
}

const FIRST_PAUSE_MS = 25
const LONGEST_PAUSE_MS = 1000

/**
 * Follows an execution to its end: tells each event once, in order, and gives the execution; undefined
 * when the time was up first.
 */
export async function follow(
  client: Client,
  id: string,
  options: { onEvent?: (event: ShownEvent) => void; timeoutSeconds?: number; signal?: AbortSignal } = {},
): Promise<ShownExecution | undefined> {
  const { onEvent, timeoutSeconds, signal } = options
  const get = <T>(path: string) =>
    client.request<T>('GET', path, undefined, signal === undefined ? {} : { signal })
  const until = timeoutSeconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutSeconds * 1000
  let since = '0'
  let pause = FIRST_PAUSE_MS
  for (;;) {
    // Asked before the events: then none is missed when it has ended.
    const { status } = await get<ShownExecution>(`/api/v2/executions/${id}/status`)
    let seen = 0
    if (onEvent !== undefined) {
      for (;;) {
        const page = await get<{ events: ShownEvent[]; pagination: { has_next: boolean } }>(
          `/api/v2/executions/${id}/events?page_size=500&since_event_id=${since}`,
        )
        for (const event of page.events) onEvent(event)
        seen += page.events.length
        since = page.events.at(-1)?.event_id ?? since
        if (!page.pagination.has_next) break
      }
    }
    if (status !== 'RUNNING') return get(`/api/v2/executions/${id}?page_size=1`)
    const left = until - Date.now()
    if (left <= 0) return undefined
    pause = seen > 0 ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, pause * 1.5)
    await setTimeout(Math.min(pause, left), undefined, signal === undefined ? {} : { signal })
  }
}

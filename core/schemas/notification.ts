import { isObject } from './json.ts'

/**
 * The hint on the bus that a command waits: no payload, only where to claim it. `queue_id` is the name
 * of the first protocol generation; `event_id` and `command_id` say the same to later clients.
 */
export interface Notification {
  execution_id: string
  queue_id: string
  event_id: string
  command_id: string
  step: string
  /** Base URL of a server that has the execution in memory; any other may be asked as well. */
  server_url: string
}

/** Reads a notification; undefined when it is none. */
export function readNotification(text: string): Notification | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(value)) return undefined
  const { execution_id, step, server_url } = value
  const id = value.queue_id ?? value.command_id ?? value.event_id
  if (!isId(execution_id) || !isId(id) || typeof step !== 'string') return undefined
  const queue_id = String(id)
  return {
    execution_id: String(execution_id),
    queue_id,
    event_id: queue_id,
    command_id: queue_id,
    step,
    server_url: typeof server_url === 'string' ? server_url : '',
  }
}

function isId(value: unknown): value is string | number {
  return (typeof value === 'string' && /^\d{1,19}$/.test(value)) || Number.isSafeInteger(value)
}

/** The notification of a command that waits; `server_url` is where it may be claimed. */
export function notificationOf(
  { execution_id, queue_id, node_name }: { execution_id: string; queue_id: string; node_name: string },
  server_url: string,
): Notification {
  return {
    execution_id,
    queue_id,
    event_id: queue_id,
    command_id: queue_id,
    step: node_name,
    server_url,
  }
}

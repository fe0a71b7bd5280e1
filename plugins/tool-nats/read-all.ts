import { AckPolicy, DeliverPolicy, type JsMsg, nanos } from 'nats'
import type { Bus } from './operation.ts'

/** Messages asked for at a time. */
const BATCH = 256
/** How long one batch waits for messages that were counted and are gone meanwhile. */
const BATCH_MS = 5_000
/** A reader that nobody uses is forgotten by the server after this. */
const FORGOTTEN_MS = 30_000

/**
 * Gives all messages of a subject that a stream holds now, in order, or of each subject the latest. What
 * `each` throws ends it.
 */
export async function readAll(
  { js, jsm, signal, log }: Bus,
  of: { stream: string; subject: string; latest: boolean; headersOnly: boolean },
  each: (message: JsMsg) => void,
): Promise<void> {
  const { name, num_pending } = await jsm.consumers.add(of.stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: of.latest ? DeliverPolicy.LastPerSubject : DeliverPolicy.All,
    filter_subject: of.subject,
    headers_only: of.headersOnly,
    inactive_threshold: nanos(FORGOTTEN_MS),
    mem_storage: true,
    num_replicas: 1,
  })
  try {
    const consumer = await js.consumers.get(of.stream, name)
    for (let left = num_pending; left > 0; ) {
      signal.throwIfAborted()
      const messages = await consumer.fetch({ max_messages: Math.min(left, BATCH), expires: BATCH_MS })
      const stop = () => messages.stop()
      signal.addEventListener('abort', stop)
      try {
        for await (const message of messages) {
          each(message)
          left = Math.min(left - 1, message.info.pending)
        }
      } finally {
        signal.removeEventListener('abort', stop)
      }
    }
  } finally {
    jsm.consumers.delete(of.stream, name).catch((error: Error) => {
      log.debug({ err: error.message }, 'a reader was left to the server, which forgets it by itself')
    })
  }
}

import type { JetStreamManager, NatsConnection } from 'nats'
import type { Logger } from 'pino'
import { type Notification, readNotification } from '../schemas/notification.ts'
import { consumerConfig, durableOf, type Place, STREAM, subjectOf } from './streams.ts'

/** How a consumer stands. */
export interface ConsumerState {
  /** Messages that it has not delivered yet. */
  pending: number
  /** Delivered and neither acknowledged nor due again. */
  unacknowledged: number
  /** Pulls that wait for messages. */
  waiting: number
  /** Rises with every delivery. */
  delivered: number
}

/** Undefined when there is no such consumer. */
export async function consumerState(
  manager: JetStreamManager,
  place: Place,
): Promise<ConsumerState | undefined> {
  const info = await manager.consumers.info(STREAM, durableOf(place)).catch(() => undefined)
  return (
    info && {
      pending: info.num_pending,
      unacknowledged: info.num_ack_pending,
      waiting: info.num_waiting,
      delivered: info.delivered.consumer_seq,
    }
  )
}

/**
 * Makes a consumer anew and takes out of the stream what it was to deliver: messages are hints, and those that
 * made it fall silent would do so again. What waits is for Postgres to say.
 */
export async function rebuildConsumer(manager: JetStreamManager, place: Place): Promise<void> {
  await manager.consumers.delete(STREAM, durableOf(place)).catch(() => undefined)
  await manager.streams.purge(STREAM, { filter: subjectOf(place) })
  await manager.consumers.add(STREAM, consumerConfig(place))
}

/**
 * Hears of notifications that were delivered as often as they may be and are delivered no more, one server of
 * several each; they are taken out of the stream. Whether their command waits still is for Postgres to say.
 */
export function hearExhausted(
  { connection, manager, log }: { connection: NatsConnection; manager: JetStreamManager; log: Logger },
  hear: (notification: Notification) => void,
): void {
  connection.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.${STREAM}.>`, {
    queue: 'noetl-upkeep',
    callback: (error, message) => {
      if (error) return
      const { stream_seq: seq } = message.json<{ stream_seq: number }>()
      takeOut(seq).catch((err) => log.debug({ err, seq }, 'an exhausted notification could not be read'))
    },
  })

  async function takeOut(seq: number): Promise<void> {
    const message = await manager.streams.getMessage(STREAM, { seq })
    const notification = readNotification(message.string())
    await manager.streams.deleteMessage(STREAM, seq)
    if (notification !== undefined) hear(notification)
  }
}

import type { Bus } from './bus.ts'
import { STREAM } from './streams.ts'

/** What a consumer of the stream holds, as the bus counts it. */
export interface ConsumerFigures {
  /** Its durable name. */
  name: string
  /** Notifications that it has not delivered yet. */
  pending: number
  /** Delivered and neither acknowledged nor due again. */
  unacknowledged: number
  /** Of those, delivered more than once. */
  redelivered: number
}

/** Figures of the stream's consumers, of the first 256; rejects while the bus is away. */
export async function consumerFigures({ manager }: Pick<Bus, 'manager'>): Promise<ConsumerFigures[]> {
  const infos = await manager.consumers.list(STREAM).next()
  return infos.map((info) => ({
    name: info.name,
    pending: info.num_pending,
    unacknowledged: info.num_ack_pending,
    redelivered: info.num_redelivered,
  }))
}

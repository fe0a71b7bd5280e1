import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  type JetStreamManager,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from 'nats'

/**
 * Stream and consumers as data. Servers and workers both make what is missing, so that neither needs the
 * other to have been there first; what another made in a different way is brought to these values where
 * the bus allows it.
 *
 * A message is a hint that a command waits in Postgres. Hence an hour of life is enough, and losing the
 * whole stream only delays work.
 */
export const STREAM = 'NOETL_COMMANDS'
export const SUBJECT = 'noetl.commands'
export const DURABLE = 'noetl-worker-pool'

/** Seconds until a delivery that was neither acknowledged nor said to be in progress comes again. */
export const ACK_WAIT_SECONDS = 30

/** Far above the slots of all workers together: running commands must not keep others from delivery. */
export const MAX_ACK_PENDING = 100_000

/** A lane, and in it a pool; the normal lane and the pool without a name are the bare subject. */
export interface Place {
  lane: string
  pool: string
}

export function streamConfig(replicas = 1): Partial<StreamConfig> & { name: string } {
  return {
    name: STREAM,
    subjects: [SUBJECT, `${SUBJECT}.>`],
    storage: StorageType.File,
    retention: RetentionPolicy.Workqueue,
    max_age: nanos(3_600_000),
    num_replicas: replicas,
  }
}

export function consumerConfig(place: Place): Partial<ConsumerConfig> & { durable_name: string } {
  return {
    durable_name: durableOf(place),
    filter_subject: subjectOf(place),
    deliver_policy: DeliverPolicy.All,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ACK_WAIT_SECONDS * 1000),
    max_deliver: 3,
    max_ack_pending: MAX_ACK_PENDING,
  }
}

export function subjectOf({ lane, pool }: Place): string {
  if (pool !== '') return `${SUBJECT}.${lane}.${pool}`
  return lane === 'normal' ? SUBJECT : `${SUBJECT}.${lane}`
}

export function durableOf({ lane, pool }: Place): string {
  const suffix = [lane === 'normal' && pool === '' ? '' : lane, pool].filter((part) => part !== '')
  return [DURABLE, ...suffix].join('-')
}

/** Every lane of every pool. */
export function placesOf(lanes: readonly string[], pools: Iterable<string>): Place[] {
  return [...new Set(pools)].flatMap((pool) => lanes.map((lane) => ({ lane, pool })))
}

/**
 * Makes the stream and the consumers of some places, or brings them up to date. `made`: the stream was missing.
 * `created` tells a stream from one that was made in its place.
 */
export async function ensureStream(
  manager: JetStreamManager,
  places: Place[],
  replicas = 1,
): Promise<{ made: boolean; created: string }> {
  let created = ''
  const made = await ensureOne(
    () => manager.streams.info(STREAM),
    async () => {
      created = (await manager.streams.add(streamConfig(replicas))).created
    },
    async (info) => {
      created = info.created
      const wanted = streamConfig(info.config.num_replicas)
      // Storage and retention of a stream cannot be changed; one that others made is used as it is.
      const { storage: _s, retention: _r, ...rest } = wanted
      if (differs(info.config, rest)) await manager.streams.update(STREAM, { ...info.config, ...rest })
    },
  )
  for (const place of places) {
    const config = consumerConfig(place)
    const durable = config.durable_name
    await ensureOne(
      () => manager.consumers.info(STREAM, durable),
      () => manager.consumers.add(STREAM, config),
      async (info) => {
        const { deliver_policy: _d, ack_policy: _a, ...rest } = config
        if (differs(info.config, rest)) await manager.consumers.update(STREAM, durable, rest)
      },
    )
  }
  return { made, created }
}

/** Deletes the stream with all it holds; nothing when it is not there. */
export async function deleteStream(manager: JetStreamManager): Promise<void> {
  await manager.streams.delete(STREAM).catch((error) => {
    if (!isNotFound(error)) throw error
  })
}

async function ensureOne<T>(
  look: () => Promise<T>,
  make: () => Promise<unknown>,
  update: (info: T) => Promise<void>,
): Promise<boolean> {
  let info: T
  try {
    info = await look()
  } catch (error) {
    if (!isNotFound(error)) throw error
    await make()
    return true
  }
  await update(info)
  return false
}

function differs(found: object, wanted: object): boolean {
  return Object.entries(wanted).some(
    ([key, value]) => JSON.stringify((found as Record<string, unknown>)[key]) !== JSON.stringify(value),
  )
}

function isNotFound(error: unknown): boolean {
  const api = (error as { api_error?: { code?: number } }).api_error
  return api?.code === 404
}

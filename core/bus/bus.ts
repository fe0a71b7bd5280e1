import {
  connect,
  ErrorCode,
  type JetStreamManager,
  type MsgHdrs,
  headers as makeHeaders,
  type NatsConnection,
} from 'nats'
import type { Logger } from 'pino'
import { makeError } from '../errors.ts'
import type { Notification } from '../schemas/notification.ts'
import { within } from '../within.ts'
import { type ConsumerState, consumerState, hearExhausted, rebuildConsumer } from './consumers.ts'
import { type Delivery, makeDeliveries } from './deliveries.ts'
import { deleteStream, ensureStream, type Place, subjectOf } from './streams.ts'

/** A connection to NATS. It comes back by itself, for ever; while it is away, hints are lost and nothing else. */
export interface Bus {
  /**
   * Makes stream and consumers where they are missing. True: the stream was, or another has made it anew since
   * it was looked at last; what it held is gone either way.
   */
  ensure(places: Place[]): Promise<boolean>
  /** False: NATS is away, or stream and consumers could not be looked at when that was tried last. */
  works(): boolean
  /** Tells that commands wait. Never throws and does not wait for an answer: a hint may be lost. */
  announce(place: Place, notification: Notification, traceparent?: string): void
  /**
   * Announces a command and waits until the stream has it. False: it is there and did not take the message, or
   * does not answer. Where it is missing or the bus is away, true: others see to that.
   */
  accepts(place: Place, notification: Notification): Promise<boolean>
  /** Deletes the stream with all it holds and makes it and some consumers anew: announce again what waits. */
  remake(places: Place[]): Promise<void>
  /** Deliveries of one place, pulled as slots come free. */
  deliveries(place: Place, onDelivery: (delivery: Delivery) => void): ReturnType<typeof makeDeliveries>
  connected(): boolean
  consumerState(place: Place): Promise<ConsumerState | undefined>
  /** Makes the consumer of a place anew, without what it held: announce again what waits. */
  rebuildConsumer(place: Place): Promise<void>
  /** Hears of notifications that the bus delivers no more, because it did so too often. */
  onExhausted(hear: (notification: Notification) => void): void
  url: string
  manager: JetStreamManager
  close(): Promise<void>
}

/** How long the stream has to say that it took a message. */
const ACCEPT_MS = 2000
const encoder = new TextEncoder()

/** Connects, waiting up to `patienceMs` for a server that is not there yet; says so once a second or so. */
export async function connectBus(options: {
  url: string
  name: string
  patienceMs: number
  log: Logger
  /** Copies of the stream in a cluster, should it have to be made. */
  replicas?: number
}): Promise<Bus> {
  const { log, replicas = 1 } = options
  const connection = await connectPatiently(options)
  const manager = await connection.jetstreamManager({ checkAPI: false })
  let closed: Promise<void> | undefined
  /** The stream that was there last. */
  let known: string | undefined
  let works = true
  void watch(connection, log)
  return {
    async ensure(places) {
      const { made, created } = await ensureStream(manager, places, replicas).catch((error) => {
        works = false
        throw error
      })
      works = true
      const anew = made || (known !== undefined && known !== created)
      known = created
      return anew
    },
    announce(place, notification, traceparent) {
      try {
        const data = encoder.encode(JSON.stringify(notification))
        if (traceparent === undefined) connection.publish(subjectOf(place), data)
        else connection.publish(subjectOf(place), data, { headers: tracing(traceparent) })
      } catch (err) {
        log.debug({ err }, 'a notification could not be sent; upkeep will announce the command again')
      }
    },
    async accepts(place, notification) {
      try {
        const answer = await connection.request(
          subjectOf(place),
          encoder.encode(JSON.stringify(notification)),
          { timeout: ACCEPT_MS },
        )
        return answer.json<{ error?: unknown }>().error === undefined
      } catch (error) {
        // Nobody listens to the subject, or the connection is lost.
        return (error as { code?: string }).code !== ErrorCode.Timeout || lost.has(connection)
      }
    },
    async remake(places) {
      await deleteStream(manager)
      await ensureStream(manager, places, replicas)
    },
    deliveries: (place, onDelivery) =>
      makeDeliveries({
        connection,
        place,
        onDelivery,
        remake: () => ensureStream(manager, [place], replicas),
        log,
      }),
    works: () => works && !connection.isClosed() && !lost.has(connection),
    connected: () => !connection.isClosed() && connection.info !== undefined && !lost.has(connection),
    consumerState: (place) => consumerState(manager, place),
    rebuildConsumer: (place) => rebuildConsumer(manager, place),
    onExhausted: (hear) => hearExhausted({ connection, manager, log }, hear),
    url: shownUrl(options.url),
    manager,
    close() {
      closed ??= lost.has(connection) ? connection.close() : ended(connection)
      return closed
    },
  }
}

/** Lower case, as W3C has it: names of headers are told apart by their case here. */
function tracing(traceparent: string): MsgHdrs {
  const made = makeHeaders()
  made.set('traceparent', traceparent)
  return made
}

/** How long what is on its way may take to arrive before the connection is closed all the same. */
const DRAIN_MS = 2000

async function ended(connection: NatsConnection): Promise<void> {
  await within(DRAIN_MS, connection.drain())
  if (!connection.isClosed()) await connection.close()
}

/** Connections that are trying to come back. */
const lost = new WeakSet<NatsConnection>()

async function watch(connection: NatsConnection, log: Logger): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === 'disconnect') {
      lost.add(connection)
      log.warn(
        { server: status.data },
        'NATS is away; work goes on, new commands are announced when it is back',
      )
    } else if (status.type === 'reconnect') {
      lost.delete(connection)
      log.info({ server: status.data }, 'NATS is back')
    }
  }
}

/**
 * Makes stream and consumers, waiting up to `patienceMs` for a bus that is there and cannot do so yet, as a cluster
 * without a leader. Throws NOETL_ERR_BUS_UNREACHABLE.
 */
export async function ensurePatiently(
  bus: Bus,
  places: Place[],
  { patienceMs, log }: { patienceMs: number; log: Logger },
): Promise<boolean> {
  const until = Date.now() + patienceMs
  for (;;) {
    try {
      return await bus.ensure(places)
    } catch (cause) {
      const why = (cause as Error).message
      if (Date.now() >= until) throw makeError('NOETL_ERR_BUS_UNREACHABLE', [bus.url, why], { cause })
      log.warn({ url: bus.url, why }, 'NATS keeps no streams yet; trying again')
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }
}

async function connectPatiently(options: {
  url: string
  name: string
  patienceMs: number
  log: Logger
}): Promise<NatsConnection> {
  const until = Date.now() + options.patienceMs
  for (let attempt = 1; ; attempt++) {
    try {
      return await connect({
        ...address(options.url),
        name: options.name,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 250,
      })
    } catch (error) {
      const why = (error as Error).message
      if (Date.now() >= until || /AUTHORIZATION|authentication/i.test(why)) {
        throw makeError('NOETL_ERR_BUS_UNREACHABLE', [shownUrl(options.url), why], { cause: error })
      }
      options.log.warn({ url: shownUrl(options.url), attempt, why }, 'NATS does not answer yet; trying again')
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000, 100 * attempt)))
    }
  }
}

/** `nats://user:password@host:port[,…]` as the client wants it: it does not read users from URLs. */
function address(urls: string): { servers: string[]; user?: string; pass?: string } {
  let user: string | undefined
  let pass: string | undefined
  const servers = urls.split(',').map((text) => {
    const url = new URL(text.includes('://') ? text.trim() : `nats://${text.trim()}`)
    if (url.username !== '') {
      user = decodeURIComponent(url.username)
      pass = decodeURIComponent(url.password)
    }
    return url.host
  })
  return { servers, ...(user === undefined ? {} : { user, pass: pass ?? '' }) }
}

/** A URL as it may be shown: without its password. */
function shownUrl(urls: string): string {
  return urls.replace(/\/\/([^:@/]+):[^@/]*@/g, '//$1:***@')
}

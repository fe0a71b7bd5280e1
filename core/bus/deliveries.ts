import { type Msg, headers as makeHeaders, type NatsConnection, nanos } from 'nats'
import type { Logger } from 'pino'
import { type Notification, readNotification } from '../schemas/notification.ts'
import { durableOf, type Place, STREAM } from './streams.ts'

/** One arrival of a notification. One of ack, retry and drop ends it; without, it comes again. */
export interface Delivery {
  notification: Notification
  /** Times it was delivered, this one included. A signal only: attempts are counted in Postgres. */
  times: number
  /** When the bus took it, by its clock, in milliseconds since 1970. */
  sentAt: number
  /** Others that waited behind it in its place, as the bus counted then. */
  behind: number
  /** Done, or nothing to do. */
  ack(): void
  /** To be delivered again after some milliseconds. */
  retry(afterMs: number): void
  /** Never again. */
  drop(): void
  /** Still at it: the time until redelivery begins anew. */
  working(): void
}

export interface Deliveries {
  /** Says how many more may be delivered now; pulls as many. */
  want(free: number): void
  /** Asks for no more. What arrives after this is handed back at once. */
  stop(): void
  /** Pulls are answered: something arrived, or the bus said that there is nothing. In milliseconds since 1970. */
  lastHeard(): number
}

/** How long one pull waits for messages. It is short, for a pull whose consumer vanished ends without a word. */
const PULL_SECONDS = 5
/** How long after its end a pull that nothing was heard of is taken for lost. */
const LOST_SECONDS = 1
/** How long what was deleted is left alone before it is made anew. */
const DELETED_MS = 1000
const encoder = new TextEncoder()

/**
 * Pulls exactly as many notifications as there are free slots, so that none waits here that another
 * worker could take. One subscription hears all answers; each pull tells the bus how many it may send
 * and until when. A pull that ends (time, or the consumer vanished) gives its unused part back.
 */
export function makeDeliveries(options: {
  connection: NatsConnection
  place: Place
  onDelivery: (delivery: Delivery) => void
  /** Makes stream and consumer anew, as the bus says that they were deleted. */
  remake: () => Promise<unknown>
  log: Logger
}): Deliveries {
  const { connection, onDelivery, remake, log } = options
  const durable = durableOf(options.place)
  const subject = `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${durable}`
  const inbox = `_INBOX.${connection.info?.client_id ?? 0}.${Math.random().toString(36).slice(2)}`
  /** Open pulls by number, each with what it may still deliver and when it ends at the latest. */
  const pulls = new Map<string, { left: number; until: number }>()
  let number = 0
  let wanted = 0
  let stopped = false
  let heard = Date.now()

  const subscription = connection.subscribe(`${inbox}.*`, {
    callback: (error, message) => {
      if (error) log.warn({ err: error }, 'the bus refused a pull')
      else hear(message)
    },
  })

  // Pulls on a consumer that was deleted are not always told so, and would be waited for until their end.
  const advisories = [
    `$JS.EVENT.ADVISORY.CONSUMER.DELETED.${STREAM}.${durable}`,
    `$JS.EVENT.ADVISORY.STREAM.DELETED.${STREAM}`,
  ].map((advisory) => connection.subscribe(advisory, { callback: () => void begin() }))

  async function begin(): Promise<void> {
    // Whoever deletes tells it before the files are gone; what is made meanwhile would be without them.
    await new Promise((resolve) => setTimeout(resolve, DELETED_MS))
    if (stopped || connection.isClosed()) return
    await remake().catch((err) => log.debug({ err }, 'a deleted consumer could not be made anew yet'))
    pulls.clear()
    pullMore()
  }

  function hear(message: Msg): void {
    heard = Date.now()
    const pull = message.subject === inbox ? '' : message.subject.slice(inbox.length + 1)
    const status = message.headers?.code
    // A JetStream message has the subject it was published to; a status keeps the subject of the pull.
    if (status !== undefined && status !== 0 && message.data.length === 0) {
      if (status === 100) return
      pulls.delete(pull)
      if (status !== 404 && status !== 408) {
        log.debug({ status, description: message.headers?.description }, 'a pull ended')
      }
      // A consumer that is gone answers at once; asking again at once would be a storm.
      if (status === 409 || status === 503) setTimeout(pullMore, 250).unref()
      else pullMore()
      return
    }
    take(message)
  }

  function take(message: Msg): void {
    const pull =
      message.sid === undefined ? undefined : [...pulls.entries()].find(([, open]) => open.left > 0)
    if (pull !== undefined) {
      pull[1].left -= 1
      if (pull[1].left === 0) pulls.delete(pull[0])
    }
    wanted = Math.max(0, wanted - 1)
    const delivery = readDelivery(message)
    if (delivery === undefined) {
      log.warn({ subject: message.subject }, 'a message that is no notification was dropped')
      message.respond(encoder.encode('+TERM'))
      wanted += 1
      pullMore()
    } else if (stopped) delivery.retry(0)
    else onDelivery(delivery)
  }

  function pullMore(): void {
    if (stopped || connection.isClosed()) return
    const now = Date.now()
    let asked = 0
    for (const [id, pull] of pulls) {
      if (pull.until < now) pulls.delete(id)
      else asked += pull.left
    }
    const batch = wanted - asked
    if (batch <= 0) return
    number += 1
    pulls.set(String(number), { left: batch, until: now + (PULL_SECONDS + LOST_SECONDS) * 1000 })
    const request = { batch, expires: nanos(PULL_SECONDS * 1000) }
    try {
      connection.publish(subject, encoder.encode(JSON.stringify(request)), {
        reply: `${inbox}.${number}`,
        headers: makeHeaders(),
      })
    } catch (err) {
      pulls.delete(String(number))
      log.debug({ err }, 'a pull could not be sent')
    }
  }

  async function pullAfterReconnect(): Promise<void> {
    for await (const { type } of connection.status()) {
      if (stopped) return
      if (type !== 'reconnect') continue
      // The other end may have forgotten them; should it not have, what is too much is handed back.
      pulls.clear()
      pullMore()
    }
  }
  void pullAfterReconnect()

  // Looks after pulls whose answer was lost.
  const timer = setInterval(pullMore, 1000)
  timer.unref()

  return {
    want(free) {
      wanted = free
      pullMore()
    },
    stop() {
      if (stopped) return
      stopped = true
      clearInterval(timer)
      for (const advisory of advisories) advisory.unsubscribe()
      wanted = 0
      // Not unsubscribed at once: what is on its way is handed back instead of waiting for its ack_wait.
      setTimeout(() => subscription.unsubscribe(), 500).unref()
    },
    lastHeard: () => heard,
  }
}

function readDelivery(message: Msg): Delivery | undefined {
  const notification = readNotification(message.string())
  if (notification === undefined) return undefined
  // $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<nanoseconds>.…, with two more parts in front on newer servers.
  const parts = (message.reply ?? '').split('.')
  const long = parts.length > 9 ? 2 : 0
  const times = Number(parts[4 + long]) || 1
  const sentAt = Number(parts[7 + long]) / 1e6 || Date.now()
  const behind = Number(parts[8 + long]) || 0
  let ended = false
  const end = (answer: string) => {
    if (ended) return
    ended = true
    message.respond(encoder.encode(answer))
  }
  return {
    notification,
    times,
    sentAt,
    behind,
    ack: () => end('+ACK'),
    retry: (afterMs) => end(afterMs <= 0 ? '-NAK' : `-NAK ${JSON.stringify({ delay: nanos(afterMs) })}`),
    drop: () => end('+TERM'),
    working: () => {
      if (!ended) message.respond(encoder.encode('+WPI'))
    },
  }
}

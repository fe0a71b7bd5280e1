import type { Bus } from '../../core/bus/bus.ts'
import type { Delivery } from '../../core/bus/deliveries.ts'
import { ACK_WAIT_SECONDS, durableOf, type Place } from '../../core/bus/streams.ts'
import type { Notification } from '../../core/schemas/notification.ts'
import { delay, type Weather } from './weather.ts'
import type { Process, World } from './world.ts'

/** NATS with its one stream, as far as the gateway uses it. */
export interface Stream {
  /** The bus as one process sees it. */
  busOf(process: Process): Bus
  down: boolean
  /** The stream, its consumers and all they held are gone. */
  wipe(): void
  /** Consumers deliver no more until they are made anew. */
  silence(): void
  /** The stream is there and takes no messages until it is made anew. */
  breakStore(): void
}

const MAX_DELIVER = 3
/** How long until a worker asks again whose pull was lost. In milliseconds. */
const PULL_MS = 22_000

interface Message {
  consumer: string
  notification: Notification
  deliveries: number
  /** Out: delivered, and not heard of until this time. */
  outUntil: number | null
}

interface Taker {
  process: Process
  consumer: string
  wanted: number
  stopped: boolean
  take(message: Message): void
}

export function makeStream(world: World, weather: () => Weather): Stream {
  const { random } = world
  let exists = false
  let silent = false
  let broken = false
  let delivered = 0
  let messages: Message[] = []
  const takers: Taker[] = []
  const hearers: { process: Process; hear(notification: Notification): void }[] = []

  /** A message to the bus: lost, late or doubled as it may be. */
  function send(act: () => void, options: { twice?: boolean } = {}): void {
    const { slow, lost, twice } = weather().bus
    if (stream.down || random.chance(lost)) return
    const arrive = () => {
      if (!stream.down) act()
    }
    world.after(delay(random, slow), null, arrive)
    if (options.twice && random.chance(twice)) world.after(delay(random, slow), null, arrive)
  }

  function dispatch(): void {
    if (silent || stream.down) return
    for (const message of messages.filter(({ outUntil }) => outUntil === null)) {
      const free = takers.filter(
        (taker) =>
          taker.consumer === message.consumer &&
          taker.wanted > 0 &&
          (taker.process.alive || random.chance(0.1)),
      )
      if (free.length === 0) continue
      const taker = random.pick(free)
      taker.wanted -= 1
      delivered += 1
      message.deliveries += 1
      outFor(message, ACK_WAIT_SECONDS * 1000)
      world.after(delay(random, weather().bus.slow), taker.process, () => taker.take(message))
    }
  }

  /** Marks a message as delivered; unless it is heard of in time, it comes again. */
  function outFor(message: Message, ms: number): void {
    const until = world.now() + ms
    message.outUntil = until
    world.after(ms, null, () => {
      if (message.outUntil === until) again(message)
    })
  }

  function again(message: Message): void {
    if (!messages.includes(message)) return
    message.outUntil = null
    if (message.deliveries < MAX_DELIVER) {
      dispatch()
      return
    }
    remove(message)
    const there = hearers.filter(({ process }) => process.alive)
    if (there.length === 0) return
    const { process, hear } = random.pick(there)
    world.after(delay(random, 0), process, () => hear(message.notification))
  }

  function remove(message: Message): void {
    messages = messages.filter((other) => other !== message)
  }

  function deliveryOf(message: Message): Delivery {
    let ended = false
    const end = (act: () => void) => {
      if (ended) return
      ended = true
      send(() => {
        if (messages.includes(message)) act()
      })
    }
    return {
      notification: { ...message.notification },
      times: message.deliveries,
      sentAt: Date.now(),
      behind: 0,
      ack: () => end(() => remove(message)),
      drop: () => end(() => remove(message)),
      retry: (afterMs) => end(() => outFor(message, afterMs)),
      working: () => {
        if (!ended) send(() => messages.includes(message) && outFor(message, ACK_WAIT_SECONDS * 1000))
      },
    }
  }

  function deliveries(process: Process, place: Place, onDelivery: (delivery: Delivery) => void) {
    const taker: Taker = {
      process,
      consumer: durableOf(place),
      wanted: 0,
      stopped: false,
      take: (message) => {
        const delivery = deliveryOf(message)
        if (taker.stopped) delivery.retry(0)
        else onDelivery(delivery)
      },
    }
    takers.push(taker)
    let wanted = 0
    const pull = () => {
      send(() => {
        taker.wanted = taker.stopped ? 0 : wanted
        dispatch()
      })
    }
    const pullAgain = () => {
      if (taker.stopped) return
      pull()
      world.after(PULL_MS, process, pullAgain)
    }
    world.after(PULL_MS, process, pullAgain)
    return {
      want(free: number) {
        wanted = free
        pull()
      },
      stop() {
        taker.stopped = true
        taker.wanted = 0
      },
      lastHeard: () => world.now(),
    }
  }

  /** An answer from the bus, or its absence. */
  function ask<T>(process: Process, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      world.after(delay(random, weather().bus.slow), process, () => {
        if (stream.down) reject(new Error('TIMEOUT'))
        else resolve(act())
      })
    })
  }

  const stream: Stream = {
    down: false,
    wipe() {
      exists = false
      silent = false
      broken = false
      messages = []
      for (const taker of takers) taker.wanted = 0
    },
    silence() {
      silent = true
    },
    breakStore() {
      broken = true
    },
    busOf: (process) => ({
      ensure: () =>
        ask(process, () => {
          const missing = !exists
          exists = true
          return missing
        }),
      announce(place, notification) {
        const publish = () => {
          if (!exists || broken) return
          messages.push({ consumer: durableOf(place), notification, deliveries: 0, outUntil: null })
          dispatch()
        }
        send(publish, { twice: true })
      },
      accepts: (place, notification) =>
        ask(process, () => {
          if (!exists) return true
          if (broken) return false
          messages.push({ consumer: durableOf(place), notification, deliveries: 0, outUntil: null })
          dispatch()
          return true
        }).catch(() => false),
      remake: () =>
        ask(process, () => {
          stream.wipe()
          exists = true
        }),
      deliveries: (place, onDelivery) => deliveries(process, place, onDelivery),
      works: () => !stream.down,
      connected: () => !stream.down,
      consumerState: (place) =>
        ask(process, () => {
          if (!exists) return undefined
          const own = messages.filter(({ consumer }) => consumer === durableOf(place))
          const out = own.filter(({ outUntil }) => outUntil !== null).length
          const waiting = takers.filter(({ wanted, process }) => wanted > 0 && process.alive).length
          return { pending: own.length - out, unacknowledged: out, waiting, delivered }
        }),
      rebuildConsumer: (place) =>
        ask(process, () => {
          silent = false
          messages = messages.filter(({ consumer }) => consumer !== durableOf(place))
        }),
      onExhausted: (hear) => void hearers.push({ process, hear }),
      url: 'nats://simulated',
      get manager(): never {
        throw new Error('the simulated bus has no manager')
      },
      close: async () => {},
    }),
  }
  return stream
}

import type { Logger } from 'pino'
import type { Bus } from '../bus/bus.ts'
import type { Delivery } from '../bus/deliveries.ts'
import type { Place } from '../bus/streams.ts'
import type { Notification } from '../schemas/notification.ts'
import { CallAborted } from '../tools/define.ts'
import type { LanePlan } from '../tools/lanes.ts'
import { within } from '../within.ts'
import { type DeliverParts, deliver } from './deliver.ts'
import type { Lease } from './leases.ts'
import { makePolling } from './polling.ts'
import { makeShares } from './shares.ts'

/** Takes commands from the bus, or from servers when it is silent, as many at once as there are slots. */
export interface Taking {
  /** Deliveries under way. */
  readonly busy: number
  /** Takes no more, lets what runs end within the time, then aborts and hands back the rest. */
  drain(graceMs: number): Promise<void>
}

/** How long aborted commands have to end before their leases are handed back all the same. */
const ABORT_MS = 5000
/** A delivery for which there is no slot after all is tried again after so long. */
const FULL_MS = 100
/** How long a chain of steps may keep a slot while all others are taken; then it queues up as all do. */
const CHAIN_MS = 1000
/** How often lanes are looked at that were asked for commands and sent none. */
const LOOK_MS = 50

export function takeCommands(
  parts: Omit<DeliverParts, 'begin' | 'end' | 'stop' | 'mayGoOn'> & {
    bus: Pick<Bus, 'deliveries' | 'works'>
    /** Asks a server for commands of a place that wait. */
    waiting: (place: Place, limit: number) => Promise<Notification[]>
    /** In the order in which they are to be served, where that is shared. */
    places: Place[]
    slots: number
    /** How slots are shared among several lanes; absent: whoever is delivered first has them. */
    share?: LanePlan['share']
    log: Logger
  },
): Taking {
  const { bus, places, slots, leases, log, share } = parts
  const running = new Set<Lease>()
  const flights = new Set<Promise<void>>()
  const stop = new AbortController()
  const shares =
    share === undefined || places.length < 2
      ? undefined
      : makeShares({ lanes: places.map(({ lane }) => lane), slots, share })
  const about: DeliverParts = {
    ...parts,
    stop: stop.signal,
    begin: (lease) => void running.add(lease),
    end: (lease) => void running.delete(lease),
    mayGoOn: (since) => nobodyWaits() || Date.now() - since < CHAIN_MS,
  }

  /** Deliveries for which there was no slot, for a moment: one may come free before the bus would ask again. */
  const held: { delivery: Delivery; n: number; timer: NodeJS.Timeout }[] = []

  /** With a slot free nobody waits for another, unless it is kept for a lane. */
  function nobodyWaits(): boolean {
    return flights.size < slots && (shares === undefined || (!shares.waits && held.length === 0))
  }

  /** A chain of steps makes room at once for a higher lane that is known to wait. */
  function higherWaits(n: number): boolean {
    return shares !== undefined && (held.some((one) => one.n < n) || shares.waitsAbove(places[n]!.lane))
  }

  function take(delivery: Delivery, n: number): void {
    const full = flights.size >= slots
    if (full && shares !== undefined && !stop.signal.aborted && held.length < slots) {
      hold(delivery, n)
      return
    }
    if (full || stop.signal.aborted) {
      delivery.retry(stop.signal.aborted ? 0 : FULL_MS)
      return
    }
    const { lane } = places[n]!
    shares?.began(lane)
    const mayGoOn = (since: number) => !higherWaits(n) && about.mayGoOn(since)
    const flight = deliver(delivery, shares === undefined ? about : { ...about, mayGoOn }).catch((err) =>
      log.error({ err }, 'a delivery failed'),
    )
    flights.add(flight)
    void flight.finally(() => {
      flights.delete(flight)
      shares?.ended(lane)
      takeHeld()
      want()
      for (const polling of pollings) polling.freed()
    })
    want()
  }

  function hold(delivery: Delivery, n: number): void {
    const one = {
      delivery,
      n,
      timer: setTimeout(() => {
        held.splice(held.indexOf(one), 1)
        delivery.retry(FULL_MS)
      }, FULL_MS),
    }
    held.push(one)
  }

  /** The first of the highest lane. */
  function takeHeld(): void {
    const n = Math.min(...held.map((one) => one.n))
    const [one] = held.splice(
      held.findIndex((other) => other.n === n),
      held.length === 0 ? 0 : 1,
    )
    if (one === undefined) return
    clearTimeout(one.timer)
    take(one.delivery, one.n)
  }

  const wantedOf = (n: number): number => {
    if (stop.signal.aborted) return 0
    if (shares === undefined) return slots - flights.size
    return held.length > 0 ? 0 : (shares.wanted()[places[n]!.lane] ?? 0)
  }
  const pollings = places.map((place, n) =>
    makePolling({
      ask: (limit) => parts.waiting(place, limit),
      free: () => wantedOf(n),
      busWorks: bus.works,
      onDelivery: (delivery) => take(delivery, n),
      log,
    }),
  )
  const deliveries = places.map((place, n) =>
    bus.deliveries(place, (delivery) => {
      pollings[n]!.told()
      shares?.delivered(place.lane, delivery.behind)
      take(delivery, n)
    }),
  )
  function want(): void {
    if (stop.signal.aborted) return
    if (shares === undefined) for (const place of deliveries) place.want(slots - flights.size)
    else if (held.length === 0) {
      const wanted = shares.wanted()
      for (const [n, place] of deliveries.entries()) place.want(wanted[places[n]!.lane] ?? 0)
    }
  }
  /** What other workers took is asked for no more: it would keep slots from lanes that have some. */
  const look =
    shares &&
    setInterval(() => {
      if (!shares.waits || flights.size >= slots) return
      for (const { lane } of places) shares.empty(lane)
      want()
    }, LOOK_MS)
  want()

  return {
    get busy() {
      return flights.size
    },
    async drain(graceMs) {
      stop.abort()
      clearInterval(look)
      for (const { delivery, timer } of held.splice(0)) {
        clearTimeout(timer)
        delivery.retry(0)
      }
      for (const source of [...deliveries, ...pollings]) source.stop()
      await within(graceMs, Promise.all(flights))
      const rest = [...running]
      for (const lease of rest) lease.abort(new CallAborted('stopping', 'the worker stops'))
      await within(ABORT_MS, Promise.all(flights))
      await leases
        .release(rest)
        .catch((err: Error) =>
          log.warn({ why: err.message }, 'leases could not be handed back; they run out by themselves'),
        )
    },
  }
}

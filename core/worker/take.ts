import type { Logger } from 'pino'
import type { Bus } from '../bus/bus.ts'
import type { Delivery } from '../bus/deliveries.ts'
import type { Place } from '../bus/streams.ts'
import type { Notification } from '../schemas/notification.ts'
import { CallAborted } from '../tools/define.ts'
import { type DeliverParts, deliver } from './deliver.ts'
import type { Lease } from './leases.ts'
import { makePolling } from './polling.ts'

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

export function takeCommands(
  parts: Omit<DeliverParts, 'begin' | 'end' | 'stop' | 'mayGoOn'> & {
    bus: Pick<Bus, 'deliveries' | 'works'>
    /** Asks a server for commands of a place that wait. */
    waiting: (place: Place, limit: number) => Promise<Notification[]>
    places: Place[]
    slots: number
    log: Logger
  },
): Taking {
  const { bus, places, slots, leases, log } = parts
  const running = new Set<Lease>()
  const flights = new Set<Promise<void>>()
  const stop = new AbortController()
  const about: DeliverParts = {
    ...parts,
    stop: stop.signal,
    begin: (lease) => void running.add(lease),
    end: (lease) => void running.delete(lease),
    // With a slot free nobody waits for this one.
    mayGoOn: (since) => flights.size < slots || Date.now() - since < CHAIN_MS,
  }

  function take(delivery: Delivery): void {
    if (stop.signal.aborted || flights.size >= slots) {
      delivery.retry(stop.signal.aborted ? 0 : FULL_MS)
      return
    }
    const flight = deliver(delivery, about).catch((err) => log.error({ err }, 'a delivery failed'))
    flights.add(flight)
    void flight.finally(() => {
      flights.delete(flight)
      want()
      for (const polling of pollings) polling.freed()
    })
    want()
  }

  const pollings = places.map((place) =>
    makePolling({
      ask: (limit) => parts.waiting(place, limit),
      free: () => (stop.signal.aborted ? 0 : slots - flights.size),
      busWorks: bus.works,
      onDelivery: take,
      log,
    }),
  )
  const deliveries = places.map((place, n) =>
    bus.deliveries(place, (delivery) => {
      pollings[n]!.told()
      take(delivery)
    }),
  )
  function want(): void {
    if (stop.signal.aborted) return
    for (const place of deliveries) place.want(slots - flights.size)
  }
  want()

  return {
    get busy() {
      return flights.size
    },
    async drain(graceMs) {
      stop.abort()
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

/** Waits for an end, but no longer than so many milliseconds. */
async function within(ms: number, ending: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([ending, over])
  clearTimeout(timer)
}

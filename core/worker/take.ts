import type { Logger } from 'pino'
import type { Bus } from '../bus/bus.ts'
import type { Place } from '../bus/streams.ts'
import { CallAborted } from '../tools/define.ts'
import { type DeliverParts, deliver } from './deliver.ts'
import type { Lease } from './leases.ts'

/** Takes commands from the bus, as many at once as there are slots. */
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

export function takeCommands(
  parts: Omit<DeliverParts, 'begin' | 'end' | 'stop'> & {
    bus: Pick<Bus, 'deliveries'>
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
  }

  const deliveries = places.map((place) =>
    bus.deliveries(place, (delivery) => {
      if (stop.signal.aborted) return delivery.retry(0)
      if (flights.size >= slots) return delivery.retry(FULL_MS)
      const flight = deliver(delivery, about).catch((err) => log.error({ err }, 'a delivery failed'))
      flights.add(flight)
      void flight.finally(() => {
        flights.delete(flight)
        want()
      })
      want()
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
      for (const place of deliveries) place.stop()
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

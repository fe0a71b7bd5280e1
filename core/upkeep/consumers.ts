import type { Logger } from 'pino'
import type { Bus } from '../bus/bus.ts'
import type { ConsumerState } from '../bus/consumers.ts'
import { durableOf, MAX_ACK_PENDING, type Place } from '../bus/streams.ts'
import { publish } from '../channels.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/** Looks in a row at which a consumer that could have delivered something has not. */
const SILENT_LOOKS = 2

/**
 * Makes a consumer anew that fell silent: it has messages and delivers none, though workers wait for them or it
 * has delivered as many as it may without having heard of one. What it held is announced again by what waits in
 * Postgres.
 */
export function consumersDuty(parts: {
  bus: Bus
  store: Pick<Store, 'forgetAnnouncements'>
  places: Place[]
  log: Logger
  everySeconds?: number
}): Duty {
  const seen = new Map<string, { state: ConsumerState; looks: number }>()
  return {
    name: 'consumers',
    everySeconds: parts.everySeconds ?? 5,
    async run() {
      if (!parts.bus.connected()) return
      for (const place of parts.places) {
        const name = durableOf(place)
        const state = await parts.bus.consumerState(place)
        if (state === undefined) continue
        const before = seen.get(name)
        const silent =
          state.pending > 0 &&
          (state.waiting > 0 || state.unacknowledged >= MAX_ACK_PENDING) &&
          before !== undefined &&
          before.state.delivered === state.delivered
        const looks = silent ? before.looks + 1 : 0
        seen.set(name, { state, looks })
        if (looks < SILENT_LOOKS) continue
        seen.delete(name)
        parts.log.warn({ consumer: name, ...state }, 'a consumer fell silent and is made anew')
        await parts.bus.rebuildConsumer(place)
        await parts.store.forgetAnnouncements()
        publish('noetl:upkeep', { what: 'rebuilt', count: 1 })
      }
    },
  }
}

/** Announces again what was delivered as often as it may be, if its command waits still. */
export function followExhausted(parts: { bus: Bus; store: Store; log: Logger }): void {
  parts.bus.onExhausted(({ execution_id, queue_id }) => {
    parts.store
      .makeDue([{ execution_id, queue_id }])
      .catch((err) => parts.log.debug({ err }, 'a command could not be made due; upkeep announces it later'))
  })
}

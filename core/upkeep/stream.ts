import type { Bus } from '../bus/bus.ts'
import type { Place } from '../bus/streams.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/** Makes stream and consumers anew when the bus lost them, and then announces all that waits. */
export function streamDuty(parts: { bus: Bus; store: Store; places: Place[] }): Duty {
  return {
    name: 'stream',
    everySeconds: 3,
    async run() {
      if (!parts.bus.connected()) return
      if (await parts.bus.ensure(parts.places)) await parts.store.forgetAnnouncements()
    },
  }
}

import type { Logger } from 'pino'
import type { Bus } from '../bus/bus.ts'
import type { Place } from '../bus/streams.ts'
import { publish } from '../channels.ts'
import type { Waiting } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/** Refusals in a row after which the stream is taken for broken. */
const REFUSALS = 2

/**
 * Announces again what no one claimed: its notification may have been lost. Announcements are not waited for, so
 * here one is: a stream that is there and takes nothing, as one whose files vanished, is made anew.
 */
export function announceDuty(parts: {
  store: Store
  bus: Pick<Bus, 'remake'>
  places: Place[]
  afterSeconds: number
  announce(commands: Waiting[], again: boolean): void
  accepts(command: Waiting): Promise<boolean>
  log: Logger
}): Duty {
  let refusals = 0
  return {
    name: 'announce',
    everySeconds: Math.min(1, parts.afterSeconds),
    async run() {
      const unclaimed = await parts.store.takeUnclaimed({
        afterSeconds: parts.afterSeconds,
        limit: 1000,
      })
      const [first] = unclaimed
      if (first === undefined) return
      parts.announce(unclaimed, true)
      publish('noetl:upkeep', { what: 'announced', count: unclaimed.length })
      refusals = (await parts.accepts(first)) ? 0 : refusals + 1
      if (refusals < REFUSALS) return
      refusals = 0
      parts.log.warn('the stream of commands takes no messages and is made anew')
      await parts.bus.remake(parts.places)
      await parts.store.forgetAnnouncements()
      publish('noetl:upkeep', { what: 'rebuilt', count: 1 })
    },
  }
}

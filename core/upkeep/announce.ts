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
 * What makes a stream refuse may lie outside of it: an account at its limit, a full disk. Making it anew is then of no
 * use, and each time makes every waiting row due, which is a write for each.
 */
const REMAKE_PAUSE_MS = 60_000

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
  let remade = Number.NEGATIVE_INFINITY
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
      if (refusals < REFUSALS || performance.now() - remade < REMAKE_PAUSE_MS) return
      refusals = 0
      remade = performance.now()
      parts.log.warn('the stream of commands takes no messages and is made anew')
      await parts.bus.remake(parts.places)
      await parts.store.forgetAnnouncements()
      publish('noetl:upkeep', { what: 'rebuilt', count: 1 })
    },
  }
}

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

/** Keeps the last of what workers were shown, until it is taken. */
export function makeShown(): { note(command: Waiting): void; take(): Waiting | undefined } {
  let last: Waiting | undefined
  return {
    note(command) {
      last = command
    },
    take() {
      const taken = last
      last = undefined
      return taken
    },
  }
}

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
  /** A command that a worker was shown, for it had heard of none, since this was asked last. */
  shown(): Waiting | undefined
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
      if (unclaimed.length > 0) {
        parts.announce(unclaimed, true)
        publish('noetl:upkeep', { what: 'announced', count: unclaimed.length })
      }
      // Workers that ask for work leave nothing unclaimed, and would hide a broken stream for ever.
      const first = unclaimed[0] ?? parts.shown()
      if (first === undefined) return
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

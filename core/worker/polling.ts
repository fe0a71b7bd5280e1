import type { Logger } from 'pino'
import type { Delivery } from '../bus/deliveries.ts'
import type { Notification } from '../schemas/notification.ts'

/** Asks servers for work when the bus tells nothing, so that without it work is slower and does not stop. */
export interface Polling {
  /** The bus told something: it works. */
  told(): void
  /** A slot came free. */
  freed(): void
  stop(): void
}

/** So long without a word from the bus, a worker asks for itself; and so long after an answer of nothing. */
const QUIET_MS = 5000
/** The same, when the bus is known to be away. */
const AWAY_MS = 1000

export function makePolling(options: {
  /** Commands that wait, no more than so many. */
  ask: (limit: number) => Promise<Notification[]>
  free: () => number
  /** False: the bus is away, or keeps no streams. */
  busWorks: () => boolean
  onDelivery: (delivery: Delivery) => void
  log: Logger
}): Polling {
  const { ask, free, busWorks, onDelivery, log } = options
  let heard = Date.now()
  let asked = 0
  let fruitful = false
  let asking = false

  function mayAsk(): boolean {
    const pause = busWorks() ? QUIET_MS : AWAY_MS
    const now = Date.now()
    return !asking && free() > 0 && now - heard >= pause && (fruitful || now - asked >= pause)
  }

  async function poll(): Promise<void> {
    if (!mayAsk()) return
    asking = true
    try {
      const commands = await ask(free())
      fruitful = commands.length > 0
      for (const notification of commands) onDelivery(shown(notification))
    } catch (err) {
      fruitful = false
      log.debug({ err }, 'no server could be asked for work')
    } finally {
      asked = Date.now()
      asking = false
    }
  }

  const timer = setInterval(() => void poll(), AWAY_MS)
  return {
    told() {
      heard = Date.now()
      fruitful = false
    },
    freed: () => void poll(),
    stop: () => clearInterval(timer),
  }
}

/** What a server showed: nothing is left on the bus to be acknowledged, and upkeep announces it should it stay. */
function shown(notification: Notification): Delivery {
  const nothing = () => undefined
  return {
    notification,
    times: 1,
    sentAt: Date.now(),
    behind: 0,
    ack: nothing,
    retry: nothing,
    drop: nothing,
    working: nothing,
  }
}

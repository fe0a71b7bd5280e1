import type { Logger } from 'pino'

/** Something that must happen though nobody asks. */
export interface Duty {
  name: string
  /** Seconds between the end of one run and the next. */
  everySeconds: number
  run(): Promise<void>
}

export interface Upkeep {
  close(): Promise<void>
}

/**
 * Runs each duty again and again, none twice at once. Every server does so; rows are locked with SKIP
 * LOCKED and states are compared, so that two servers share the work instead of doing it twice.
 */
export function startUpkeep(duties: Duty[], log: Logger): Upkeep {
  let stopped = false
  const timers = new Set<NodeJS.Timeout>()
  const running = new Set<Promise<void>>()

  function schedule(duty: Duty, failing: boolean): void {
    if (stopped) return
    const timer = setTimeout(() => {
      timers.delete(timer)
      const run = once(duty, failing)
      running.add(run)
      void run.finally(() => running.delete(run))
    }, duty.everySeconds * 1000)
    timer.unref()
    timers.add(timer)
  }

  async function once(duty: Duty, failing: boolean): Promise<void> {
    let failed = false
    try {
      await duty.run()
      if (failing) log.info({ duty: duty.name }, 'upkeep works again')
    } catch (err) {
      failed = true
      // Said once; a server whose Postgres is away for an hour need not say it every second.
      if (!failing && !stopped) log.warn({ err, duty: duty.name }, 'upkeep failed; it is tried again')
    }
    schedule(duty, failed)
  }

  for (const duty of duties) schedule(duty, false)
  return {
    async close() {
      stopped = true
      for (const timer of timers) clearTimeout(timer)
      await Promise.all(running)
    },
  }
}

import type { Interpreter } from './interpreter.ts'

/** Warm interpreters: each call has one to itself, and the next finds one ready. */
export interface Pool {
  take(signal: AbortSignal): Promise<Interpreter>
  /** Gives one back; `fit` says whether another call may have it. */
  give(interpreter: Interpreter, fit: boolean): void
  /** Ends all; safe twice. */
  close(): Promise<void>
}

export function makePool(options: {
  start(): Interpreter
  maxProcesses: number
  /** Calls after which a process is replaced. */
  maxCalls: number
  /** Milliseconds after which idle ones are ended; one stays. */
  idleMs: number
}): Pool {
  const all = new Set<Interpreter>()
  let idle: { interpreter: Interpreter; since: number }[] = []
  const waiting: { give(interpreter: Interpreter): void; refuse(error: Error): void }[] = []
  let closed = false
  let sweeper: NodeJS.Timeout | undefined

  function start(): Interpreter {
    const interpreter = options.start()
    all.add(interpreter)
    void interpreter.exited.then(() => {
      all.delete(interpreter)
      idle = idle.filter((one) => one.interpreter !== interpreter)
      serve()
    })
    return interpreter
  }

  function add(interpreter: Interpreter): void {
    idle.push({ interpreter, since: Date.now() })
    if (sweeper === undefined) {
      sweeper = setInterval(sweep, Math.max(50, options.idleMs / 4))
      sweeper.unref()
    }
  }

  function sweep(): void {
    const before = Date.now() - options.idleMs
    for (const one of idle.slice(0, -1)) if (one.since < before) one.interpreter.kill()
  }

  /** Hands processes to those who wait, oldest first, and keeps one ready ahead. */
  function serve(): void {
    while (waiting.length > 0) {
      const interpreter = idle.pop()?.interpreter ?? (all.size < options.maxProcesses ? start() : undefined)
      if (interpreter === undefined) return
      waiting.shift()!.give(interpreter)
    }
  }

  function keepOneReady(): void {
    if (!closed && idle.length === 0 && all.size < options.maxProcesses) add(start())
  }

  return {
    take(signal) {
      if (closed) return Promise.reject(new Error('the python tool is closed'))
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          waiting.splice(waiting.indexOf(place), 1)
          reject(signal.reason)
        }
        const place = {
          give(interpreter: Interpreter) {
            signal.removeEventListener('abort', onAbort)
            resolve(interpreter)
          },
          refuse(error: Error) {
            signal.removeEventListener('abort', onAbort)
            reject(error)
          },
        }
        signal.addEventListener('abort', onAbort, { once: true })
        waiting.push(place)
        serve()
        // After the call has its process, so that starting the spare does not hold it up.
        setImmediate(keepOneReady)
      })
    },
    give(interpreter, fit) {
      if (closed || !fit || interpreter.calls >= options.maxCalls) interpreter.kill()
      else if (interpreter.alive) add(interpreter)
      serve()
    },
    async close() {
      closed = true
      clearInterval(sweeper)
      for (const place of waiting.splice(0)) place.refuse(new Error('the python tool is closed'))
      for (const interpreter of all) interpreter.kill()
      await Promise.all([...all].map((interpreter) => interpreter.exited))
    },
  }
}

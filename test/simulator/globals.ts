import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'
import { currentProcess, type Process } from './world.ts'

/**
 * Lets code of a simulated process see simulated time: `Date`, timers, `performance.now`, `setImmediate`, waits
 * and UUIDs. Code outside of one (the test, the runner) gets the real ones, so this is done once and for good.
 */
export function simulateGlobals(): void {
  if (globalThis.Date.name === SimulatedDate.name) return
  globalThis.Date = SimulatedDate as DateConstructor
  globalThis.setTimeout = simulatedTimeout as typeof setTimeout
  globalThis.setInterval = simulatedInterval as typeof setInterval
  globalThis.setImmediate = simulatedImmediate as typeof setImmediate
  globalThis.clearTimeout = clear(realClearTimeout) as typeof clearTimeout
  globalThis.clearInterval = clear(realClearInterval) as typeof clearInterval
  performance.now = () => currentProcess()?.world.now() ?? realPerformanceNow()
  timers.setTimeout = simulatedWait as typeof timers.setTimeout
  crypto.randomUUID = ((options) =>
    currentProcess()?.world.random.uuid() ?? realUuid(options)) as typeof crypto.randomUUID
  // What was imported by name from these modules follows.
  syncBuiltinESMExports()
}

const RealDate = Date
const realTimeout = setTimeout
const realInterval = setInterval
const realImmediate = setImmediate
const realClearTimeout = clearTimeout
const realClearInterval = clearInterval
const realPerformanceNow = performance.now.bind(performance)
const realWait = timers.setTimeout
const realUuid = crypto.randomUUID

class SimulatedDate extends RealDate {
  constructor(...given: [] | [number | string | Date]) {
    if (given.length === 0) super(currentProcess()?.wall() ?? RealDate.now())
    else super(...given)
  }
  static override now(): number {
    return currentProcess()?.wall() ?? RealDate.now()
  }
}

/** A timer of a simulated process. */
class SimulatedTimer {
  cancel: () => void = () => {}
  cancelled = false
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
  hasRef(): boolean {
    return true
  }
  stop(): void {
    this.cancelled = true
    this.cancel()
  }
}

function start(process: Process, ms: number, act: () => void, again: boolean): SimulatedTimer {
  const timer = new SimulatedTimer()
  const wait = Math.max(1, ms)
  const arm = () => {
    timer.cancel = process.world.after(wait, process, () => {
      if (again) arm()
      act()
    })
  }
  arm()
  return timer
}

function simulatedTimeout(act: (...rest: unknown[]) => void, ms = 0, ...rest: unknown[]): unknown {
  const process = currentProcess()
  if (process === undefined) return realTimeout(act, ms, ...rest)
  return start(process, ms, () => act(...rest), false)
}

function simulatedInterval(act: (...rest: unknown[]) => void, ms = 0, ...rest: unknown[]): unknown {
  const process = currentProcess()
  if (process === undefined) return realInterval(act, ms, ...rest)
  return start(process, ms, () => act(...rest), true)
}

function simulatedImmediate(act: (...rest: unknown[]) => void, ...rest: unknown[]): unknown {
  const process = currentProcess()
  if (process === undefined) return realImmediate(act, ...rest)
  const timer = new SimulatedTimer()
  timer.cancel = process.world.after(0, process, () => act(...rest))
  return timer
}

function clear(real: (timer: never) => void) {
  return (timer: unknown) => (timer instanceof SimulatedTimer ? timer.stop() : real(timer as never))
}

function simulatedWait(ms = 0, value?: unknown, options: { signal?: AbortSignal } = {}): Promise<unknown> {
  const process = currentProcess()
  if (process === undefined) return realWait(ms, value, options)
  return new Promise((resolve, reject) => {
    const { signal } = options
    const fail = () => reject(signal?.reason)
    if (signal?.aborted) return fail()
    const cancel = process.world.after(Math.max(1, ms), process, () => {
      signal?.removeEventListener('abort', stop)
      resolve(value)
    })
    const stop = () => {
      cancel()
      fail()
    }
    signal?.addEventListener('abort', stop, { once: true })
  })
}

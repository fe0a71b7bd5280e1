import { CallAborted, type ToolCall, ToolError } from '@noetl/core'
import type pg from 'pg'
import { sendCancel } from './cancel-request.ts'
import { connectFailure, endpoint } from './failures.ts'
import type { Pools } from './pools.ts'
import { mayLeaveState } from './session-state.ts'
import type { Settings } from './settings.ts'
import type { Statement } from './split-statements.ts'

/** One call's hold on a connection. */
export interface Session {
  client: pg.ClientBase
  /** Told each statement before it runs, to know what must be cleared away afterwards. */
  note(statement: Statement): void
  /** Throws why the call must end, if it must: its time is up or its signal was aborted. */
  throwIfStopped(): void
  /** Asks the server to stop the running statement. */
  cancel(): void
  inTransaction(): boolean
}

/** How long a cancelled statement may take to end before its connection is dropped instead. */
const CANCEL_GRACE_MS = 5_000
/** The server's own limit comes a little later than ours, and only counts when this process is gone. */
const SERVER_GRACE_MS = 1_000

/**
 * Lends connections to calls: within the time of the call, stopped on the server too when the call is,
 * and given back as they came. A connection about which that is not certain is closed.
 */
export function openSessions(pools: Pools) {
  /** The statement_timeout that was last set on a connection: setting it anew only when it differs. */
  const timeouts = new WeakMap<pg.ClientBase, number>()

  async function limitOnServer(client: pg.ClientBase, timeoutMs: number): Promise<void> {
    if (timeouts.get(client) === timeoutMs) return
    await client.query(`SET statement_timeout = ${timeoutMs}`)
    timeouts.set(client, timeoutMs)
  }

  return {
    async within<T>(
      options: { settings: Settings; seconds: number; call: ToolCall },
      using: (session: Session) => Promise<T>,
    ): Promise<T> {
      const { settings, seconds, call } = options
      const stop = stopOf(call, seconds, settings)
      try {
        stop.throwIfStopped()
        const client = await checkOut(pools.of(settings, call.log), stop, settings)
        // The pool listens only to idle connections; the running query hears of the break as well.
        const onError = () => {}
        client.on('error', onError)
        let reusable = false
        try {
          const after = await use(client, { settings, stop, using }, () =>
            limitOnServer(client, Math.ceil(seconds * 1000) + SERVER_GRACE_MS),
          )
          if (after.dirty) timeouts.delete(client)
          reusable = await restore(client, after)
          if ('error' in after.outcome) throw after.outcome.error
          return after.outcome.value
        } finally {
          client.off('error', onError)
          client.release(!reusable)
        }
      } finally {
        stop.dispose()
      }
    },
  }
}

type Stop = ReturnType<typeof stopOf>

/** The two things that end a call early, as one: its own time limit and the signal it was given. */
function stopOf(call: ToolCall, seconds: number, settings: Settings) {
  const controller = new AbortController()
  let late = false
  const onAbort = () => controller.abort()
  const timer = setTimeout(() => {
    late = true
    controller.abort()
  }, seconds * 1000)
  call.signal.addEventListener('abort', onAbort)
  return {
    signal: controller.signal,
    stopped: () => call.signal.aborted || late,
    throwIfStopped() {
      if (call.signal.aborted) {
        const { reason } = call.signal
        if (!(reason instanceof CallAborted) || reason.why !== 'deadline') throw reason
        throw new ToolError(
          'db_timeout',
          `The SQL at ${endpoint(settings)} still ran when the time of the call was up.`,
          {
            cause: reason,
          },
        )
      }
      if (late)
        throw new ToolError('db_timeout', `The SQL at ${endpoint(settings)} took longer than ${seconds} s.`)
    },
    dispose() {
      clearTimeout(timer)
      call.signal.removeEventListener('abort', onAbort)
    },
  }
}

/** Waits for a free connection as long as the call may; one that comes too late goes back unused. */
async function checkOut(pool: pg.Pool, stop: Stop, settings: Settings): Promise<pg.PoolClient> {
  const arriving = pool.connect()
  const stopped = Promise.withResolvers<'stopped'>()
  const onStop = () => stopped.resolve('stopped')
  stop.signal.addEventListener('abort', onStop)
  try {
    const client = await Promise.race([arriving, stopped.promise])
    if (client !== 'stopped') return client
  } catch (error) {
    throw connectFailure(error, settings)
  } finally {
    stop.signal.removeEventListener('abort', onStop)
  }
  arriving.then(
    (client) => client.release(),
    () => {},
  )
  stop.throwIfStopped()
  throw new Error('a call ended without a reason')
}

interface After<T> {
  outcome: { value: T } | { error: unknown }
  /** Something may be left on the connection that the next call would see. */
  dirty: boolean
  /** A cancel request is under way, and whether it hits this statement or the next one is open. */
  cancelled: boolean
}

/** Runs `using` on the connection; a stop cancels what runs, and does not wait for ever for the answer. */
async function use<T>(
  client: pg.ClientBase,
  options: { settings: Settings; stop: Stop; using: (session: Session) => Promise<T> },
  prepare: () => Promise<void>,
): Promise<After<T>> {
  const { settings, stop, using } = options
  const gaveUp = Promise.withResolvers<never>()
  let dirty = false
  let cancelling: Promise<void> | undefined
  let grace: NodeJS.Timeout | undefined
  const cancel = () => {
    cancelling ??= sendCancel(client, settings)
    grace ??= setTimeout(() => gaveUp.reject(unanswered(stop, settings)), CANCEL_GRACE_MS)
  }
  const run = async () => {
    await prepare().catch((error: unknown) => {
      throw connectFailure(error, settings)
    })
    return using({
      client,
      note(statement) {
        dirty ||= mayLeaveState(statement)
      },
      throwIfStopped: stop.throwIfStopped,
      cancel,
      inTransaction: () => client.getTransactionStatus() !== 'I',
    })
  }
  stop.signal.addEventListener('abort', cancel)
  let outcome: After<T>['outcome']
  try {
    outcome = { value: await Promise.race([run(), gaveUp.promise]) }
  } catch (error) {
    outcome = { error }
  }
  clearTimeout(grace)
  stop.signal.removeEventListener('abort', cancel)
  await cancelling
  return { outcome, dirty, cancelled: cancelling !== undefined }
}

function unanswered(stop: Stop, settings: Settings): unknown {
  try {
    stop.throwIfStopped()
  } catch (reason) {
    return reason
  }
  return new ToolError(
    'db_connection',
    `Postgres at ${endpoint(settings)} did not stop a statement when asked to.`,
  )
}

/** Brings the connection back to how it was; false when it must be closed instead. */
async function restore(client: pg.ClientBase, after: After<unknown>): Promise<boolean> {
  if (after.cancelled) return false
  const late = Promise.withResolvers<false>()
  const timer = setTimeout(() => late.resolve(false), CANCEL_GRACE_MS)
  const restoring = async () => {
    // After a failure the driver does not know yet whether a transaction is open; asking costs the same.
    if ('error' in after.outcome) await client.query('ROLLBACK')
    if (after.dirty) await client.query('DISCARD ALL')
    return true
  }
  try {
    return await Promise.race([restoring(), late.promise])
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
}

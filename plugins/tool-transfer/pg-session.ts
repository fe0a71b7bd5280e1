import { Socket } from 'node:net'
import pg from 'pg'
import { commitFailure, pgFailure, type Side } from './pg-failures.ts'
import type { Settings } from './pg-settings.ts'
import type { Stop } from './stop.ts'

/** One connection with one transaction, of one transfer. */
export interface PgSession {
  client: pg.Client
  /** Past here a stop is not heeded any more: either the whole transfer is there or nothing of it. */
  commit(): Promise<void>
}

/** How long a connection may take to end in peace. */
const END_MS = 2_000
const CANCEL_MS = 3_000
/** The server's own limit comes a little later than ours, and only counts when this process is gone. */
const SERVER_GRACE_MS = 10_000

/**
 * Opens a connection and a transaction for `using`. A stop cancels on the server what runs there; so does a
 * failure, whichever end it comes from. The connection is closed afterwards, and with it what was not committed.
 */
export async function onPostgres<T>(
  settings: Settings,
  about: { side: Side; stop: Stop; seconds: number; connectMs: number },
  using: (session: PgSession) => Promise<T>,
): Promise<T> {
  const { side, stop } = about
  const socket = new Socket()
  const client = open(settings, { connectMs: about.connectMs, stream: () => socket })
  let pid: number | undefined
  let breaking: Promise<void> | undefined
  const breakOff = () => {
    breaking ??= (pid === undefined ? Promise.resolve() : cancel(settings, pid)).finally(() =>
      socket.destroy(),
    )
  }
  stop.signal.addEventListener('abort', breakOff)
  try {
    stop.throwIfStopped()
    await client.connect()
    await client.query(side === 'source' ? 'BEGIN READ ONLY' : 'BEGIN')
    pid = await prepare(client, about.seconds * 1000 + SERVER_GRACE_MS)
    stop.throwIfStopped()
    const result = await using({
      client,
      async commit() {
        stop.throwIfStopped()
        stop.signal.removeEventListener('abort', breakOff)
        await client.query('COMMIT').catch((error: unknown) => {
          throw commitFailure(error, settings)
        })
      },
    })
    await end(client, socket)
    return result
  } catch (error) {
    breakOff()
    throw pgFailure(error, side, settings)
  } finally {
    stop.signal.removeEventListener('abort', breakOff)
    await breaking
  }
}

/** Settings of the transaction alone: how values are written and read, and limits for when nobody is left to stop it. */
async function prepare(client: pg.Client, limitMs: number): Promise<number> {
  const limit = String(Math.min(Math.ceil(limitMs), 2 ** 31 - 1))
  const wanted = {
    datestyle: 'ISO',
    intervalstyle: 'postgres',
    bytea_output: 'hex',
    extra_float_digits: '1',
    statement_timeout: limit,
    idle_in_transaction_session_timeout: limit,
  }
  const calls = Object.entries(wanted).map(([name, value]) => `set_config('${name}', '${value}', true)`)
  const { rows } = await client.query<{ pid: number }>(`SELECT pg_backend_pid() AS pid, ${calls.join(', ')}`)
  return rows[0]!.pid
}

function open(
  settings: Settings,
  more: { connectMs: number; stream?: () => Socket; query_timeout?: number },
) {
  const { connectMs, ...rest } = more
  const client = new pg.Client({
    ...settings,
    ...rest,
    connectionTimeoutMillis: connectMs,
    application_name: 'noetl-tool-transfer',
    keepAlive: true,
  })
  // Whoever waits for an answer hears of the break as well; unheard, the event would end the process.
  client.on('error', () => {})
  return client
}

/** Stops what a backend runs, by way of another connection. What cannot be reached ends with its own connection. */
async function cancel(settings: Settings, pid: number): Promise<void> {
  const socket = new Socket()
  const client = open(settings, { connectMs: CANCEL_MS, query_timeout: CANCEL_MS, stream: () => socket })
  try {
    await client.connect()
    await client.query('SELECT pg_cancel_backend($1)', [pid])
    await end(client, socket)
  } catch {
    socket.destroy()
  }
}

async function end(client: pg.Client, socket: Socket): Promise<void> {
  const timer = setTimeout(() => socket.destroy(), END_MS)
  await client.end()
  clearTimeout(timer)
}

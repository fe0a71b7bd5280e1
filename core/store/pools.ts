import pg from 'pg'
import type { Logger } from 'pino'
import { makeError } from '../errors.ts'
import { parseJson } from '../schemas/json.ts'

/** The server's connections to Postgres. */
export interface Pools {
  /** Commits are on disk when they are answered. Everything that counts goes here. */
  durable: pg.Pool
  /**
   * Commits reach the disk a moment later. For what may be lost in a crash of Postgres and only costs
   * a repeat: claims and renewals.
   */
  relaxed: pg.Pool
  close(): Promise<void>
}

/** Opens both pools; connections are made when first used. */
export function openPools(options: {
  url: string
  maxConnections: number
  onError(error: Error): void
}): Pools {
  const relaxedSize = Math.max(2, Math.ceil(options.maxConnections / 4))
  const durable = openPool(options.url, options.maxConnections - relaxedSize, 'noetl-server')
  const relaxed = openPool(options.url, relaxedSize, 'noetl-server-claims', '-c synchronous_commit=off')
  for (const pool of [durable, relaxed]) pool.on('error', options.onError)
  let closed: Promise<void> | undefined
  return {
    durable,
    relaxed,
    close() {
      closed ??= Promise.all([durable.end(), relaxed.end()]).then(() => undefined)
      return closed
    },
  }
}

/**
 * Connections for reading beside the work, opened when first used: few, so that they take nothing from it, and
 * soon out of patience.
 */
export function openReadPool(options: { url: string; onError(error: Error): void }): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: 2,
    application_name: 'noetl-server-plugins',
    connectionTimeoutMillis: 2000,
    idleTimeoutMillis: 60_000,
    statement_timeout: 2000,
    options: '-c default_transaction_read_only=on',
  })
  pool.on('error', options.onError)
  return pool
}

function openPool(
  connectionString: string,
  max: number,
  application_name: string,
  options?: string,
): pg.Pool {
  return new pg.Pool({
    connectionString,
    max: Math.max(1, max),
    application_name,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    statement_timeout: 30_000,
    types: { getTypeParser },
    ...(options === undefined ? {} : { options }),
  })
}

/** JSON with all digits of its numbers, other types as the driver reads them. */
const getTypeParser: typeof pg.types.getTypeParser = ((oid: number, format: 'text') =>
  format === undefined || format === 'text'
    ? oid === 114 || oid === 3802
      ? parseJson
      : pg.types.getTypeParser(oid, 'text')
    : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser

/** Waits until Postgres answers, and says so while it does not. Throws NOETL_ERR_STORE_UNREACHABLE. */
export async function waitForStore(
  pool: pg.Pool,
  options: { url: string; patienceMs: number; log: Logger },
): Promise<void> {
  const until = Date.now() + options.patienceMs
  const url = shownUrl(options.url)
  for (let attempt = 1; ; attempt++) {
    try {
      await pool.query('SELECT 1')
      return
    } catch (error) {
      const why = reasonOf(error)
      if (Date.now() >= until || !isTransient(error)) {
        throw makeError('NOETL_ERR_STORE_UNREACHABLE', [url, why], { cause: error })
      }
      options.log.warn({ url, attempt, why }, 'Postgres does not answer yet; trying again')
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000, 100 * attempt)))
    }
  }
}

/** A database URL as it may be shown: without its password. */
export function shownUrl(url: string): string {
  return url.replace(/\/\/([^:@/]+):[^@/]*@/, '//$1:***@').replace(/([?&]password=)[^&]*/i, '$1***')
}

/** Several addresses of one name fail as one error without a message of its own. */
function reasonOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : []
  return String((errors[0] as Error | undefined)?.message ?? (error as Error).message)
}

/** True when the failure is of the connection or the server's state, so that trying again may help. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return (
    /^(08|57P|53|40)/.test(code) ||
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'].includes(code) ||
    /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/.test(
      error.message,
    )
  )
}

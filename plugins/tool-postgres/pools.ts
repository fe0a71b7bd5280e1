import { createHash } from 'node:crypto'
import type { ToolLog } from '@noetl/core'
import pg from 'pg'
import type { Settings } from './settings.ts'

export interface PoolLimits {
  /** Connections per credential. */
  maxConnections: number
  /** Credentials whose pools are kept; beyond it the one unused for longest goes. */
  maxPools: number
  idleMs: number
  connectMs: number
}

/** One pool per database and user, opened when first asked for. */
export interface Pools {
  of(settings: Settings, log: ToolLog): pg.Pool
  close(): Promise<void>
}

export function openPools(limits: PoolLimits): Pools {
  // In order of use: the first was unused for longest.
  const pools = new Map<string, pg.Pool>()
  const ending = new Set<Promise<void>>()
  let closed: Promise<void> | undefined

  const end = (key: string, pool: pg.Pool) => {
    pools.delete(key)
    const ended = pool.end().finally(() => ending.delete(ended))
    ending.add(ended)
  }

  return {
    of(settings, log) {
      if (closed !== undefined) throw new Error('the postgres tool is closed')
      const key = createHash('sha256').update(JSON.stringify(settings)).digest('base64')
      const pool = pools.get(key) ?? openPool(settings, limits, log)
      pools.delete(key)
      pools.set(key, pool)
      if (pools.size > limits.maxPools) {
        for (const [other, unused] of pools) {
          if (unused !== pool && unused.totalCount === unused.idleCount && unused.waitingCount === 0) {
            end(other, unused)
            break
          }
        }
      }
      return pool
    },
    close() {
      closed ??= (async () => {
        for (const [key, pool] of pools) end(key, pool)
        await Promise.all(ending)
      })()
      return closed
    },
  }
}

function openPool(settings: Settings, limits: PoolLimits, log: ToolLog): pg.Pool {
  const pool = new pg.Pool({
    ...settings,
    max: limits.maxConnections,
    idleTimeoutMillis: limits.idleMs,
    application_name: 'noetl-tool-postgres',
    keepAlive: true,
    Client: clientWithin(limits.connectMs),
  })
  // An idle connection that breaks is gone from the pool already; unheard, the event would end the process.
  pool.on('error', (error) => log.debug({ err: error.message }, 'an idle connection to Postgres broke'))
  return pool
}

/**
 * A client that gives up connecting after `connectMs`. The pool's own limit of that name would also
 * count the wait for a free connection, and that may last as long as the call has time.
 */
function clientWithin(connectMs: number): typeof pg.Client {
  return class extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      // The pool hides the password from enumeration, and so from the spread.
      super({
        ...config,
        ...(config?.password === undefined ? {} : { password: config.password }),
        connectionTimeoutMillis: connectMs,
      })
    }
  }
}

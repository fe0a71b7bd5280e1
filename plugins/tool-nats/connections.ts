import { createHash } from 'node:crypto'
import { ToolError } from '@noetl/core'
import { type ConnectionOptions, connect, credsAuthenticator, type NatsConnection } from 'nats'
import { brokenFailure, connectFailure } from './failures.ts'
import type { Settings } from './settings.ts'

export interface ConnectionLimits {
  /** Credentials with an open connection at a time; beyond it the one unused for longest goes. */
  maxConnections: number
  idleMs: number
  connectMs: number
}

/** One connection per credential, opened when first used, closed when it was not for a while. */
export interface Connections {
  /** Lends the connection; rejects as soon as it breaks, though `using` may still wait for an answer. */
  within<T>(settings: Settings, using: (connection: NatsConnection) => Promise<T>): Promise<T>
  close(): Promise<void>
}

interface Entry {
  opening: Promise<NatsConnection>
  /** Absent until it is open. */
  connection?: NatsConnection
  /** How to end the calls that use it now. */
  users: Set<(error: ToolError) => void>
  idle?: NodeJS.Timeout
}

/** A server that says nothing is asked this often, and given up after the second silence. */
const PING_MS = 10_000

/**
 * A connection that breaks is not mended but dropped: the client would keep what was sent meanwhile and
 * send it once the server is back, when the call that wanted it has failed long ago and may have been
 * repeated. The next call opens a new one.
 */
export function openConnections(limits: ConnectionLimits): Connections {
  // In order of use: the first was unused for longest.
  const entries = new Map<string, Entry>()
  let closed: Promise<void> | undefined

  function open(key: string, settings: Settings): Entry {
    const entry: Entry = { opening: connect(optionsOf(settings, limits.connectMs)), users: new Set() }
    const forget = () => {
      clearTimeout(entry.idle)
      if (entries.get(key) === entry) entries.delete(key)
    }
    entry.opening.then(async (connection) => {
      entry.connection = connection
      if (closed !== undefined) void connection.close()
      await connection.closed()
      forget()
      for (const end of entry.users) end(brokenFailure(settings))
    }, forget)
    return entry
  }

  function end(key: string, entry: Entry): Promise<void> {
    clearTimeout(entry.idle)
    if (entries.get(key) === entry) entries.delete(key)
    // One that is still opening is closed when it is open: nothing can stop the client before.
    return entry.connection?.close() ?? Promise.resolve()
  }

  function take(settings: Settings): { key: string; entry: Entry } {
    if (closed !== undefined) throw new ToolError('cancelled', 'The nats tool is closed: its worker stops.')
    const key = createHash('sha256').update(JSON.stringify(settings)).digest('base64')
    const entry = entries.get(key) ?? open(key, settings)
    clearTimeout(entry.idle)
    entries.delete(key)
    entries.set(key, entry)
    if (entries.size > limits.maxConnections) {
      const unused = [...entries].find(([, other]) => other !== entry && other.users.size === 0)
      if (unused !== undefined) void end(...unused)
    }
    return { key, entry }
  }

  return {
    async within(settings, using) {
      const { key, entry } = take(settings)
      const broken = Promise.withResolvers<never>()
      broken.promise.catch(() => {})
      entry.users.add(broken.reject)
      try {
        const connection = await entry.opening.catch((error: unknown) => {
          throw connectFailure(error, settings)
        })
        if (connection.isClosed()) throw brokenFailure(settings)
        const work = using(connection)
        work.catch(() => {})
        return await Promise.race([work, broken.promise])
      } finally {
        entry.users.delete(broken.reject)
        if (entry.users.size === 0) {
          clearTimeout(entry.idle)
          entry.idle = setTimeout(() => void end(key, entry), limits.idleMs).unref()
        }
      }
    },
    close() {
      closed ??= Promise.all([...entries].map(([key, entry]) => end(key, entry))).then(() => undefined)
      return closed
    },
  }
}

function optionsOf(settings: Settings, connectMs: number): ConnectionOptions {
  const { servers, user, password, token, creds, tls, ca } = settings
  return {
    servers,
    name: 'noetl-tool-nats',
    reconnect: false,
    timeout: connectMs,
    pingInterval: PING_MS,
    noAsyncTraces: true,
    ...(user === null ? {} : { user, pass: password }),
    ...(token === null ? {} : { token }),
    ...(creds === null ? {} : { authenticator: credsAuthenticator(new TextEncoder().encode(creds)) }),
    ...(tls || ca !== null ? { tls: ca === null ? {} : { ca } } : {}),
  }
}

import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { isLoopback } from '../config.ts'
import { makeError } from '../errors.ts'

/**
 * Without a token only this machine may ask, and a web page that it shows must not: by a name of its own that leads
 * to 127.0.0.1 (DNS rebinding) a page is of the same origin as this server. So the name that was asked for must be an
 * address, localhost, or one that the configuration names.
 */
export function requireHost(app: FastifyInstance, names: readonly string[]): void {
  const known = new Set(['localhost', ...names.map((name) => name.toLowerCase())])
  app.addHook('onRequest', async (request) => {
    const { host } = request.headers
    // Browsers always say it.
    if (host === undefined) return
    const name = nameIn(host)
    if (isIP(name) === 0 && !known.has(name)) throw makeError('NOETL_ERR_REQUEST_HOST', [host.slice(0, 100)])
  })
}

/** Refuses to give secrets to another machine, unless who asks has shown a token. `what`: whose data it is. */
export function refuseRemote({ ip }: { ip: string }, apiToken: string | undefined, what: string): void {
  if (apiToken !== undefined || isLoopback(ip.replace(/^::ffff:/, ''))) return
  throw makeError('NOETL_ERR_CREDENTIAL_REMOTE', [what, ip])
}

/** The host without its port, and a name without the dot at its end. */
function nameIn(host: string): string {
  const inBrackets = /^\[([^\]]*)\](:\d*)?$/.exec(host)
  if (inBrackets !== null) return inBrackets[1]!
  return host.replace(/:\d*$/, '').replace(/\.$/, '').toLowerCase()
}

import { timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { makeError } from './errors.ts'

/** Refuses requests that do not carry the token, but for those to paths that answer anyone. No token: all may. */
export function requireToken(
  app: FastifyInstance,
  { apiToken, openPaths }: { apiToken: string | undefined; openPaths: readonly string[] },
): void {
  if (apiToken === undefined) return
  app.addHook('onRequest', async (request) => {
    if (openPaths.includes(request.url.split('?')[0] ?? '')) return
    const given = request.headers.authorization?.replace(/^Bearer /i, '') ?? ''
    if (!same(given, apiToken)) throw makeError('NOETL_ERR_REQUEST_UNAUTHORIZED', [])
  })
}

function same(given: string, wanted: string): boolean {
  const a = Buffer.from(given)
  const b = Buffer.from(wanted)
  return a.length === b.length && timingSafeEqual(a, b)
}

import type { FastifyInstance } from 'fastify'
import type { Instruments } from './instruments.ts'

/** Groups of routes, by how their paths begin behind the prefix; the first that fits. */
const GROUPS: readonly (readonly [RegExp, string])[] = [
  [/^\/(healthz|readyz|metrics|health)$/, 'probes'],
  [/^\/commands\/claim$|^\/commands\/:id\/claim$|^\/queue\/lease$/, 'claim'],
  [/^\/commands\/renew$|^\/queue\/:id\/heartbeat$/, 'renew'],
  [/^\/commands\/release$/, 'release'],
  [/^\/(execute|run|executions\/run)\b/, 'execute'],
  [/^\/events?\b/, 'events'],
  [/^\/executions?\b/, 'executions'],
  [/^\/catalog\b/, 'catalog'],
]

/** The group of a route as it was declared, `/api/v2/executions/:id`; what has no route is of the others. */
export function groupOf(route: string | undefined): string {
  const path = (route ?? '').replace(/^\/api(\/v2)?(?=\/)/, '')
  return GROUPS.find(([pattern]) => pattern.test(path))?.[1] ?? 'other'
}

/** Counts requests and the time that their answers took. */
export function aboutRequests(app: FastifyInstance, { count, observe }: Instruments): void {
  app.addHook('onResponse', async (request, reply) => {
    const route = groupOf(request.routeOptions.url)
    count('noetl_http_requests_total', { route, code: `${Math.floor(reply.statusCode / 100)}xx` })
    observe('noetl_http_request_duration_seconds', { route }, reply.elapsedTime / 1000)
  })
}

import type { FastifyInstance } from 'fastify'
import { STREAM } from '../bus/streams.ts'
import { sayUnserved } from '../store/unserved.ts'
import type { Parts } from './parts.ts'

/** `/healthz`: the process answers. `/readyz`: it can do its work, which takes Postgres; NATS may be away for a while. */
export function healthRoutes(app: FastifyInstance, parts: Parts, version: string): void {
  app.get('/healthz', { schema: { summary: 'The process is alive' } }, () => ({ status: 'ok' }))

  for (const path of ['/health', '/api/health']) {
    app.get(path, { schema: { summary: 'The process is alive' } }, () => ({ status: 'ok', version }))
  }

  for (const path of ['/api/health/postgres', '/api/v2/health/postgres']) {
    app.get(
      path,
      { schema: { summary: 'What was measured of Postgres within the last minute' } },
      async () => {
        const health = await parts.postgres.health()
        return { status: health.warnings.length > 0 ? 'warning' : 'ok', ...health }
      },
    )
  }

  app.get('/readyz', { schema: { summary: 'The server can do its work' } }, async (_request, reply) => {
    const store = await parts.pools.durable.query('SELECT 1').then(
      () => 'ok',
      (error: Error & { code?: string }) => error.code ?? error.message,
    )
    const bus = parts.bus.connected() ? 'ok' : 'away; commands are announced when it is back'
    const ready = store === 'ok'
    const { brokenPlugins } = parts
    const unserved = ready ? await parts.unserved.places().catch(() => []) : []
    return reply.code(ready ? 200 : 503).send({
      ...{ status: ready ? 'ok' : 'unavailable', postgres: store, nats: bus, stream: STREAM, version },
      ...(unserved.length === 0 ? {} : { warnings: unserved.map(sayUnserved) }),
      ...(brokenPlugins.length === 0 ? {} : { broken_plugins: brokenPlugins }),
    })
  })
}

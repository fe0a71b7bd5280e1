import type { Gateway } from '@noetl/core'
import fp from 'fastify-plugin'
import { aboutServer } from './server.ts'
import { aboutWorker } from './worker.ts'

declare module 'fastify' {
  interface FastifyInstance {
    noetl: Gateway
  }
}

export default fp(
  async (app) => {
    const { noetl } = app
    if (!isWanted(process.env)) return
    // The SDK is loaded only where it is used: a gateway that traces nothing pays nothing.
    const { openExport } = await import('./export.ts')
    const spans = openExport(noetl)
    app.addHook('onClose', () => spans.close())
    if (noetl.role === 'worker') aboutWorker(noetl, spans)
    else aboutServer(app, noetl, spans)
  },
  { name: '@noetl/tracing', fastify: '5.x', decorators: { fastify: ['noetl'] } },
)

/** Off unless the environment says where spans go, by the names that OpenTelemetry gives. */
function isWanted(env: NodeJS.ProcessEnv): boolean {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return false
  const exporter = env.OTEL_TRACES_EXPORTER?.trim()
  if (exporter !== undefined && exporter !== '') return exporter.split(',').includes('otlp')
  return Boolean(env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?.trim() || env.OTEL_EXPORTER_OTLP_ENDPOINT?.trim())
}

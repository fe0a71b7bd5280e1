import { readTraceparent, type ServerGateway } from '@noetl/core'
import type { Span } from '@opentelemetry/api'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Spans } from './export.ts'

/** Routes that start executions. */
const STARTS = /\/(execute|execute\/batch|run\/:resource_type|executions\/:id\/rerun)$/

/** A span for each request that starts executions, and one for each execution that ends. */
export function aboutServer(app: FastifyInstance, noetl: ServerGateway, spans: Spans): void {
  const open = new WeakMap<FastifyRequest, Span>()

  app.addHook('onRequest', async (request) => {
    const { url } = request.routeOptions
    if (url === undefined || !STARTS.test(url)) return
    const span = spans.begin(`${request.method} ${url}`, {
      above: readTraceparent(request.headers.traceparent),
      attributes: { 'http.request.method': request.method, 'http.route': url },
    })
    open.set(request, span)
    const { traceId, spanId, traceFlags } = span.spanContext()
    // What the execution then takes for its caller.
    request.raw.headers.traceparent = `00-${traceId}-${spanId}-${traceFlags & 1 ? '01' : '00'}`
  })

  app.addHook('onResponse', async (request, reply) => {
    const span = open.get(request)
    if (span === undefined) return
    span.setAttribute('http.response.status_code', reply.statusCode)
    span.end()
  })

  noetl.listen('noetl:events', ({ execution_id, path, status, seconds = 0, trace }) => {
    if (trace === undefined || status === 'RUNNING') return
    const { traceparent, parent, link } = trace
    spans.tell({
      name: `execution ${path}`,
      kind: 'internal',
      ...{ traceparent, parent, link, seconds },
      attributes: {
        'noetl.execution_id': execution_id,
        'noetl.path': path,
        'noetl.status': status,
      },
      error: status === 'COMPLETED' ? undefined : status.toLowerCase(),
    })
  })
}

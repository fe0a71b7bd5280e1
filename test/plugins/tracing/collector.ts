import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../../support/teardown.ts'

/** A span as a collector reads it. */
export interface CollectedSpan {
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  name: string
  service: string
  attributes: Record<string, unknown>
  links: { traceId: string; spanId: string }[]
  seconds: number
  failed: boolean
}

/** Takes spans as OTLP/HTTP brings them, in JSON; `text` is all that came, as it came. */
export async function testCollector(
  t: Teardown,
): Promise<{ url: string; spans: CollectedSpan[]; text(): string }> {
  const spans: CollectedSpan[] = []
  let text = ''
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const part of request.setEncoding('utf8')) body += part
    if (request.url === '/v1/traces' && request.headers['content-type'] === 'application/json') {
      text += body
      spans.push(...read(JSON.parse(body)))
      response.setHeader('content-type', 'application/json').end('{}')
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(
    () =>
      new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      }),
  )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, text: () => text }
}

interface Value {
  stringValue?: string
  intValue?: number | string
  doubleValue?: number
}
type Attributes = { key: string; value: Value }[]
interface Otlp {
  resourceSpans: {
    resource: { attributes: Attributes }
    scopeSpans: {
      spans: {
        traceId: string
        spanId: string
        parentSpanId?: string
        name: string
        startTimeUnixNano: string
        endTimeUnixNano: string
        attributes: Attributes
        links?: { traceId: string; spanId: string }[]
        status: { code?: number }
      }[]
    }[]
  }[]
}

function read({ resourceSpans }: Otlp): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap(({ spans }) => spans)
      .map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId || undefined,
        name: span.name,
        service: String(plain(resource.attributes)['service.name']),
        attributes: plain(span.attributes),
        links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
        seconds: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e9,
        failed: span.status.code === 2,
      })),
  )
}

function plain(attributes: Attributes): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? (value.intValue === undefined ? value.doubleValue : Number(value.intValue)),
    ]),
  )
}

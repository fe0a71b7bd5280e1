import type { Gateway } from '@noetl/core'
import {
  type Attributes,
  type Context,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  BatchSpanProcessor,
  type IdGenerator,
  RandomIdGenerator,
} from '@opentelemetry/sdk-trace-base'

/** One span, told when it has ended. */
export interface Told {
  name: string
  kind: 'internal' | 'consumer'
  traceparent: string
  /** Id of the span above; absent: it is the top of its trace. */
  parent?: string | undefined
  /** Traceparent of a span in another place that it follows. */
  link?: string | undefined
  seconds: number
  attributes: Attributes
  /** Kind of the error; undefined: it went well. */
  error?: string | undefined
}

export interface Spans {
  /** Tells a span whose ids are known; nothing when its trace is not sampled. */
  tell(span: Told): void
  /** Begins a span under the one of a header; without a header, a trace, if the sampler wants it. */
  begin(name: string, about: { above: string | undefined; attributes: Attributes }): Span
  /** Sends what there is; safe twice. */
  close(): Promise<void>
}

/** How long the last spans may take to be sent when the process stops, in milliseconds. */
const CLOSE_MS = 3000
const KINDS = { internal: SpanKind.INTERNAL, consumer: SpanKind.CONSUMER } as const

/** Spans on their way to a collector, in batches; all settings are the standard `OTEL_*` variables. */
export function openExport(noetl: Gateway): Spans {
  diag.setLogger(
    {
      error: (why) => noetl.log.warn({ why }, 'spans could not be sent'),
      warn: (why) => noetl.log.warn({ why }, 'the OpenTelemetry SDK warns'),
      ...{ info: () => {}, debug: () => {}, verbose: () => {} },
    },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  const ids = idsAsTold()
  const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter())]
  const resource = resourceFromAttributes({
    'service.name': `noetl-${noetl.role}`,
    'service.version': noetl.version,
    ...(noetl.role === 'worker' ? { 'service.instance.id': noetl.config.name } : {}),
  }).merge(detectResources({ detectors: [envDetector] }))
  const common = { resource, spanProcessors, idGenerator: ids }
  // Whether a trace is sampled is decided once, where it begins; below, its flag says so.
  const atTop = new BasicTracerProvider(common).getTracer('@noetl/tracing')
  const below = new BasicTracerProvider({ ...common, sampler: new AlwaysOnSampler() }).getTracer(
    '@noetl/tracing',
  )
  let closed: Promise<void> | undefined
  return {
    tell({ name, traceparent, parent, link, seconds, attributes, error, kind }) {
      const own = read(traceparent)
      if ((own.traceFlags & 1) === 0) return
      const endTime = Date.now()
      ids.next = own
      const span = below.startSpan(
        name,
        {
          kind: KINDS[kind],
          startTime: endTime - seconds * 1000,
          attributes,
          links: link === undefined ? [] : [{ context: read(link) }],
        },
        parent === undefined ? ROOT_CONTEXT : under({ ...own, spanId: parent }),
      )
      ids.next = undefined
      if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error })
      span.end(endTime)
    },
    begin(name, { above, attributes }) {
      const context = above === undefined ? ROOT_CONTEXT : under(read(above))
      return atTop.startSpan(name, { kind: SpanKind.SERVER, attributes }, context)
    },
    close() {
      closed ??= within(CLOSE_MS, spanProcessors[0]!.shutdown()).catch(() => {})
      return closed
    },
  }
}

/** Ids that were told beforehand, for the next span; else random ones. */
function idsAsTold(): IdGenerator & { next: SpanContext | undefined } {
  const random = new RandomIdGenerator()
  return {
    next: undefined,
    generateTraceId() {
      return this.next?.traceId ?? random.generateTraceId()
    },
    generateSpanId() {
      return this.next?.spanId ?? random.generateSpanId()
    },
  }
}

function read(traceparent: string): SpanContext {
  const [, traceId = '', spanId = '', flags = '0'] = traceparent.split('-')
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
}

function under(context: SpanContext): Context {
  return trace.setSpanContext(ROOT_CONTEXT, context)
}

async function within(ms: number, ending: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([ending, late])
  clearTimeout(timer)
}

import { createHash } from 'node:crypto'

/**
 * Where an execution stands in the traces of its callers, by W3C's trace context. Ids of spans follow from ids
 * of the gateway, so that any server and any worker can tell any part of a tree, whoever told the others.
 */
export interface Trace {
  /** Of the execution's own span. */
  traceparent: string
  /** Span that started it; absent: it has a trace of its own. */
  parent?: string
  /** Traceparent of what it was started by from within another trace. */
  link?: string
}

/** Where a command stands; its own span is told by `commandTrace`. */
export interface CommandTrace {
  /** Of its execution's span. */
  traceparent: string
  /** Of what it waited for: the command before it, or the execution that it called. */
  link?: string
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** A `traceparent` header; undefined when it is none that can be followed. */
export function readTraceparent(value: unknown): string | undefined {
  return typeof value === 'string' && TRACEPARENT.test(value) ? value : undefined
}

export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35)
}

/** With another span of the same trace. */
export function withSpan(traceparent: string, spanId: string): string {
  return `00-${traceIdOf(traceparent)}-${spanId}-${traceparent.slice(53)}`
}

/** Id of an execution's span, and of a command's first: their ids are 64-bit numbers, as ids of spans are. */
export function spanIdOf(id: string): string {
  return BigInt(id).toString(16).padStart(16, '0')
}

/** Traceparent of one attempt of a command. */
export function commandTraceparent(
  { traceparent }: CommandTrace,
  commandId: string,
  attempt: number,
): string {
  const spanId = attempt <= 1 ? spanIdOf(commandId) : digest(`${commandId}/${attempt}`).slice(0, 16)
  return withSpan(traceparent, spanId)
}

/** Of an execution that a client started with a traceparent. */
export function clientTrace(executionId: string, traceparent: string): Trace {
  return { traceparent: withSpan(traceparent, spanIdOf(executionId)), parent: traceparent.slice(36, 52) }
}

/** Of an execution that another one waits for: a trace of its own, linked to the one that called it. */
export function childTrace(executionId: string, parent: Trace): Trace {
  return { traceparent: childTraceparent(executionId, parent.traceparent), link: parent.traceparent }
}

/** Traceparent of an execution's span that another one, of a trace that is known, waits for. */
export function childTraceparent(executionId: string, parent: string): string {
  return `00-${digest(executionId).slice(0, 32)}-${spanIdOf(executionId)}-${parent.slice(53)}`
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

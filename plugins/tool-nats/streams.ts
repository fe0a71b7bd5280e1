import { type Json, type JsonObject, ToolError } from '@noetl/core'
import { type MsgHdrs, headers as makeHeaders } from 'nats'
import { isMissingMessage } from './failures.ts'
import type { NatsInput } from './input.ts'
import { refuseLarge } from './limits.ts'
import { streamOf, subjectOf } from './names.ts'
import type { Prepare } from './operation.ts'
import { CONTENT_TYPE, decodeValue, encodeValue, JSON_TYPE } from './values.ts'

const MAX_HEADERS = 100
const MAX_HEADER_BYTES = 4096
/** A stream drops a second message with the same id, for two minutes unless it is set otherwise. */
const MESSAGE_ID = 'Nats-Msg-Id'

export const publish: Prepare = (fields, { limits, idempotencyKey }) => {
  const subject = subjectOf(fields)
  const expected = (fields.stream ?? '') === '' ? null : streamOf(fields)
  const { data, json } = encodeValue(fields, { bytes: limits.maxValueBytes, option: 'maxValueBytes' })
  const headers = headersOf(fields)
  if (json && !has(headers, CONTENT_TYPE)) headers.set(CONTENT_TYPE, JSON_TYPE)
  if (!has(headers, MESSAGE_ID)) headers.set(MESSAGE_ID, idempotencyKey)
  return {
    place: { kind: 'subject', name: subject },
    async run({ js }) {
      const expect = expected === null ? {} : { expect: { streamName: expected } }
      const ack = await js.publish(subject, data, { headers, ...expect })
      return { status: 'success', stream: ack.stream, subject, seq: ack.seq, duplicate: ack.duplicate }
    },
  }
}

export const getMessage: Prepare = (fields, { limits }) => {
  const stream = streamOf(fields)
  const query = queryOf(fields)
  return {
    place: { kind: 'stream', name: stream },
    async run({ jsm }) {
      try {
        const message = await jsm.streams.getMessage(stream, query)
        const limit = { bytes: limits.maxValueBytes, option: 'maxValueBytes' } as const
        refuseLarge(message.data.length, `Message ${message.seq} of stream "${stream}"`, limit)
        return {
          status: 'success',
          stream,
          found: true,
          subject: message.subject,
          seq: message.seq,
          time: message.timestamp,
          headers: plainHeaders(message.header),
          ...decodeValue(message.data, message.header.get(CONTENT_TYPE)),
        }
      } catch (error) {
        if (!isMissingMessage(error)) throw error
        return { status: 'not_found', stream, found: false, ...asked(query), value: null, encoding: null }
      }
    },
  }
}

export const streamInfo: Prepare = (fields) => {
  const stream = streamOf(fields)
  return {
    place: { kind: 'stream', name: stream },
    async run({ jsm }) {
      const { config, state, created } = await jsm.streams.info(stream)
      const { messages, bytes, first_seq, last_seq, consumer_count } = state
      return {
        status: 'success',
        stream,
        subjects: config.subjects ?? [],
        messages,
        bytes,
        first_seq,
        last_seq,
        consumer_count,
        created,
        // As the server tells it, which is JSON.
        config: config as unknown as Json,
      }
    },
  }
}

type Query = { seq: number } | { last_by_subj: string }

function queryOf(fields: NatsInput): Query {
  if (fields.seq !== undefined && fields.seq !== null) {
    const seq = Number(fields.seq)
    if (!Number.isSafeInteger(seq)) throw new ToolError('schema', '"seq" is larger than a number can hold.')
    return { seq }
  }
  if ((fields.subject ?? '') !== '') return { last_by_subj: subjectOf(fields) }
  throw new ToolError(
    'schema',
    `The operation ${fields.operation} needs "seq", or "subject" for the last message of it.`,
  )
}

function asked(query: Query): JsonObject {
  return 'seq' in query ? { subject: null, seq: query.seq } : { subject: query.last_by_subj, seq: null }
}

function headersOf(fields: NatsInput): MsgHdrs {
  const headers = makeHeaders()
  const given = Object.entries((fields.headers ?? {}) as JsonObject)
  if (given.length > MAX_HEADERS) {
    throw new ToolError('schema', `A message takes up to ${MAX_HEADERS} headers, not ${given.length}.`)
  }
  for (const [name, value] of given) {
    if (!/^[!-9;-~]+$/.test(name)) throw new ToolError('schema', `"${name}" cannot be the name of a header.`)
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item === null) continue
      const text = typeof item === 'string' ? item : JSON.stringify(item)
      // The value may be a secret: it is never shown.
      if (/[\r\n]/.test(text) || Buffer.byteLength(text) > MAX_HEADER_BYTES) {
        throw new ToolError(
          'schema',
          `The value of header ${name} holds a line break or is longer than ${MAX_HEADER_BYTES} bytes.`,
        )
      }
      // Servers know it in this spelling alone, and would drop no repeat by another.
      headers.append(name.toLowerCase() === MESSAGE_ID.toLowerCase() ? MESSAGE_ID : name, text)
    }
  }
  return headers
}

function has(headers: MsgHdrs, name: string): boolean {
  return headers.keys().some((other) => other.toLowerCase() === name.toLowerCase())
}

function plainHeaders(headers: MsgHdrs): JsonObject {
  return Object.fromEntries(headers.keys().map((name) => [name, headers.values(name).join(', ')]))
}

import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import {
  type EventBatch,
  finishBatch,
  forgetBatches,
  getBatch,
  readBatchKey,
  takeBatchKey,
} from '../store/event-batches.ts'
import { type Batch, type BatchResult, EventBatchBody, takeBatch } from './events.ts'
import type { Parts } from './parts.ts'
import { IdParams } from './shapes.ts'

const Headers = Type.Object({
  'idempotency-key': Type.Optional(Type.String({ minLength: 1, maxLength: 400 })),
})
const RequestParams = Type.Object({ request_id: IdParams.properties.id })

/** How long one who sends a batch again waits for who sent it first. In milliseconds. */
const PATIENCE_MS = 10_000
/** How long a stream of a batch that is taken in stays open, and how often it looks. In milliseconds. */
const STREAM_MS = 30_000
const LOOK_MS = 200

/**
 * `POST /api/events/batch`. With an `Idempotency-Key` the batch is taken once: whoever sends it again gets the
 * first answer. What a server that dies leaves half taken is taken by the next one that is asked; the events
 * taken before are known by their command, or by a key made of the request and their place in it.
 */
export function eventBatchRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable
  const closing = new AbortController()
  app.addHook('preClose', async () => closing.abort())

  app.post<{ Body: Batch; Headers: Static<typeof Headers> }>(
    `${prefix}/events/batch`,
    {
      schema: {
        body: EventBatchBody,
        headers: Headers,
        summary: 'Takes events in order; each has its own result',
      },
    },
    async (request) => {
      const { body } = request
      const key = request.headers['idempotency-key']
      return key === undefined ? answerOf(await takeBatch(parts, body)) : takeOnce(key, body)
    },
  )

  app.get<{ Params: Static<typeof RequestParams> }>(
    `${prefix}/events/batch/:request_id/status`,
    { schema: { params: RequestParams, summary: 'What became of a batch that was sent under a key' } },
    async (request) => present(await mustExist(request.params.request_id)),
  )

  app.get<{ Params: Static<typeof RequestParams> }>(
    `${prefix}/events/batch/:request_id/stream`,
    { schema: { params: RequestParams, summary: 'The same as server-sent events, until it is done' } },
    async (request, reply) => {
      const first = await mustExist(request.params.request_id)
      const stream = Readable.from(watch(first))
      request.raw.once('close', () => stream.destroy())
      return reply.type('text/event-stream').header('cache-control', 'no-store').send(stream)
    },
  )

  async function takeOnce(key: string, body: Batch): Promise<object> {
    const mine = { key, request_id: parts.newId(), body, events: body.events.length }
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await delay(25)) {
      const requestId = await takeBatchKey(pool, mine)
      if (requestId !== undefined) return take(requestId, key, body)
      const held = await readBatchKey(pool, key, body)
      if (held?.same === false) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', [
          'headers/idempotency-key was used before for a batch with other events',
        ])
      }
      if (held?.answer) return { ...held.answer, duplicate: true }
    }
    throw makeError('NOETL_ERR_SATURATED', [1])
  }

  async function take(requestId: string, key: string, body: Batch): Promise<object> {
    try {
      const events = body.events.map((event, i) => ({
        ...event,
        event_id: event.event_id ?? `batch/${requestId}/${i}`,
      }))
      const answer: JsonObject = {
        ...answerOf(await takeBatch(parts, { ...body, events })),
        request_id: requestId,
        idempotency_key: key,
        duplicate: false,
      }
      await finishBatch(pool, requestId, answer)
      await forgetBatches(pool)
      return answer
    } catch (error) {
      await finishBatch(pool, requestId, null).catch((err) =>
        parts.log.warn({ err }, 'the key of a batch could not be given back; it is free in a minute'),
      )
      throw error
    }
  }

  async function mustExist(requestId: string): Promise<EventBatch> {
    const batch = await getBatch(pool, requestId)
    if (batch === undefined) throw makeError('NOETL_ERR_BATCH_NOT_FOUND', [requestId])
    return batch
  }

  async function* watch(first: EventBatch): AsyncGenerator<string> {
    const until = Date.now() + STREAM_MS
    let batch: EventBatch | undefined = first
    yield told('status', present(batch))
    while (batch !== undefined && batch.answer === null && Date.now() < until) {
      await delay(LOOK_MS, undefined, { signal: closing.signal }).catch(() => {})
      if (closing.signal.aborted) return
      batch = await getBatch(pool, first.request_id)
      if (batch?.answer) yield told('status', present(batch))
    }
    yield told('end', { request_id: first.request_id })
  }
}

function told(event: string, data: JsonObject): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

function answerOf(results: BatchResult[]): JsonObject {
  return {
    status: 'ok',
    event_ids: results.map((result) => ('event_id' in result ? result.event_id : null)),
    commands_generated: results.reduce(
      (sum, result) => sum + ('commands_generated' in result ? result.commands_generated : 0),
      0,
    ),
    results: results as unknown as Json[],
  }
}

function present(batch: EventBatch): JsonObject {
  const { request_id, key, events, answer, created_at, finished_at } = batch
  const { event_ids = [], commands_generated = 0, results = [] } = isObject(answer) ? answer : {}
  return {
    request_id,
    idempotency_key: key,
    status: answer === null ? 'processing' : 'completed',
    events,
    event_ids,
    commands_generated,
    results,
    created_at: created_at.toISOString(),
    finished_at: finished_at?.toISOString() ?? null,
  }
}

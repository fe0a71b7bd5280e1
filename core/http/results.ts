import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { readReference } from '../engine/aside.ts'
import { makeError } from '../errors.ts'
import { type Json, writeJson } from '../schemas/json.ts'
import { listResults, putResult, type ResultEntry } from '../store/client-results.ts'
import { loadExecution } from '../store/executions.ts'
import { loadWhole } from '../store/results.ts'
import type { Parts } from './parts.ts'
import { Anything, IdParams, Maybe } from './shapes.ts'

const ExecutionParams = Type.Object({ execution_id: IdParams.properties.id })
const Put = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 500 }),
  data: Anything,
  scope: Maybe(Type.String({ maxLength: 100 })),
  source_step: Maybe(Type.String({ maxLength: 1000 })),
})
const Wanted = Type.Object({ ref: Type.String({ minLength: 1, maxLength: 4000 }) })
const Page = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0 })),
})

/** `/api/result/…`: values too large for events, by reference. */
export function resultRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  app.put<{ Params: Static<typeof ExecutionParams>; Body: Static<typeof Put> }>(
    `${prefix}/result/:execution_id`,
    { schema: { params: ExecutionParams, body: Put, summary: 'Stores a value beside an execution' } },
    async (request) => {
      const { execution_id } = request.params
      const { name, data, scope, source_step } = request.body
      const stored = await putResult(pool, {
        execution_id,
        result_id: parts.newId(),
        name,
        data: data as Json,
      })
      if (stored === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [execution_id])
      return {
        ...present(stored),
        scope: scope ?? 'execution',
        source_step: source_step ?? null,
        expires_at: null,
      }
    },
  )

  app.get<{ Querystring: Static<typeof Wanted> }>(
    `${prefix}/result/resolve`,
    { schema: { querystring: Wanted, summary: 'The value that a reference stands for, as it is' } },
    async (request, reply) => {
      const data = await resolveReference(parts, request.query.ref)
      // A text is JSON too: it goes out in its quotes.
      return reply.type('application/json; charset=utf-8').send(writeJson(data))
    },
  )

  app.get<{ Params: Static<typeof ExecutionParams>; Querystring: Static<typeof Page> }>(
    `${prefix}/result/:execution_id/list`,
    { schema: { params: ExecutionParams, querystring: Page, summary: 'Values stored beside an execution' } },
    async (request) => {
      const { execution_id } = request.params
      const { limit = 100, offset = 0 } = request.query
      if ((await loadExecution(pool, execution_id)) === undefined) {
        throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [execution_id])
      }
      const results = await listResults(pool, execution_id, { limit, offset })
      return { execution_id, results: results.map(present), count: results.length, limit, offset }
    },
  )
}

/** The value behind a reference. Throws NOETL_ERR_RESULT_NOT_FOUND. */
export async function resolveReference(parts: Parts, ref: string): Promise<Json> {
  const place = tryRead(ref)
  const data =
    place === undefined ? undefined : await loadWhole(parts.pools.durable, place.executionId, place.resultId)
  if (data === undefined) throw makeError('NOETL_ERR_RESULT_NOT_FOUND', [ref.slice(0, 200)])
  return data
}

/** A step name that is no valid escape makes no reference. */
function tryRead(ref: string): ReturnType<typeof readReference> {
  try {
    return readReference(ref)
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}

function present(entry: ResultEntry): object {
  const { execution_id, result_id, name, bytes } = entry
  const ref = `noetl://execution/${execution_id}/result/${encodeURIComponent(name)}/${result_id}`
  return { ref, ...entry, bytes: Number(bytes) }
}

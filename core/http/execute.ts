import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { eachOf } from '../each-of.ts'
import { isNoetlError, makeError } from '../errors.ts'
import { isObject, type JsonObject } from '../schemas/json.ts'
import { findEntry } from './catalog.ts'
import type { Parts } from './parts.ts'
import { Bag, Id, Maybe, Version } from './shapes.ts'
import { Start, startExecution } from './start.ts'

const Batch = Type.Object({ executions: Type.Array(Start, { minItems: 1, maxItems: 1000 }) })
const Run = Type.Object({
  path: Type.Optional(Type.String({ minLength: 1 })),
  catalog_id: Type.Optional(Id),
  version: Version,
  args: Maybe(Bag),
  parameters: Maybe(Bag),
  merge: Maybe(Type.Boolean()),
  parent_execution_id: Maybe(Id),
})
const RunParams = Type.Object({ resource_type: Type.String({ maxLength: 100 }) })

/** Starts of one batch under way at once. */
const AT_ONCE = 32

interface BatchResult {
  index: number
  status: 'started' | 'duplicate' | 'failed'
  execution_id: string | null
  commands_generated: number
  error: string | null
  code?: string
}

/** `POST /api/execute` and `/api/v2/execute`, many at once, and the oldest spelling, `run/playbook`. */
export function executeRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Start }>(
    `${prefix}/execute`,
    { schema: { body: Start, summary: 'Starts an execution of a playbook' } },
    async (request) => startExecution(parts, request.body, request.headers.traceparent),
  )

  app.post<{ Body: Static<typeof Batch> }>(
    `${prefix}/execute/batch`,
    { schema: { body: Batch, summary: 'Starts many; each has its own result' } },
    async (request) => {
      const results = await startBatch(parts, request.body.executions, request.headers.traceparent)
      const count = (status: BatchResult['status']) =>
        results.filter((result) => result.status === status).length
      return {
        count: results.length,
        started: count('started'),
        duplicates: count('duplicate'),
        failed: count('failed'),
        results,
      }
    },
  )

  app.post<{ Params: Static<typeof RunParams>; Body: Static<typeof Run> }>(
    `${prefix}/run/:resource_type`,
    { schema: { params: RunParams, body: Run, summary: 'Starts an execution, as the first clients asked' } },
    async (request) => {
      const kind = request.params.resource_type
      if (!/^playbooks?$/i.test(kind)) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', [`run/${kind} is unknown; run/playbook was expected`])
      }
      const { args, parameters, merge, ...target } = request.body
      const given = { ...parameters, ...args } as JsonObject
      if (merge !== true)
        return startExecution(parts, { ...target, payload: given }, request.headers.traceparent)
      const { catalog_id } = await findEntry(parts, target)
      const { playbook } = await parts.plans.byId(catalog_id)
      const payload = mergeDeep(playbook.workload, given)
      return startExecution(parts, { ...target, catalog_id, payload }, request.headers.traceparent)
    },
  )
}

/** Those under a key one after the other, so that of two with one key the first of the list is started. */
async function startBatch(parts: Parts, items: Start[], traceparent: unknown): Promise<BatchResult[]> {
  const results: BatchResult[] = new Array(items.length)
  const take = async (index: number) => {
    results[index] = await startExecution(parts, items[index]!, traceparent).then(
      (started) => ({ index, ...started, error: null }),
      (error: unknown) => {
        if (!isNoetlError(error) || error.statusCode >= 500)
          parts.log.warn({ err: error }, 'a start of a batch failed')
        const told = isNoetlError(error)
          ? error
          : makeError('NOETL_ERR_INTERNAL', ['this start'], { cause: error })
        const { message, code } = told
        return {
          index,
          status: 'failed' as const,
          execution_id: null,
          commands_generated: 0,
          error: message,
          code,
        }
      },
    )
  }
  const indexes = [...items.keys()]
  const keyed = indexes.filter((index) => items[index]!.dedup)
  const free = indexes.filter((index) => !items[index]!.dedup)
  await Promise.all([eachOf(keyed, 1, take), eachOf(free, AT_ONCE, take)])
  return results
}

/** The payload's keys, where both sides hold an object laid over that key by key. */
function mergeDeep(under: JsonObject, over: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(over).map(([key, value]) => {
      const below = Object.hasOwn(under, key) ? under[key] : undefined
      return [key, isObject(value) && isObject(below) ? { ...below, ...mergeDeep(below, value) } : value]
    }),
  )
}

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import { loadExecution } from '../store/executions.ts'
import { findLoop, listIterations } from '../store/loops.ts'
import type { Parts } from './parts.ts'
import { IdParams } from './shapes.ts'

const StepName = Type.Optional(Type.String({ minLength: 1, maxLength: 1000 }))
const Wanted = Type.Object({
  execution_id: IdParams.properties.id,
  step_name: StepName,
  step: StepName,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000_000, default: 0 })),
})

/** `GET /api/aggregate/loop/results`: what the iterations of a step's newest loop came to. */
export function loopRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  app.get<{ Querystring: Static<typeof Wanted> }>(
    `${prefix}/aggregate/loop/results`,
    { schema: { querystring: Wanted, summary: 'Results of the iterations of a loop, in their order' } },
    async (request) => {
      const { execution_id, limit = 100, offset = 0 } = request.query
      const step_name = request.query.step_name ?? request.query.step
      if (step_name === undefined) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', ['querystring must have step_name; seen: nothing'])
      }
      if ((await loadExecution(pool, execution_id)) === undefined) {
        throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [execution_id])
      }
      const loop = await findLoop(pool, execution_id, step_name)
      const items =
        loop === undefined ? [] : await listIterations(pool, execution_id, loop.loop_id, { limit, offset })
      return {
        status: 'ok',
        execution_id,
        step_name,
        loop_id: loop?.loop_id ?? null,
        total: loop?.total ?? 0,
        done: loop?.done ?? false,
        results: items.map(({ result }) => result),
        items,
        count: items.length,
        limit,
        offset,
      }
    },
  )
}

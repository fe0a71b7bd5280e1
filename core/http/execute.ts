import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { workloadOf } from '../engine/workload.ts'
import type { JsonObject } from '../schemas/json.ts'
import { getNewestId } from '../store/catalog.ts'
import { findEntry } from './catalog.ts'
import type { Parts } from './parts.ts'
import { Bag, Id, idText } from './shapes.ts'

const Execute = Type.Object({
  path: Type.Optional(Type.String({ minLength: 1 })),
  catalog_id: Type.Optional(Id),
  version: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.String(), Type.Null()])),
  payload: Type.Optional(Type.Union([Bag, Type.Null()])),
  workload: Type.Optional(Type.Union([Bag, Type.Null()])),
  parent_execution_id: Type.Optional(Type.Union([Id, Type.Null()])),
})

/** `POST /api/execute` and `/api/v2/execute`: one transaction, then the announcement, then the answer. */
export function executeRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Static<typeof Execute> }>(
    `${prefix}/execute`,
    { schema: { body: Execute, summary: 'Starts an execution of a playbook' } },
    async (request) => {
      const { body } = request
      const plan = await parts.plans.byId(await catalogIdOf(parts, body))
      const payload = (body.payload ?? body.workload ?? {}) as JsonObject
      const parent = body.parent_execution_id
      const parentExecutionId = parent === undefined || parent === null ? null : idText(parent)
      const executionId = parts.newId()
      const workload = workloadOf(plan.playbook.workload, payload, {
        executionId,
        parentExecutionId,
        now: new Date().toISOString(),
      })
      const started = await parts.engine.start({ executionId, plan, workload, parentExecutionId, meta: {} })
      return {
        execution_id: started.execution_id,
        status: 'started',
        commands_generated: started.commands_generated,
      }
    },
  )
}

/** The newest version by path needs one small query; anything else goes the long way and gets its errors there. */
async function catalogIdOf(parts: Parts, body: Static<typeof Execute>): Promise<string> {
  const { path, version } = body
  if (path !== undefined && body.catalog_id === undefined && (version ?? 'latest') === 'latest') {
    const newest = await getNewestId(parts.pools.durable, path)
    if (newest !== undefined) return newest
  }
  return (await findEntry(parts, body)).catalog_id
}

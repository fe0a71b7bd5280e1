import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import type { OutputLine } from '../schemas/command.ts'
import { isObject, type JsonObject } from '../schemas/json.ts'
import { listLogs } from '../store/events.ts'
import { loadExecution } from '../store/executions.ts'
import type { Parts } from './parts.ts'
import { IdParams } from './shapes.ts'

const Page = Type.Object({
  step: Type.Optional(Type.String({ maxLength: 1000 })),
  since_event_id: Type.Optional(Type.String({ pattern: '^\\d{1,19}$' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 100 })),
})

/** `/api/executions/{id}/logs`: what the tools of an execution wrote, in the order in which it came. */
export function logRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.get<{ Params: IdParams; Querystring: Static<typeof Page> }>(
    `${prefix}/executions/:id/logs`,
    {
      schema: {
        params: IdParams,
        querystring: Page,
        summary: 'Output of the tools of an execution; a page holds that of so many reports',
      },
    },
    async (request) => {
      const { id } = request.params
      const { step, since_event_id: since = '0', limit = 100 } = request.query
      const pool = parts.pools.durable
      const row = await loadExecution(pool, id)
      if (row === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [id])
      const found = await listLogs(pool, id, { step: step ?? null, since, limit: limit + 1 })
      const shown = found.slice(0, limit)
      return {
        execution_id: id,
        status: row.status,
        lines: shown.flatMap(({ context, meta, ...event }) =>
          linesOf(context).map((line) => ({
            event_id: event.event_id,
            at: line.at,
            step: event.node_name,
            current_index: event.current_index,
            command_id: meta?.command_id ?? null,
            attempt: meta?.attempt ?? null,
            worker_id: event.worker_id,
            stream: line.stream ?? null,
            level: line.level,
            text: line.text,
          })),
        ),
        last_event_id: shown.at(-1)?.event_id ?? since,
        has_next: found.length > limit,
      }
    },
  )
}

/** Whoever reports may send anything; what is no line is left out. */
function linesOf(context: JsonObject | null): OutputLine[] {
  const lines = Array.isArray(context?.lines) ? context.lines : []
  return lines.filter((line) => isObject(line) && typeof line.text === 'string') as unknown as OutputLine[]
}

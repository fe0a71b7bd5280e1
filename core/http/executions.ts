import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import { STATUSES, type Status } from '../schemas/execution.ts'
import { countEvents, listEvents } from '../store/events.ts'
import { listExecutions, loadExecution, loadListFacts } from '../store/executions.ts'
import {
  type EventPage,
  presentEvent,
  presentExecution,
  presentRow,
  readEventPage,
} from './execution-view.ts'
import type { Parts } from './parts.ts'
import { IdParams } from './shapes.ts'

const Listing = Type.Object({
  catalog_id: Type.Optional(Type.String({ pattern: '^\\d{1,19}$' })),
  path: Type.Optional(Type.String()),
  status: Type.Optional(Type.String()),
  parent_execution_id: Type.Optional(Type.String({ pattern: '^\\d{1,19}$' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50 })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0 })),
})
const Page = Type.Object({
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  event_type: Type.Optional(Type.String()),
  since_event_id: Type.Optional(Type.String({ pattern: '^\\d{1,19}$' })),
})

/** `/api/executions…` and `/api/v2/executions…`. */
export function executionRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  app.get<{ Querystring: Static<typeof Listing> }>(
    `${prefix}/executions`,
    { schema: { querystring: Listing, summary: 'Executions, newest first' } },
    async (request) => {
      const { catalog_id, path, status, parent_execution_id, limit = 50, offset = 0 } = request.query
      const rows = await listExecutions(pool, {
        limit,
        offset,
        ...(catalog_id === undefined ? {} : { catalogId: catalog_id }),
        ...(path === undefined || path === '' ? {} : { path }),
        ...(status === undefined || status === '' ? {} : { status: readStatus(status) }),
        ...(parent_execution_id === undefined ? {} : { parentId: parent_execution_id }),
      })
      const facts = await loadListFacts(
        pool,
        rows.map((row) => row.execution_id),
      )
      return rows.map((row) => {
        const { result = null, eventCount = 0 } = facts.get(row.execution_id) ?? {}
        return {
          ...presentRow(row),
          result: row.status === 'RUNNING' ? null : result,
          event_count: eventCount,
        }
      })
    },
  )

  app.get<{ Params: IdParams; Querystring: Static<typeof Page> }>(
    `${prefix}/executions/:id`,
    { schema: { params: IdParams, querystring: Page, summary: 'An execution with its first events' } },
    async (request) => presentExecution(parts, request.params.id, readEventPage(request.query, 500)),
  )

  app.get<{ Params: IdParams }>(
    `${prefix}/executions/:id/status`,
    { schema: { params: IdParams, summary: 'How far an execution is, without its events' } },
    async (request) => presentExecution(parts, request.params.id, null),
  )

  app.get<{ Params: IdParams; Querystring: Static<typeof Page> }>(
    `${prefix}/executions/:id/events`,
    { schema: { params: IdParams, querystring: Page, summary: 'Events of an execution, in their order' } },
    async (request) => {
      await mustExist(request.params.id)
      return eventsOf(request.params.id, readEventPage(request.query, 100))
    },
  )

  app.get<{ Params: IdParams }>(
    `${prefix}/executions/:id/cancellation-check`,
    { schema: { params: IdParams, summary: 'Whether an execution was cancelled' } },
    async (request) => {
      const { status } = await mustExist(request.params.id)
      return { execution_id: request.params.id, is_cancelled: status === 'CANCELLED' }
    },
  )

  async function mustExist(id: string): Promise<{ status: Status }> {
    const row = await loadExecution(pool, id)
    if (row === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [id])
    return row
  }

  async function eventsOf(id: string, page: EventPage): Promise<object> {
    const [rows, total] = await Promise.all([listEvents(pool, id, page), countEvents(pool, id, page)])
    return { events: rows.map(presentEvent), pagination: page.describe(total) }
  }
}

function readStatus(text: string): Status {
  const status = STATUSES.find((known) => known === text.toUpperCase())
  if (status === undefined) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      `status is "${text}"; one of ${STATUSES.join(', ')} was expected`,
    ])
  }
  return status
}

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { callError } from '../engine/problem.ts'
import { makeError } from '../errors.ts'
import { STATUSES, type Status } from '../schemas/execution.ts'
import { countEvents, listEvents } from '../store/events.ts'
import { listExecutions, loadExecution } from '../store/executions.ts'
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
const Cancel = Type.Union([
  Type.Object({
    reason: Type.Optional(Type.Union([Type.String({ maxLength: 10_000 }), Type.Null()])),
    cascade: Type.Optional(Type.Boolean()),
  }),
  Type.Null(),
])
const Finalize = Type.Union([
  Type.Object({
    status: Type.Optional(Type.Union([Type.Literal('COMPLETED'), Type.Literal('FAILED')])),
    error: Type.Optional(Type.Union([Type.String({ maxLength: 100_000 }), Type.Null()])),
    reason: Type.Optional(Type.Union([Type.String({ maxLength: 100_000 }), Type.Null()])),
  }),
  Type.Null(),
])

/** Children cancelled with their parent, at most. */
const MAX_CASCADE = 10_000

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
        ...(path === undefined ? {} : { path }),
        ...(status === undefined || status === '' ? {} : { status: readStatus(status) }),
        ...(parent_execution_id === undefined ? {} : { parentId: parent_execution_id }),
      })
      return rows.map((row) => presentRow(row))
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

  for (const word of ['cancel', 'stop']) {
    app.post<{ Params: IdParams; Body: Static<typeof Cancel> | undefined }>(
      `${prefix}/executions/:id/${word}`,
      { schema: { params: IdParams, summary: 'Cancels an execution and those it started' } },
      async (request) =>
        cancel(request.params.id, (request.body ?? {}) as { reason?: string; cascade?: boolean }),
    )
  }

  app.post<{ Params: IdParams; Body: Static<typeof Finalize> | undefined }>(
    `${prefix}/executions/:id/finalize`,
    { schema: { params: IdParams, summary: 'Ends an execution by hand' } },
    async (request) => {
      const { id } = request.params
      const body = request.body ?? {}
      const status = body.status ?? 'FAILED'
      const text = body.error ?? body.reason ?? 'finalized by hand'
      const error = status === 'FAILED' ? callError('NOETL_ERR_EXECUTION_FINALIZED', text) : null
      const ended = await parts.engine.finalize(id, status, error)
      return {
        execution_id: id,
        status: ended.changed ? 'finalized' : 'already_completed',
        execution_status: ended.status,
        message: ended.changed
          ? `Execution ${id} is ${ended.status}.`
          : `Execution ${id} was ${ended.status} before.`,
      }
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

  async function cancel(id: string, body: { reason?: string | null; cascade?: boolean }): Promise<object> {
    const reason = body.reason ?? 'cancelled by request'
    const ended = await parts.engine.cancel(id, reason)
    const cancelled = ended.changed ? [id] : []
    if (body.cascade !== false) cancelled.push(...(await cancelChildren(id, reason)))
    const changed = cancelled.length > 0
    return {
      execution_id: id,
      status: changed ? 'cancelled' : 'already_completed',
      cancelled_executions: cancelled,
      message: changed ? `Execution ${id} was cancelled.` : `Execution ${id} was ${ended.status} before.`,
    }
  }

  async function cancelChildren(id: string, reason: string): Promise<string[]> {
    const cancelled: string[] = []
    const parents = [id]
    for (
      let parent = parents.pop();
      parent !== undefined && cancelled.length < MAX_CASCADE;
      parent = parents.pop()
    ) {
      const children = await listExecutions(pool, { parentId: parent, limit: 1000, offset: 0 })
      for (const child of children) {
        parents.push(child.execution_id)
        if (child.status !== 'RUNNING') continue
        if ((await parts.engine.cancel(child.execution_id, reason)).changed)
          cancelled.push(child.execution_id)
      }
    }
    return cancelled
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

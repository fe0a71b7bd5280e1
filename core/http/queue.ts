import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { isNoetlError, makeError } from '../errors.ts'
import type { CallError } from '../schemas/command.ts'
import type { Json } from '../schemas/json.ts'
import { getEvent } from '../store/events.ts'
import { findCommand, renewLeases } from '../store/queue.ts'
import { countQueue, listQueue, pickQueued } from '../store/queue-view.ts'
import { claimFor, presentCommand, tokenOf } from './commands.ts'
import { readError } from './outcome.ts'
import type { Parts } from './parts.ts'
import { Anything, IdParams, Maybe, Name } from './shapes.ts'

const Status = Type.Optional(Type.String({ maxLength: 100 }))
const Listing = Type.Object({
  status: Status,
  execution_id: Type.Optional(IdParams.properties.id),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0 })),
})
const Size = Type.Object({ status: Status })
const Lease = Type.Object({ worker_id: Name, lease_seconds: Maybe(Type.Number()) })
const Complete = Type.Object({ worker_id: Name, result: Type.Optional(Anything) })
const Fail = Type.Object({ worker_id: Name, error: Type.Optional(Anything), result: Type.Optional(Anything) })
const Beat = Type.Object({ worker_id: Name, extend_seconds: Maybe(Type.Number()) })

/** Commands looked at by one who asks for any. */
const CANDIDATES = 20

/**
 * `/api/queue…`, as the first workers asked. A lease is a claim, complete and fail are reports, a heartbeat
 * is a renewal: all by the name of the worker, which stands in for a token.
 */
export function queueRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  app.get<{ Querystring: Static<typeof Listing> }>(
    `${prefix}/queue`,
    { schema: { querystring: Listing, summary: 'Commands that wait or run' } },
    async (request) => {
      const { status, execution_id, limit = 100, offset = 0 } = request.query
      const word = readStatus(status)
      const items = await listQueue(pool, {
        limit,
        offset,
        ...(word === undefined ? {} : { status: word }),
        ...(execution_id === undefined ? {} : { executionId: execution_id }),
      })
      return { status: 'ok', items, count: items.length }
    },
  )

  for (const path of ['queue/size', 'jobs/queue/size']) {
    app.get<{ Querystring: Static<typeof Size> }>(
      `${prefix}/${path}`,
      { schema: { querystring: Size, summary: 'How many commands wait and run' } },
      async (request) => {
        const counts = await countQueue(pool)
        return { status: 'ok', count: counts[readStatus(request.query.status) ?? 'queued'], ...counts }
      },
    )
  }

  app.post<{ Body: Static<typeof Lease> }>(
    `${prefix}/queue/lease`,
    { schema: { body: Lease, summary: 'Leases any command that waits' } },
    async (request) => {
      const { worker_id: workerId } = request.body
      for (const { execution_id, queue_id } of await pickQueued(parts.pools.relaxed, CANDIDATES)) {
        const wanted = { executionId: execution_id, commandId: queue_id, workerId }
        const command = await claimFor(parts, wanted).catch((error: unknown) => {
          if (isNoetlError(error) && error.statusCode === 409) return undefined
          throw error
        })
        if (command !== undefined) return { status: 'ok', job: { queue_id, ...presentCommand(command) } }
      }
      return { status: 'empty', job: null }
    },
  )

  app.post<{ Params: IdParams; Body: Static<typeof Complete> }>(
    `${prefix}/queue/:id/complete`,
    { schema: { params: IdParams, body: Complete, summary: 'Reports that a command is done' } },
    async (request) =>
      report(request.params.id, request.body.worker_id, {
        status: 'ok',
        error: null,
        result: (request.body.result ?? null) as Json,
      }),
  )

  app.post<{ Params: IdParams; Body: Static<typeof Fail> }>(
    `${prefix}/queue/:id/fail`,
    { schema: { params: IdParams, body: Fail, summary: 'Reports that a command failed' } },
    async (request) =>
      report(request.params.id, request.body.worker_id, {
        status: 'error',
        error: readError(request.body.error as Json | undefined),
        result: (request.body.result ?? null) as Json,
      }),
  )

  app.post<{ Params: IdParams; Body: Static<typeof Beat> }>(
    `${prefix}/queue/:id/heartbeat`,
    { schema: { params: IdParams, body: Beat, summary: 'Prolongs a lease' } },
    async (request) => {
      const { id } = request.params
      const found = await findCommand(pool, id)
      if (found === undefined) throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [id])
      const { leaseSeconds } = parts.config
      const token = tokenOf({ commandId: id, workerId: request.body.worker_id })
      const lease = { execution_id: found.execution_id, queue_id: id, token }
      if (!(await renewLeases(parts.pools.relaxed, [lease], leaseSeconds)).has(id)) {
        throw makeError('NOETL_ERR_COMMAND_LATE', [id])
      }
      return { status: 'ok', queue_id: id, lease_seconds: leaseSeconds }
    },
  )

  /** A command that its event has settled before is as done as can be. */
  async function report(
    id: string,
    workerId: string,
    ended: { result: Json } & ({ status: 'ok'; error: null } | { status: 'error'; error: CallError }),
  ): Promise<object> {
    const found = await findCommand(pool, id)
    if (found === undefined) {
      const issued = await getEvent(pool, id)
      if (issued?.event_type !== 'command.issued') throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [id])
      return { status: 'ok', queue_id: id, outcome: 'duplicate', commands_generated: 0 }
    }
    const answer = await parts.engine.report(
      found.execution_id,
      {
        type: 'report',
        command_id: id,
        step: found.node_name,
        worker_id: workerId,
        attempt: null,
        started_at: null,
        outcome: { ...ended, set: {}, meta: { duration_ms: 0, calls: 1, facets: {} } },
      },
      { queue_id: id, token: null, worker_id: workerId },
    )
    if (answer.status === 'late') throw makeError('NOETL_ERR_COMMAND_LATE', [id])
    return {
      status: 'ok',
      queue_id: id,
      outcome: answer.status,
      event_id: answer.event_id,
      commands_generated: answer.commands_generated,
    }
  }
}

/** The first generation said "leased" for what runs. */
function readStatus(text: string | undefined): 'queued' | 'running' | 'dead' | undefined {
  if (text === undefined || text === '') return undefined
  const word = text.toLowerCase() === 'leased' ? 'running' : text.toLowerCase()
  if (word === 'queued' || word === 'running' || word === 'dead') return word
  throw makeError('NOETL_ERR_REQUEST_INVALID', [
    `querystring/status is "${text}"; one of queued, running, dead was expected`,
  ])
}

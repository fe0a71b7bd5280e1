import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import type { CallError } from '../schemas/command.ts'
import type { Json } from '../schemas/json.ts'
import { getEvent } from '../store/events.ts'
import { believable } from '../store/ids.ts'
import { findCommand, renewLeases } from '../store/queue.ts'
import { tokenOf } from './commands.ts'
import { readError } from './outcome.ts'
import type { Parts } from './parts.ts'
import { Anything, Id, IdParams, idText, Maybe, Name } from './shapes.ts'

const Complete = Type.Object({ worker_id: Name, result: Type.Optional(Anything) })
const Fail = Type.Object({ worker_id: Name, error: Type.Optional(Anything), result: Type.Optional(Anything) })
const Beat = Type.Object({ worker_id: Name, extend_seconds: Maybe(Type.Number()) })
const Ack = Type.Object({ queue_id: Id, worker_id: Name, result: Type.Optional(Anything) })
const Nack = Type.Object({ queue_id: Id, worker_id: Name })

/** Leases that one request takes back. */
const PER_REAPING = 500

/**
 * What the first workers did with a command they had leased. Complete, ack and fail are reports, a heartbeat is a
 * renewal, nack hands the lease back: all by the name of the worker, which stands in for a token.
 */
export function queueActRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

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

  app.post<{ Body: Static<typeof Ack> }>(
    `${prefix}/queue/ack`,
    { schema: { body: Ack, summary: 'Reports that a command is done' } },
    async ({ body }) =>
      report(idText(body.queue_id), body.worker_id, {
        status: 'ok',
        error: null,
        result: (body.result ?? null) as Json,
      }),
  )

  app.post<{ Body: Static<typeof Nack> }>(
    `${prefix}/queue/nack`,
    { schema: { body: Nack, summary: 'Hands a lease back; the attempt is not counted' } },
    async ({ body }) => {
      const id = idText(body.queue_id)
      const lease = { ...(await leaseOf(id, body.worker_id)), event_id: parts.newId(believable(id)) }
      const released = await parts.store.releaseLeases([lease])
      // Not held by this worker; or not safe to repeat: then it runs out, and a person decides.
      if (released.length === 0) throw makeError('NOETL_ERR_COMMAND_LATE', [id])
      parts.announce(released, true)
      return { status: 'ok', queue_id: id, outcome: 'released' }
    },
  )

  app.post(
    `${prefix}/queue/reap-expired`,
    { schema: { summary: 'Takes back leases that have run out, as the server does by itself' } },
    async () => {
      const rescued = await parts.store.rescueExpired(PER_REAPING, parts.newId)
      parts.announce(rescued, true)
      return { status: 'ok', reclaimed: rescued.length }
    },
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
      const { leaseSeconds } = parts.config
      const lease = await leaseOf(id, request.body.worker_id)
      if (!(await renewLeases(parts.pools.relaxed, [lease], leaseSeconds)).has(id)) {
        throw makeError('NOETL_ERR_COMMAND_LATE', [id])
      }
      return { status: 'ok', queue_id: id, lease_seconds: leaseSeconds }
    },
  )

  async function leaseOf(
    id: string,
    workerId: string,
  ): Promise<{ execution_id: string; queue_id: string; token: string }> {
    const found = await findCommand(pool, id)
    if (found === undefined) throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [id])
    const token = tokenOf({ commandId: id, workerId })
    return { execution_id: found.execution_id, queue_id: id, token }
  }

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

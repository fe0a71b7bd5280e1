import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { isNoetlError, makeError } from '../errors.ts'
import { countQueue, findQueued, listQueue, pickQueued } from '../store/queue-view.ts'
import { claimFor, presentCommand } from './commands.ts'
import type { Parts } from './parts.ts'
import { Id, IdParams, idText, Maybe, Name } from './shapes.ts'

const Status = Type.Optional(Type.String({ maxLength: 100 }))
const Listing = Type.Object({
  status: Status,
  execution_id: Type.Optional(IdParams.properties.id),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0 })),
})
const Size = Type.Object({ status: Status })
const Enqueue = Type.Object({
  queue_id: Type.Optional(Id),
  execution_id: Type.Optional(Id),
  node_id: Type.Optional(Type.Union([Id, Name])),
})
const Lease = Type.Object({ worker_id: Name, lease_seconds: Maybe(Type.Number()) })

/** Commands looked at by one who asks for any. */
const CANDIDATES = 20

/** `/api/queue…`, as the first workers asked: what waits, and leases of it, which are claims. */
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
        const unserved = await parts.unserved.places()
        return {
          status: 'ok',
          count: counts[readStatus(request.query.status) ?? 'queued'],
          ...counts,
          unserved,
        }
      },
    )
  }

  for (const word of ['lease', 'reserve']) {
    app.post<{ Body: Static<typeof Lease> }>(
      `${prefix}/queue/${word}`,
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
  }

  // To put a command there twice changes nothing; to put one there that the engine did not make cannot be.
  app.post<{ Body: Static<typeof Enqueue> }>(
    `${prefix}/queue/enqueue`,
    { schema: { body: Enqueue, summary: 'Announces a command that waits once more' } },
    async (request) => {
      const { queue_id, execution_id, node_id } = request.body
      const there = await findQueued(pool, {
        queueId: queue_id === undefined ? null : idText(queue_id),
        executionId: execution_id === undefined ? null : idText(execution_id),
        nodeId: node_id === undefined ? null : idText(node_id),
      })
      if (there === undefined) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', [
          'the queue has no such command, and commands come from the engine alone: start a playbook with POST /api/execute',
        ])
      }
      if (there.status === 'queued') parts.announce([there], true)
      return { status: 'ok', queue_id: there.queue_id, outcome: 'duplicate' }
    },
  )
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

import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { isNoetlError, makeError } from '../errors.ts'
import type { LeasedCommand } from '../schemas/command.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { notificationOf } from '../schemas/notification.ts'
import { isNumber } from '../schemas/numbers.ts'
import { believable } from '../store/ids.ts'
import { findCommand } from '../store/queue.ts'
import type { Parts } from './parts.ts'
import { Id, idText, Name } from './shapes.ts'

export const Token = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' })
const Lease = Type.Object({ execution_id: Id, command_id: Id, token: Token })
const Leases = Type.Object({ worker_id: Name, leases: Type.Array(Lease, { maxItems: 10_000 }) })
/** `again`: the worker has asked with this token before, and heard nothing. */
const Wanted = Type.Object({ ...Lease.properties, again: Type.Optional(Type.Boolean()) })
const Claims = Type.Object({ worker_id: Name, leases: Type.Array(Wanted, { maxItems: 10_000 }) })
type Leases = Static<typeof Leases>

/** Announced so long ago, a command is not about to be delivered, nor was just shown to another worker. */
const SHOWN_SECONDS = 1
const WaitingFor = Type.Object({
  worker_id: Name,
  lane: Name,
  pool: Type.String({ maxLength: 200 }),
  limit: Type.Integer({ minimum: 1, maximum: 1000 }),
})

const ClaimOne = Type.Object({ worker_id: Name })
const CommandParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 500 }) })

/** The lease protocol of this gateway's workers: many commands a request, tokens made by the worker. */
export function leaseRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Static<typeof Claims> }>(
    `${prefix}/commands/claim`,
    { schema: { body: Claims, summary: 'Leases commands; each is answered by the command or by why not' } },
    async (request) => {
      const { worker_id, leases } = request.body
      const results = await Promise.all(
        leases.map(({ execution_id, command_id, token, again = false }) =>
          parts.claims
            .claim({
              execution_id: idText(execution_id),
              queue_id: idText(command_id),
              ...{ worker_id, token, again },
            })
            .then((command) => ({ command }), refusal),
        ),
      )
      return { results }
    },
  )

  app.post<{ Body: Leases }>(
    `${prefix}/commands/renew`,
    { schema: { body: Leases, summary: 'Prolongs leases; names those that still hold' } },
    async (request) => {
      const leases = request.body.leases.map(stored)
      const renewed = await parts.store.renewLeases(leases, parts.config.leaseSeconds)
      return { renewed: [...renewed], lease_seconds: parts.config.leaseSeconds }
    },
  )

  app.post<{ Body: Leases }>(
    `${prefix}/commands/release`,
    { schema: { body: Leases, summary: 'Hands leases back; their attempts are not counted' } },
    async (request) => {
      const leases = request.body.leases.map((lease) => {
        const named = stored(lease)
        return { ...named, event_id: parts.newId(believable(named.queue_id)) }
      })
      const released = await parts.store.releaseLeases(leases)
      parts.announce(released, true)
      return { released: released.map((command) => command.queue_id) }
    },
  )
}

/**
 * For workers to whom the bus tells nothing: commands that wait, which they then claim as if they had been told.
 * What one was shown is shown to nobody else for a moment.
 */
export function waitingRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Static<typeof WaitingFor> }>(
    `${prefix}/commands/waiting`,
    {
      schema: {
        body: WaitingFor,
        summary: 'Shows a worker commands that wait and were announced a second ago or earlier',
      },
    },
    async (request) => {
      const { lane, pool, limit } = request.body
      const to = { lane, pool }
      const commands = await parts.store.takeUnclaimed({ afterSeconds: SHOWN_SECONDS, limit, to })
      if (commands[0] !== undefined) parts.shown.note(commands[0])
      return { commands: commands.map((command) => notificationOf(command, '')) }
    },
  )
}

/** `/api/commands/{id}` and its claim, as the later generations' workers ask. */
export function commandRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Params: Static<typeof CommandParams>; Body: Static<typeof ClaimOne> }>(
    `${prefix}/commands/:id/claim`,
    { schema: { params: CommandParams, body: ClaimOne, summary: 'Leases one command' } },
    async (request) => {
      const commandId = readCommandId(request.params.id)
      const found = await findCommand(parts.pools.durable, commandId)
      if (found === undefined) throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [request.params.id])
      const { worker_id: workerId } = request.body
      return presentCommand(await claimFor(parts, { executionId: found.execution_id, commandId, workerId }))
    },
  )

  app.get<{ Params: Static<typeof CommandParams> }>(
    `${prefix}/commands/:id`,
    { schema: { params: CommandParams, summary: 'A command, without claiming it' } },
    async (request) => {
      const command = await parts.claims.look(readCommandId(request.params.id))
      if (command === undefined) throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [request.params.id])
      return presentCommand(command)
    },
  )
}

/**
 * Claims for a client that makes no tokens. Its token follows from its name and the command, so that
 * asking twice gives the same lease.
 */
export async function claimFor(
  parts: Parts,
  wanted: { executionId: string; commandId: string; workerId: string },
): Promise<LeasedCommand> {
  const token = tokenOf(wanted)
  return parts.claims.claim({
    execution_id: wanted.executionId,
    queue_id: wanted.commandId,
    worker_id: wanted.workerId,
    token,
  })
}

/** The token of a client that makes none. */
export function tokenOf({ commandId, workerId }: { commandId: string; workerId: string }): string {
  const hash = createHash('sha256').update(`${commandId}\0${workerId}`).digest('hex')
  return hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')
}

/** The command that an event is about: `payload.command_id` or `meta.command_id`, also as `<execution>:<step>:<id>`. */
export function commandIdOf(event: {
  payload?: unknown
  context?: unknown
  meta?: unknown
}): string | undefined {
  for (const part of [event.payload, event.context, event.meta]) {
    const id = isObject(part) ? part.command_id : undefined
    if (typeof id === 'string' || isNumber(id)) return readCommandId(String(id))
  }
  return undefined
}

function readCommandId(text: string): string {
  const id = text.slice(text.lastIndexOf(':') + 1)
  if (!/^\d{1,19}$/.test(id)) throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [text.slice(0, 100)])
  return id
}

function stored(lease: Static<typeof Lease>): { execution_id: string; queue_id: string; token: string } {
  return { execution_id: idText(lease.execution_id), queue_id: idText(lease.command_id), token: lease.token }
}

function refusal(error: unknown): { error: JsonObject } {
  if (!isNoetlError(error)) throw error
  const details = isObject(error.details) ? error.details : {}
  return { error: { code: error.code, message: error.message, ...details } }
}

/** A command as clients of other makes read it. */
export function presentCommand(command: LeasedCommand): object {
  const [task] = command.body.tasks
  const action = command.body.pipeline ? 'task_sequence' : (task?.kind ?? 'noop')
  const { iteration } = command
  return {
    status: 'ok',
    event_id: command.command_id,
    execution_id: command.execution_id,
    node_id: command.run_id,
    node_name: command.step,
    action,
    context: {
      tool_config: command.body.pipeline
        ? { kind: action, tasks: command.body.tasks as unknown as Json }
        : { kind: action, ...task?.config },
      args: { ...command.body.input, ...task?.input, ...command.args },
      render_context: {
        ...command.context.workload,
        ...command.context.steps,
        workload: command.context.workload,
        ctx: command.context.ctx,
        execution_id: command.execution_id,
        ...(iteration === null
          ? {}
          : {
              [iteration.iterator]: iteration.item,
              loop_index: iteration.index,
              iter: { [iteration.iterator]: iteration.item },
            }),
      },
    },
    meta: {
      command_id: command.command_id,
      attempt: command.attempt,
      max_attempts: command.max_attempts,
      lease_seconds: command.lease_seconds,
      playbook_path: command.playbook.path,
      catalog_id: command.playbook.catalog_id,
    },
  }
}

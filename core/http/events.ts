import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import type { Report } from '../engine/decide.ts'
import type { ReportAnswer } from '../engine/engine.ts'
import { isNoetlError, makeError } from '../errors.ts'
import type { LeasedCommand } from '../schemas/command.ts'
import type { JsonObject } from '../schemas/json.ts'
import { appendEvent, countEvents, getEvent, listEvents } from '../store/events.ts'
import { loadExecution } from '../store/executions.ts'
import { isTransient } from '../store/pools.ts'
import { unstorable } from './app.ts'
import { claimFor, commandIdOf, Token } from './commands.ts'
import { presentEvent, readEventPage } from './execution-view.ts'
import { type ReportName, readOutcome, readTime, readToken } from './outcome.ts'
import type { Parts } from './parts.ts'
import { resolveReference } from './results.ts'
import { Anything, Bag, Id, IdParams, idText, longId, Maybe, Name } from './shapes.ts'

const Reported = Type.Object({
  execution_id: Type.Optional(Id),
  step: Maybe(Type.String({ maxLength: 1000 })),
  node_name: Maybe(Type.String({ maxLength: 1000 })),
  name: Maybe(Type.String({ maxLength: 200 })),
  event_type: Maybe(Type.String({ maxLength: 200 })),
  payload: Maybe(Bag),
  context: Maybe(Bag),
  meta: Maybe(Bag),
  worker_id: Maybe(Type.String({ maxLength: 400 })),
  event_id: Maybe(longId(Type.String({ maxLength: 200 }), Type.Integer())),
  status: Maybe(Type.String({ maxLength: 200 })),
  created_at: Maybe(Type.String({ maxLength: 100 })),
  // Whether the engine must react follows from the name; these two are taken and not looked at.
  actionable: Maybe(Type.Boolean()),
  informative: Maybe(Type.Boolean()),
  result_kind: Maybe(Type.String({ maxLength: 200 })),
  result_uri: Maybe(Type.String({ maxLength: 4000 })),
  event_ids: Type.Optional(Anything),
  // Of this gateway's workers: they would go on with a command that follows, under this token.
  next: Type.Optional(Type.Object({ token: Token, lane: Name, pool: Type.String({ maxLength: 200 }) })),
})
type Reported = Static<typeof Reported>

export const EventBatchBody = Type.Object({
  execution_id: Type.Optional(Id),
  worker_id: Maybe(Type.String({ maxLength: 400 })),
  events: Type.Array(Reported, { maxItems: 10_000 }),
})
export type Batch = Static<typeof EventBatchBody>

const EventParams = Type.Object({ event_id: IdParams.properties.id })
const Wanted = Type.Object({
  execution_id: IdParams.properties.id,
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
  event_type: Type.Optional(Type.String({ maxLength: 200 })),
  since_event_id: Type.Optional(IdParams.properties.id),
})

/** Told by workers, kept for those who ask, moving nothing. */
const INFORMATIVE = [
  'command.started',
  'command.heartbeat',
  'command.completed',
  'command.failed',
  'worker.note',
  'call.log',
]
/** What the engine tells itself when a report is recorded: a worker's word of it is taken and not kept twice. */
const TOLD_BY_ENGINE = ['step.enter', 'step.exit']
/** These follow a report that may have ended the execution; they are no fault then. */
const AFTERWORDS = ['step.exit', 'command.completed', 'command.failed']
const KNOWN = [
  'call.done',
  'call.error',
  'call.waiting',
  'call.retrying',
  'command.claimed',
  ...TOLD_BY_ENGINE,
  ...INFORMATIVE,
]

/** Names of events that settle a command, as they may be written. */
const OUTCOME = /^call[._](?:done|error|waiting|retrying)$/

interface Taken {
  event_id: string | null
  commands_generated: number
  outcome: ReportAnswer['status'] | 'noted'
  /** The command that the reporter holds now, if it asked for one with `next`. */
  next?: LeasedCommand
}

/** `POST /api/events` and `/api/v2/events`: what workers report. Batches are in `event-batches.ts`. */
export function eventRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.post<{ Body: Reported }>(
    `${prefix}/events`,
    { schema: { body: Reported, summary: 'Takes one event; answers when what follows from it is stored' } },
    async (request) => {
      const taken = await takeEvent(parts, request.body, {})
      if (taken.outcome === 'late') {
        throw makeError('NOETL_ERR_COMMAND_LATE', [commandIdOf(request.body) ?? ''], {
          details: { event_id: taken.event_id },
        })
      }
      return { status: 'ok', ...taken }
    },
  )

  for (const path of ['event', 'event/']) {
    app.get<{ Querystring: Static<typeof Wanted> }>(
      `${prefix}/${path}`,
      { schema: { querystring: Wanted, summary: 'Events of an execution, as the first clients asked' } },
      async (request) => {
        const { execution_id, ...query } = request.query
        const page = readEventPage(query, 100)
        const pool = parts.pools.durable
        if ((await loadExecution(pool, execution_id)) === undefined) {
          throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [execution_id])
        }
        const [rows, total] = await Promise.all([
          listEvents(pool, execution_id, page),
          countEvents(pool, execution_id, page),
        ])
        return { execution_id, events: rows.map(presentEvent), pagination: page.describe(total) }
      },
    )
  }

  app.get<{ Params: Static<typeof EventParams> }>(
    `${prefix}/event/:event_id`,
    { schema: { params: EventParams, summary: 'One event, by its id' } },
    async (request) => {
      const event = await getEvent(parts.pools.durable, request.params.event_id)
      if (event === undefined) throw makeError('NOETL_ERR_EVENT_NOT_FOUND', [request.params.event_id])
      return presentEvent(event)
    },
  )
}

export type BatchResult = Taken | { error: string; code: string; status: number }

/**
 * Executions side by side. Of one execution the outcomes that follow each other are taken together, so that they are
 * decided and committed at once; whatever else is between them waits for those before it.
 */
export async function takeBatch(parts: Parts, { events, ...common }: Batch): Promise<BatchResult[]> {
  const results: BatchResult[] = new Array(events.length)
  /** By execution: what an outcome waits for, and what all else waits for. */
  const lines = new Map<string, { before: Promise<unknown>; all: Promise<unknown> }>()
  for (const [i, event] of events.entries()) {
    const key = String(event.execution_id ?? common.execution_id)
    const { before, all } = lines.get(key) ?? { before: undefined, all: undefined }
    const outcome = OUTCOME.test(event.name ?? event.event_type ?? '')
    const take = async () => {
      const wait = outcome ? before : all
      if (wait !== undefined) await wait
      results[i] = await takeEvent(parts, event, common).catch((error: unknown) => {
        const told = isNoetlError(error) ? error : unstorable(error)
        if (told === undefined) throw error
        return { error: told.message, code: told.code, status: told.statusCode }
      })
    }
    const taken = take()
    lines.set(
      key,
      outcome
        ? { before: before ?? Promise.resolve(), all: Promise.all([all, taken]) }
        : { before: taken, all: taken },
    )
  }
  await Promise.all([...lines.values()].map(({ all }) => all))
  return results
}

async function takeEvent(
  parts: Parts,
  event: Reported,
  common: Pick<Reported, 'execution_id' | 'worker_id'>,
): Promise<Taken> {
  const id = event.execution_id ?? common.execution_id
  if (id === undefined)
    throw makeError('NOETL_ERR_REQUEST_INVALID', ['body must have execution_id; seen: nothing'])
  const executionId = idText(id)
  const written = event.name ?? event.event_type
  if (written === undefined || written === null) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', ['body must have name (or event_type); seen: nothing'])
  }
  const name = written.replaceAll('_', '.')
  const workerId = event.worker_id ?? common.worker_id ?? null
  switch (name) {
    case 'call.done':
    case 'call.error':
    case 'call.waiting':
    case 'call.retrying':
      return takeReport(parts, executionId, { ...event, name }, workerId)
    case 'command.claimed': {
      const commandId = requireCommandId(event, name)
      if (workerId === null)
        throw makeError('NOETL_ERR_REQUEST_INVALID', ['command.claimed needs worker_id; seen: nothing'])
      await claimFor(parts, { executionId, commandId, workerId })
      return { event_id: commandId, commands_generated: 0, outcome: 'noted' }
    }
  }
  if (!KNOWN.includes(name)) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      `body/name is "${written}"; one of ${KNOWN.join(', ')} was expected`,
    ])
  }
  const kept = !TOLD_BY_ENGINE.includes(name)
  const told = await appendEvent(parts.pools.durable, {
    execution_id: executionId,
    event_id: parts.newId(),
    event_type: name,
    node_name: event.step ?? event.node_name ?? null,
    status: event.status ?? null,
    worker_id: workerId,
    context: (event.payload ?? event.context ?? {}) as JsonObject,
    meta: (event.meta ?? {}) as JsonObject,
    key: event.event_id === undefined || event.event_id === null ? null : String(event.event_id),
    keep: kept,
  })
  if (!told.found) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [executionId])
  if (!told.running && !AFTERWORDS.includes(name)) {
    throw makeError('NOETL_ERR_EXECUTION_FINISHED', [executionId, told.status])
  }
  return { event_id: told.event_id, commands_generated: 0, outcome: 'noted' }
}

async function takeReport(
  parts: Parts,
  executionId: string,
  event: Reported & { name: ReportName },
  workerId: string | null,
): Promise<Taken> {
  const commandId = requireCommandId(event, event.name)
  const payload = await payloadOf(parts, executionId, event)
  const meta = (event.meta ?? {}) as JsonObject
  const token = readToken(meta.token)
  if (token === null && workerId === null) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [
      `${event.name} needs worker_id or meta.token, to show who holds the command`,
    ])
  }
  const report: Report = {
    type: 'report',
    command_id: commandId,
    step: event.step ?? event.node_name ?? '',
    worker_id: workerId,
    attempt: typeof meta.attempt === 'number' ? meta.attempt : null,
    started_at: readTime(meta.started_at),
    outcome: readOutcome(event.name, payload),
  }
  const holder =
    event.next === undefined || workerId === null
      ? undefined
      : { token: event.next.token.toLowerCase(), worker_id: workerId }
  const answer = await parts.engine.report(
    executionId,
    report,
    { queue_id: commandId, token, worker_id: workerId },
    holder && { ...event.next!, ...holder },
  )
  if (answer.status === 'late' && answer.execution_status !== 'RUNNING') {
    throw makeError('NOETL_ERR_EXECUTION_FINISHED', [executionId, answer.execution_status])
  }
  const { event_id, commands_generated, status: outcome } = answer
  const next = holder && (await nextOf(parts, executionId, answer, holder))
  return { event_id, commands_generated, outcome, ...(next && { next }) }
}

/** The command to go on with. Whoever repeats a report because its answer was lost gets what was given then. */
async function nextOf(
  parts: Parts,
  executionId: string,
  answer: ReportAnswer,
  holder: { token: string; worker_id: string },
): Promise<LeasedCommand | undefined> {
  try {
    if (answer.next !== undefined) return await parts.claims.given(answer.next, holder)
    if (answer.status !== 'duplicate') return undefined
    const queue_id = await parts.store.leasedUnder(executionId, holder.token)
    if (queue_id === undefined) return undefined
    return await parts.claims.claim({ execution_id: executionId, queue_id, ...holder, again: true })
  } catch (err) {
    // Asked again it finds the report recorded, and what was given.
    if (isTransient(err)) throw err
    // The report is recorded all the same. The lease runs out, and the command goes to whoever claims it then.
    parts.log.warn({ err, execution_id: executionId }, 'a command that was leased could not be handed over')
    return undefined
  }
}

/** What an event carries. A result that the worker stored before is fetched, so that it is one like any other. */
async function payloadOf(parts: Parts, executionId: string, event: Reported): Promise<JsonObject> {
  const payload = (event.payload ?? event.context ?? {}) as JsonObject
  const { result_uri: uri, result_kind: kind } = event
  if (!uri || payload.result !== undefined || payload.response !== undefined) return payload
  if (!uri.startsWith('noetl://')) return { ...payload, result: { _ref: uri, _store: kind ?? null } }
  if (!uri.startsWith(`noetl://execution/${executionId}/`)) {
    throw makeError('NOETL_ERR_REQUEST_INVALID', ['result_uri names a value of another execution'])
  }
  return { ...payload, result: await resolveReference(parts, uri) }
}

function requireCommandId(event: Reported, name: string): string {
  const commandId = commandIdOf(event)
  if (commandId !== undefined) return commandId
  throw makeError('NOETL_ERR_REQUEST_INVALID', [
    `${name} needs payload.command_id, the id of the command; seen: ${JSON.stringify(event.payload ?? null).slice(0, 100)}`,
  ])
}

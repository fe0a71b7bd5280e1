import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { fold, NOTHING } from '../engine/fold.ts'
import { makeError } from '../errors.ts'
import type { Event } from '../schemas/event.ts'
import type { State } from '../schemas/execution.ts'
import { type Json, parseJson, writeJson } from '../schemas/json.ts'
import { type EventRow, listEvents } from '../store/events.ts'
import { loadExecution } from '../store/executions.ts'
import type { Parts } from './parts.ts'
import { IdParams } from './shapes.ts'

const Wanted = Type.Object({
  execution_id: IdParams.properties.id,
  event_id: Type.Optional(IdParams.properties.id),
})

/** Events folded by one request, at most, and read at once. */
const MAX_EVENTS = 20_000
const PAGE = 500

/** `GET /api/replay/state`: the state that the events of an execution give, up to one of them or to the last. */
export function replayRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.get<{ Querystring: Static<typeof Wanted> }>(
    `${prefix}/replay/state`,
    { schema: { querystring: Wanted, summary: 'The state that events give, up to one or to the last' } },
    async (request) => {
      const { execution_id, event_id: last } = request.query
      const before = await loadExecution(parts.pools.durable, execution_id)
      if (before === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [execution_id])
      const replayed = await replay(parts, execution_id, last)
      const { state, events, complete } = replayed
      const after = await loadExecution(parts.pools.durable, execution_id)
      // The whole can be compared with what is stored unless the execution has moved meanwhile.
      const comparable = last === undefined && complete && before.revision === after?.revision
      return {
        status: 'ok',
        execution_id,
        execution_status: before.status,
        state,
        last_event_id: state.last,
        events_folded: events,
        complete,
        matches: comparable ? isDeepStrictEqual(ofEngine(before.state), ofEngine(state)) : null,
      }
    },
  )
}

/** As JSON, without the last event: that may be one which upkeep or a client told and which moved nothing. */
function ofEngine(state: State): unknown {
  return parseJson(writeJson({ ...state, last: undefined }))
}

async function replay(
  parts: Parts,
  id: string,
  last: string | undefined,
): Promise<{ state: State; events: number; complete: boolean }> {
  const end = last === undefined ? undefined : BigInt(last)
  let state = NOTHING
  let since = '0'
  for (let events = 0; events < MAX_EVENTS; ) {
    const rows = await listEvents(parts.pools.durable, id, { since, limit: PAGE, offset: 0 })
    for (const row of rows) {
      if (end !== undefined && BigInt(row.event_id) > end) return { state, events, complete: true }
      state = fold(state, eventOf(row))
      events += 1
    }
    if (rows.length < PAGE) return { state, events, complete: true }
    since = rows.at(-1)!.event_id
  }
  return { state, events: MAX_EVENTS, complete: false }
}

/** An event as it was told: fields that it did not have are absent, not null. */
function eventOf(row: EventRow): Event {
  const optional = {
    node_id: row.node_id,
    node_name: row.node_name,
    node_type: row.node_type,
    status: row.status,
    duration: row.duration,
    current_index: row.current_index,
    worker_id: row.worker_id,
    context: row.context,
    meta: row.meta,
    error: row.error as Json,
  }
  return {
    event_id: row.event_id,
    execution_id: row.execution_id,
    created_at: row.created_at.toISOString(),
    event_type: row.event_type,
    result: row.result as Json,
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== null)) as Partial<Event>),
  }
}

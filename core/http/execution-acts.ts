import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { eachOf } from '../each-of.ts'
import type { Ended } from '../engine/engine.ts'
import { callError } from '../engine/problem.ts'
import { isNoetlError, makeError } from '../errors.ts'
import { isObject, type JsonObject } from '../schemas/json.ts'
import { getEvent } from '../store/events.ts'
import { findOld, findRunningBelow, loadExecution } from '../store/executions.ts'
import { findEntry } from './catalog.ts'
import type { Parts } from './parts.ts'
import { Bag, IdParams, Maybe, Version } from './shapes.ts'
import { startPlan } from './start.ts'

/** A body that may be left out. */
const Optionally = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()])

const Cancel = Optionally(
  Type.Object({ reason: Maybe(Type.String({ maxLength: 10_000 })), cascade: Maybe(Type.Boolean()) }),
)
const Finalize = Optionally(
  Type.Object({
    status: Maybe(Type.Union([Type.Literal('COMPLETED'), Type.Literal('FAILED')])),
    error: Maybe(Type.String({ maxLength: 100_000 })),
    reason: Maybe(Type.String({ maxLength: 100_000 })),
  }),
)
const Cleanup = Type.Object({
  older_than_minutes: Type.Number({ exclusiveMinimum: 0, maximum: 10_000_000 }),
  dry_run: Maybe(Type.Boolean()),
})
const Rerun = Optionally(Type.Object({ version: Version, payload: Maybe(Bag), workload: Maybe(Bag) }))

/** Executions cancelled by one request, at most. */
const MAX_CANCELLED = 10_000
const PER_CLEANUP = 1000
/** Cancels under way at once. */
const AT_ONCE = 16

/** Cancel, finalize, clean up, rerun: what clients do to executions. */
export function executionActRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  for (const word of ['cancel', 'stop']) {
    app.post<{ Params: IdParams; Body: Static<typeof Cancel> }>(
      `${prefix}/executions/:id/${word}`,
      { schema: { params: IdParams, body: Cancel, summary: 'Cancels an execution and those it started' } },
      async (request) => {
        const { id } = request.params
        const { reason, cascade } = request.body ?? {}
        const why = reason ?? 'cancelled by request'
        const ended = await orNotFound(id, parts.engine.cancel(id, why))
        const cancelled = ended.changed ? [id] : []
        if (cascade !== false) cancelled.push(...(await cancelBelow(id, why)))
        const changed = cancelled.length > 0
        return {
          execution_id: id,
          status: changed ? 'cancelled' : 'already_completed',
          execution_status: ended.status,
          cancelled_executions: cancelled,
          message: changed ? `Execution ${id} was cancelled.` : `Execution ${id} was ${ended.status} before.`,
        }
      },
    )
  }

  app.post<{ Params: IdParams; Body: Static<typeof Finalize> }>(
    `${prefix}/executions/:id/finalize`,
    { schema: { params: IdParams, body: Finalize, summary: 'Ends an execution by hand' } },
    async (request) => {
      const { id } = request.params
      const { status: wanted, error: told, reason } = request.body ?? {}
      const status = wanted ?? 'FAILED'
      const text = told ?? reason ?? 'finalized by hand'
      const error = status === 'FAILED' ? callError('NOETL_ERR_EXECUTION_FINALIZED', text) : null
      const ended = await orNotFound(id, parts.engine.finalize(id, status, error))
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

  app.post<{ Body: Static<typeof Cleanup> }>(
    `${prefix}/executions/cleanup`,
    { schema: { body: Cleanup, summary: 'Cancels executions that have run for too long' } },
    async (request) => {
      const { older_than_minutes: minutes, dry_run } = request.body
      const found = await findOld(pool, minutes, PER_CLEANUP + 1)
      const old = found.slice(0, PER_CLEANUP)
      const rest = found.length > old.length ? ' There are more; ask again.' : ''
      if (dry_run === true) {
        const message = `${old.length} executions would be cancelled.${rest}`
        return { cancelled_count: old.length, execution_ids: old, dry_run: true, message }
      }
      const ids = await cancelEach(old, `it ran for more than ${minutes} minutes`)
      const message = `${ids.length} executions were cancelled.${rest}`
      return { cancelled_count: ids.length, execution_ids: ids, dry_run: false, message }
    },
  )

  app.post<{ Params: IdParams; Body: Static<typeof Rerun> }>(
    `${prefix}/executions/:id/rerun`,
    {
      schema: { params: IdParams, body: Rerun, summary: 'Starts an execution again, with the same payload' },
    },
    async (request) => {
      const { id } = request.params
      const { version, payload, workload } = request.body ?? {}
      const row = await loadExecution(pool, id)
      if (row === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [id])
      const entry =
        version === undefined || version === null
          ? row
          : await findEntry(parts, { path: row.path, version }, { archived: version !== 'latest' })
      const plan = await parts.plans.byId(entry.catalog_id)
      const started = await startPlan(parts, plan, {
        payload: { ...(await payloadOf(id)), ...workload, ...payload } as JsonObject,
        parentExecutionId: null,
        meta: { rerun_of: id },
        traceparent: request.headers.traceparent,
      })
      return { ...started, rerun_of: id, path: plan.path, version: plan.version, catalog_id: plan.catalogId }
    },
  )

  /** What an execution was started with: of its workload the keys that were given, where these are known. */
  async function payloadOf(id: string): Promise<JsonObject> {
    const event = await getEvent(pool, id, id)
    const workload = isObject(event?.context?.workload) ? event.context.workload : {}
    const given = event?.meta?.given
    if (!Array.isArray(given)) return workload
    return Object.fromEntries(Object.entries(workload).filter(([key]) => given.includes(key)))
  }

  /** Again and again, because those below may start others until they are cancelled themselves. */
  async function cancelBelow(id: string, reason: string): Promise<string[]> {
    const cancelled: string[] = []
    for (let round = 0; round < 100 && cancelled.length < MAX_CANCELLED; round++) {
      const running = await findRunningBelow(pool, id, 1000)
      if (running.length === 0) break
      cancelled.push(...(await cancelEach(running, reason)))
    }
    return cancelled
  }

  /** Those that this has cancelled; one may end by itself meanwhile. */
  async function cancelEach(ids: string[], reason: string): Promise<string[]> {
    const cancelled: string[] = []
    await eachOf(ids, AT_ONCE, async (id) => {
      if ((await parts.engine.cancel(id, reason)).changed) cancelled.push(id)
    })
    return cancelled
  }
}

/** A 404 that says so in the words of these answers too. */
async function orNotFound(id: string, ending: Promise<Ended>): Promise<Ended> {
  try {
    return await ending
  } catch (error) {
    if (!isNoetlError(error) || error.code !== 'NOETL_ERR_EXECUTION_NOT_FOUND') throw error
    throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [id], {
      details: { execution_id: id, status: 'not_found', cancelled_executions: [] },
    })
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import { type Static, Type } from 'typebox'
import type { Plan } from '../engine/plan.ts'
import { workloadOf } from '../engine/workload.ts'
import { makeError } from '../errors.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { clientTrace, readTraceparent } from '../schemas/trace.ts'
import { getNewestId } from '../store/catalog.ts'
import {
  forgetStartKeys,
  freeStartKey,
  LONGEST_WINDOW,
  readStartKey,
  type StartKey,
  takeStartKey,
} from '../store/start-keys.ts'
import { findEntry } from './catalog.ts'
import type { Parts } from './parts.ts'
import { Anything, Bag, Id, idText, Maybe, Version } from './shapes.ts'

/** What starts an execution. `payload` and `workload` mean the same; where both are given, `payload` wins. */
export const Start = Type.Object({
  path: Type.Optional(Type.String({ minLength: 1 })),
  catalog_id: Type.Optional(Id),
  version: Version,
  payload: Maybe(Bag),
  workload: Maybe(Bag),
  parent_execution_id: Maybe(Id),
  dedup: Maybe(
    Type.Object({
      key: Type.String({ minLength: 1, maxLength: 1000 }),
      window_secs: Type.Number({ exclusiveMinimum: 0, maximum: LONGEST_WINDOW }),
    }),
  ),
  lane: Maybe(Type.String({ minLength: 1, maxLength: 60 })),
  execution_pool: Maybe(Type.String({ maxLength: 200 })),
  resource_kind: Maybe(Type.String({ maxLength: 100 })),
  trace: Type.Optional(Anything),
})
export type Start = Static<typeof Start>

export interface StartAnswer {
  execution_id: string
  status: 'started' | 'duplicate'
  commands_generated: number
}

/** Names of a payload that are remembered for a rerun; of a longer one, the whole workload is taken. */
const MAX_GIVEN = 200
/** How long a start waits for another one under its key that is about to begin. */
const PATIENCE_MS = 10_000

/** Starts what a request asks for, once within the window of its key. */
export async function startExecution(parts: Parts, body: Start, traceparent?: unknown): Promise<StartAnswer> {
  const plan = await parts.plans.byId(await catalogIdOf(parts, body))
  const payload = { ...body.workload, ...body.payload } as JsonObject
  const parent = body.parent_execution_id
  const about = {
    payload,
    traceparent,
    parentExecutionId: parent === undefined || parent === null ? null : idText(parent),
    ...(body.lane ? { lane: body.lane } : {}),
    meta: {
      ...(body.execution_pool ? { execution_pool: body.execution_pool } : {}),
      ...(body.trace === undefined ? {} : { trace: body.trace as Json }),
    },
  }
  if (!body.dedup) return startPlan(parts, plan, about)
  return startOnce(parts, { path: plan.path, ...body.dedup }, (executionId) =>
    startPlan(parts, plan, { ...about, executionId }),
  )
}

/** Starts a plan: one transaction, then the announcement. */
export async function startPlan(
  parts: Parts,
  plan: Plan,
  about: {
    executionId?: string
    payload: JsonObject
    parentExecutionId: string | null
    meta: JsonObject
    /** Header of whoever asked for it; what is none is passed over. */
    traceparent?: unknown
    lane?: string
  },
): Promise<StartAnswer> {
  const { payload, parentExecutionId, executionId = parts.newId() } = about
  const workload = workloadOf(plan.playbook.workload, payload, {
    executionId,
    parentExecutionId,
    now: new Date().toISOString(),
    env: parts.config.templateEnv,
  })
  const given = Object.keys(payload)
  const meta = { ...about.meta, ...(given.length <= MAX_GIVEN ? { given } : {}) }
  const caller = readTraceparent(about.traceparent)
  const started = await parts.engine.start({
    ...{ executionId, plan, workload, parentExecutionId, meta },
    ...(caller === undefined ? {} : { trace: clientTrace(executionId, caller) }),
    ...(about.lane === undefined ? {} : { lane: about.lane }),
  })
  return {
    execution_id: started.execution_id,
    status: 'started',
    commands_generated: started.commands_generated,
  }
}

/**
 * The key is taken before the start and freed if that fails. Who finds it taken waits until the execution is
 * there, so that no one is told of an execution that never comes to be.
 */
async function startOnce(
  parts: Parts,
  key: StartKey,
  start: (executionId: string) => Promise<StartAnswer>,
): Promise<StartAnswer> {
  const pool = parts.pools.durable
  const executionId = parts.newId()
  const warn = (err: unknown) => parts.log.warn({ err }, 'the keys of starts could not be tidied')
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await delay(25)) {
    if (await takeStartKey(pool, key, executionId)) {
      try {
        return await start(executionId)
      } catch (error) {
        // Should this fail too, the key frees itself when no execution has come of it.
        await freeStartKey(pool, key, executionId).catch(warn)
        throw error
      } finally {
        await forgetStartKeys(pool).catch(warn)
      }
    }
    const holder = await readStartKey(pool, key)
    if (holder?.begun)
      return { execution_id: holder.execution_id, status: 'duplicate', commands_generated: 0 }
  }
  throw makeError('NOETL_ERR_SATURATED', [1])
}

/** The newest version by path needs one small query; anything else goes the long way and gets its errors there. */
async function catalogIdOf(parts: Parts, body: Start): Promise<string> {
  const { path, version } = body
  if (path !== undefined && body.catalog_id === undefined && (version ?? 'latest') === 'latest') {
    const newest = await getNewestId(parts.pools.durable, path)
    if (newest !== undefined) return newest
  }
  return (await findEntry(parts, body)).catalog_id
}

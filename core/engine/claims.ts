import { makeBatcher } from '../batch.ts'
import { publish } from '../channels.ts'
import { makeError, type NoetlError } from '../errors.ts'
import type { CommandContext, LeasedCommand } from '../schemas/command.ts'
import type { Value } from '../schemas/execution.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import type { Pools } from '../store/pools.ts'
import { type Claim, type Claimed, claimCommands, lookAtCommands, readCommand } from '../store/queue.ts'
import { loadEvents, loadResults } from '../store/values.ts'
import { type Known, setOf } from './known.ts'
import type { Plan } from './plan.ts'
import type { Plans } from './plans.ts'

/**
 * Leases commands to workers. Claims that arrive together go in one statement. The row in the queue says
 * who holds a command; what it needs to run is put together here: the body from the playbook, values from
 * memory where this server has seen the command issued, else from the events before it.
 */
export interface Claims {
  /** A lease; rejects with NOETL_ERR_COMMAND_CLAIMED or NOETL_ERR_COMMAND_SETTLED. */
  claim(wanted: Omit<Claim, 'event_id'>): Promise<LeasedCommand>
  /** A command as it would be leased, without leasing it; undefined when it is settled or unknown. */
  look(commandId: string): Promise<LeasedCommand | undefined>
}

/** Lists of loops kept in memory, by their event. */
const LISTS_KEPT = 100

export function makeClaims(parts: {
  pools: Pools
  plans: Plans
  newId(): string
  leaseSeconds: number
  glimpse(executionId: string): Known | undefined
}): Claims {
  const { pools, plans, leaseSeconds } = parts
  const lists = new Map<string, Json[]>()

  const batcher = makeBatcher<Claim, LeasedCommand>({
    maxItems: 200,
    concurrency: 2,
    async run(claims) {
      const claimed = await claimCommands(pools.relaxed, claims, leaseSeconds)
      const byToken = new Map(claimed.map((row) => [row.lease_token, row]))
      const missing = claims.filter((claim) => !byToken.has(claim.token.toLowerCase()))
      const looks = missing.length === 0 ? [] : await lookAtCommands(pools.relaxed, missing)
      return Promise.all(
        claims.map(async (claim) => {
          const row = byToken.get(claim.token.toLowerCase())
          if (row !== undefined) return lease(row, claim).catch((error: Error) => error as NoetlError)
          return refusal(
            claim,
            looks.find((look) => look.queue_id === claim.queue_id),
          )
        }),
      )
    },
  })

  async function lease(row: Claimed, claim: { token: string }): Promise<LeasedCommand> {
    const plan = await plans.byId(row.catalog_id)
    const step = plan.step(row.node_name)?.step
    if (step === undefined) throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [row.queue_id])
    const index = row.current_index
    const items = index === null ? [] : await listOf(row)
    return {
      command_id: row.queue_id,
      execution_id: row.execution_id,
      parent_execution_id: row.parent_execution_id,
      step: row.node_name,
      run_id: row.node_id,
      attempt: row.attempt,
      max_attempts: row.max_attempts,
      token: claim.token,
      lease_seconds: leaseSeconds,
      playbook: {
        path: row.path,
        version: row.version,
        catalog_id: row.catalog_id,
        dialect: plan.playbook.dialect,
      },
      body: { tasks: step.tasks, pipeline: step.pipeline, input: step.input },
      args: (row.context.args ?? {}) as JsonObject,
      iteration:
        index === null || step.loop === undefined
          ? null
          : { iterator: step.loop.iterator, index, total: items.length, item: items[index] ?? null },
      context: await contextOf(plan, row),
    }
  }

  async function listOf(row: Claimed): Promise<Json[]> {
    const there = lists.get(row.node_id)
    if (there !== undefined) return there
    const event = await eventOf(row.execution_id, row.node_id)
    const items = (event.context?.items ?? []) as Json[]
    if (lists.size >= LISTS_KEPT) lists.delete(lists.keys().next().value!)
    lists.set(row.node_id, items)
    return items
  }

  async function contextOf(plan: Plan, row: Claimed): Promise<CommandContext> {
    const planned = plan.step(row.node_name)!
    const needs = planned.needs()
    const wholeSteps = needs.all || needs.below.get('steps') === null
    const steps = plan.playbook.steps
      .map((step) => step.name)
      .filter((name) => wholeSteps || needs.roots.has(name) || needs.below.get('steps')?.has(name))
    const wantsPrevious = needs.all || ['result', 'response', '_prev'].some((name) => needs.roots.has(name))
    const workload = await workloadOf(row.execution_id)
    const wholeWorkload = needs.all || needs.below.get('workload') === null
    const named = (name: string) => needs.roots.has(name) || needs.below.get('workload')?.has(name)
    const previous = row.context.previous as string | undefined
    return {
      workload: wholeWorkload
        ? workload
        : Object.fromEntries(Object.entries(workload).filter(([name]) => named(name))),
      ctx: await ctxOf(row, (row.context.ctx ?? {}) as unknown as Record<string, Value>),
      steps: await resultsOf(row, steps),
      previous:
        previous === undefined || !wantsPrevious ? null : (await eventOf(row.execution_id, previous)).result,
    }
  }

  /** Memory holds for this command only if it has seen it issued. */
  function memoryFor(row: Claimed): Known | undefined {
    const known = parts.glimpse(row.execution_id)
    return known !== undefined && !idLess(known.state.last, row.queue_id) ? known : undefined
  }

  async function resultsOf(row: Claimed, steps: string[]): Promise<JsonObject> {
    if (steps.length === 0) return {}
    const known = memoryFor(row)
    const results: JsonObject = {}
    const missing: string[] = []
    for (const step of steps) {
      const there = known?.results.get(step)
      if (there != null && idLess(there.event_id, row.queue_id)) results[step] = there.result
      else if (known === undefined || (there === undefined && !known.fresh) || there != null)
        missing.push(step)
    }
    if (missing.length > 0) {
      for (const found of await loadResults(pools.durable, row.execution_id, missing, row.queue_id)) {
        results[found.step] = found.result
      }
    }
    return results
  }

  async function ctxOf(row: Claimed, kept: Record<string, Value>): Promise<JsonObject> {
    const values: JsonObject = {}
    for (const [name, value] of Object.entries(kept)) {
      values[name] = 'v' in value ? value.v : (setOf(await eventOf(row.execution_id, value.at))[name] ?? null)
    }
    return values
  }

  async function workloadOf(executionId: string): Promise<JsonObject> {
    const known = parts.glimpse(executionId)?.workload
    if (known !== undefined) return known
    return ((await eventOf(executionId, executionId)).context?.workload ?? {}) as JsonObject
  }

  async function eventOf(
    executionId: string,
    eventId: string,
  ): Promise<{ context: JsonObject | null; result: Json }> {
    const there = parts.glimpse(executionId)?.events.get(eventId)
    if (there !== undefined) return there
    const [event] = await loadEvents(pools.durable, executionId, [eventId])
    if (event === undefined) {
      throw makeError('NOETL_ERR_INTERNAL', [`event ${eventId} of execution ${executionId} is gone`])
    }
    return event
  }

  return {
    async claim(wanted) {
      const { worker_id } = wanted
      try {
        const command = await batcher.add({ ...wanted, event_id: parts.newId() })
        publish('noetl:claimed', { worker_id, claimed: 1, refused: 0 })
        return command
      } catch (error) {
        publish('noetl:claimed', { worker_id, claimed: 0, refused: 1 })
        throw error
      }
    },
    async look(commandId) {
      const row = await readCommand(pools.durable, commandId)
      return row === undefined ? undefined : lease(row, { token: '' })
    },
  }
}

function refusal(
  claim: Claim,
  look: { status: string; worker_id: string | null; retry_after: number } | undefined,
): NoetlError {
  if (look === undefined) return makeError('NOETL_ERR_COMMAND_SETTLED', [claim.queue_id])
  return makeError('NOETL_ERR_COMMAND_CLAIMED', [claim.queue_id, look.worker_id ?? 'none'], {
    details: { retry_after: Math.ceil(look.retry_after) },
  })
}

/** Ids are decimal numbers beyond what a double holds. */
export function idLess(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length
}

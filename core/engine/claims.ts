import { makeBatcher } from '../batch.ts'
import { isHeard, publish } from '../channels.ts'
import { isNoetlError, makeError, type NoetlError } from '../errors.ts'
import type { CallError, Child, CommandContext, LeasedCommand, Resume } from '../schemas/command.ts'
import { makeEnded } from '../schemas/ended.ts'
import type { Value } from '../schemas/execution.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { put } from '../schemas/put.ts'
import type { CommandTrace } from '../schemas/trace.ts'
import { believable, idTime } from '../store/ids.ts'
import type { Claim, Claimed } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import type { Issue } from './enter.ts'
import { type Known, type Recorded, setOf } from './known.ts'
import type { Plan, StepPlan } from './plan.ts'
import type { Plans } from './plans.ts'
import { callError } from './problem.ts'

/**
 * Leases commands to workers. Claims that arrive together go in one statement. The row in the queue says
 * who holds a command; what it needs to run is put together here: the body from the playbook, values from
 * memory where this server has seen the command issued, else from the events before it.
 */
export interface Claims {
  /** A lease; rejects with NOETL_ERR_COMMAND_CLAIMED or NOETL_ERR_COMMAND_SETTLED. */
  claim(wanted: Omit<Claim, 'event_id'>): Promise<LeasedCommand>
  /** A command that was leased with the report before it, as its holder gets it. */
  given(row: Claimed, holder: { token: string; worker_id: string }): Promise<LeasedCommand>
  /** A command as it would be leased, without leasing it; undefined when it is settled or unknown. */
  look(commandId: string): Promise<LeasedCommand | undefined>
}

/** Lists of loops kept in memory, by their event. */
const LISTS_KEPT = 100

export function makeClaims(parts: {
  store: Store
  plans: Plans
  newId(after?: string): string
  leaseSeconds: number
  glimpse(executionId: string): Known | undefined
}): Claims {
  const { store, plans, leaseSeconds } = parts
  const lists = new Map<string, Json[]>()
  const ended = makeEnded()

  const batcher = makeBatcher<Claim, LeasedCommand>({
    maxItems: 200,
    concurrency: 2,
    async run(claims) {
      const claimed = await store.claimCommands(claims, leaseSeconds)
      const byToken = new Map(claimed.map((row) => [row.lease_token, row]))
      const missing = claims.filter((claim) => !byToken.has(claim.token.toLowerCase()))
      const looks = missing.length === 0 ? [] : await store.lookAtCommands(missing)
      await noteEnded(missing.filter(({ queue_id }) => !looks.some((look) => look.queue_id === queue_id)))
      return Promise.all(
        claims.map(async (claim) => {
          const row = byToken.get(claim.token.toLowerCase())
          if (row !== undefined) return lease(row, claim).catch((error: Error) => error as NoetlError)
          return refusal(
            claim,
            looks.find((look) => look.queue_id === claim.queue_id),
            ended.has(claim.execution_id),
          )
        }),
      )
    },
  })

  /** A command that is gone may be one of thousands: whether their execution has ended is looked up once. */
  async function noteEnded(gone: Claim[]): Promise<void> {
    for (const id of new Set(gone.map(({ execution_id }) => execution_id))) {
      if (ended.has(id) || parts.glimpse(id) !== undefined) continue
      const row = await store.loadExecution(id)
      if (row !== undefined && row.status !== 'RUNNING') ended.add(id)
    }
  }

  async function lease(row: Claimed, claim: { token: string; worker_id: string }): Promise<LeasedCommand> {
    const plan = await plans.byId(row.catalog_id)
    const step = plan.step(row.node_name)?.step
    if (step === undefined) throw makeError('NOETL_ERR_COMMAND_NOT_FOUND', [row.queue_id])
    if (isHeard('noetl:leased') && row.lease_token !== null) tell(row, plan, claim.worker_id)
    const index = row.current_index
    const cursor = step.loop?.cursor
    const items = index === null || cursor !== undefined ? [] : await listOf(row)
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
      lane: row.lane,
      pool: row.pool,
      playbook: {
        path: row.path,
        version: row.version,
        catalog_id: row.catalog_id,
        dialect: plan.playbook.dialect,
      },
      body: { tasks: step.tasks, pipeline: step.pipeline, input: step.input },
      args: (row.context.args ?? {}) as JsonObject,
      iteration:
        index === null || step.loop === undefined || cursor !== undefined
          ? null
          : { iterator: step.loop.iterator, index, total: items.length, item: items[index] ?? null },
      context: await contextOf(plan, row),
      frame: cursor === undefined ? null : { iterator: step.loop!.iterator, cursor },
      resume: await resumeOf(row),
      ...(isObject(row.context.trace) ? { trace: row.context.trace as unknown as CommandTrace } : {}),
    }
  }

  /** What the body handed over when it began to wait, and what the execution it waited for came to. */
  async function resumeOf(row: Claimed): Promise<Resume | null> {
    const resumes = row.context.resumes as unknown as Issue['resumes']
    if (resumes === undefined) return null
    const { child_execution_id: id, error = null } = resumes
    const waited = (await eventOf(row.execution_id, resumes.event_id)).context as unknown as {
      child: Child
      resume: JsonObject
    }
    const state = waited.resume
    if (id === undefined) return { state, outcome: null }
    if (error !== null) return { state, outcome: { result: null, error } }
    return { state, outcome: await outcomeOf(id, waited.child) }
  }

  /** Result of the wanted step of an execution that has ended, or why there is none. */
  async function outcomeOf(id: string, child: Child): Promise<{ result: Json; error: CallError | null }> {
    const ended = await store.loadExecution(id)
    if (ended === undefined || ended.status !== 'COMPLETED') {
      const why =
        ended === undefined
          ? 'was lost'
          : ended.status === 'CANCELLED'
            ? 'was cancelled'
            : `failed: ${ended.error?.message}`
      const { message, code } = makeError('NOETL_ERR_EXECUTION_CHILD', [id, child.path, why])
      return {
        result: { status: ended?.status ?? 'FAILED', execution_id: id, path: child.path },
        error: {
          ...callError(code, message),
          kind: ended?.status === 'CANCELLED' ? 'cancelled' : 'tool_error',
        },
      }
    }
    if (child.return_step === null) {
      return { result: { status: ended.status, execution_id: id, path: child.path }, error: null }
    }
    const [found] = await store.loadResults(id, [child.return_step])
    if (found === undefined) return { result: null, error: null }
    return { result: found.aside ? await whole(id, found.event_id) : found.result, error: null }
  }

  async function whole(executionId: string, eventId: string): Promise<Json> {
    const value = await store.loadWhole(executionId, eventId)
    if (value === undefined) throw makeError('NOETL_ERR_RESULT_NOT_FOUND', [eventId])
    return value
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
    // In the first dialect `vars` reads workload keys too.
    const bags = plan.playbook.dialect === 'seed' ? ['workload', 'vars'] : ['workload']
    const wholeWorkload = needs.all || bags.some((bag) => needs.below.get(bag) === null)
    const named = (name: string) =>
      needs.roots.has(name) || bags.some((bag) => needs.below.get(bag)?.has(name))
    const previousId = wantsPrevious ? (row.context.previous as string | undefined) : undefined
    const previous = previousId === undefined ? undefined : await eventOf(row.execution_id, previousId)
    const results = await resultsOf(row, steps)
    const wholes: JsonObject = {}
    const stubs: JsonObject = {}
    for (const [step, found] of results) {
      if (found.aside) put(stubs, step, found.result)
      if (!found.aside) put(wholes, step, found.result)
      else if (looksBeyond(planned, step, found.result, wholeSteps)) {
        put(wholes, step, await whole(row.execution_id, found.event_id))
      }
    }
    return {
      workload: wholeWorkload
        ? workload
        : Object.fromEntries(Object.entries(workload).filter(([name]) => named(name))),
      ctx: await ctxOf(row, (row.context.ctx ?? {}) as unknown as Record<string, Value>),
      steps: wholes,
      stubs,
      ...(previous === undefined
        ? {}
        : { previous: previous.aside ? await whole(row.execution_id, previousId!) : previous.result }),
      previous_stub: previous?.aside ? previous.result : null,
      keychain:
        plan.playbook.keychain.length > 0 && needs.roots.has('keychain') ? plan.playbook.keychain : [],
    }
  }

  /** Memory holds for this command only if it has seen it issued. */
  function memoryFor(row: Claimed): Known | undefined {
    const known = parts.glimpse(row.execution_id)
    return known !== undefined && !idLess(known.state.last, row.queue_id) ? known : undefined
  }

  async function resultsOf(row: Claimed, steps: string[]): Promise<Map<string, Recorded>> {
    const results = new Map<string, Recorded>()
    if (steps.length === 0) return results
    const known = memoryFor(row)
    const missing: string[] = []
    for (const step of steps) {
      const there = known?.results.get(step)
      if (there != null && idLess(there.event_id, row.queue_id)) results.set(step, there)
      else if (known === undefined || (there === undefined && !known.fresh) || there != null)
        missing.push(step)
    }
    if (missing.length > 0) {
      for (const found of await store.loadResults(row.execution_id, missing, row.queue_id)) {
        results.set(found.step, found)
      }
    }
    return results
  }

  async function ctxOf(row: Claimed, kept: Record<string, Value>): Promise<JsonObject> {
    const values: JsonObject = {}
    for (const [name, value] of Object.entries(kept)) {
      const set = 'v' in value ? undefined : setOf(await eventOf(row.execution_id, value.at))
      put(values, name, 'v' in value ? value.v : (set?.[name] ?? null))
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
  ): Promise<{ context: JsonObject | null; result: Json; aside: boolean }> {
    const there = parts.glimpse(executionId)?.events.get(eventId)
    if (there !== undefined) return there
    const [event] = await store.loadEvents(executionId, [eventId])
    if (event === undefined) {
      throw makeError('NOETL_ERR_INTERNAL', [`event ${eventId} of execution ${executionId} is gone`])
    }
    return event
  }

  return {
    async claim(wanted) {
      const { worker_id } = wanted
      try {
        if (ended.has(wanted.execution_id)) throw refusal(wanted, undefined, true)
        const command = await batcher.add({ ...wanted, event_id: parts.newId(believable(wanted.queue_id)) })
        publish('noetl:claimed', { worker_id, claimed: 1, refused: 0 })
        return command
      } catch (error) {
        const reason = isNoetlError(error) ? error.code : 'NOETL_ERR_INTERNAL'
        publish('noetl:claimed', { worker_id, claimed: 0, refused: 1, reason })
        throw error
      }
    },
    async given(row, holder) {
      publish('noetl:claimed', { worker_id: holder.worker_id, claimed: 1, refused: 0 })
      return lease(row, holder)
    },
    async look(commandId) {
      const row = await store.readCommand(commandId)
      return row === undefined
        ? undefined
        : lease({ ...row, lease_token: null }, { token: '', worker_id: '' })
    },
  }
}

/** Whether a step's templates may want more of a result stored aside than its stub has. */
function looksBeyond(planned: StepPlan, step: string, stub: Json, wholeSteps: boolean): boolean {
  const needs = planned.needs()
  const fields = needs.below.get(step)
  if (needs.all || wholeSteps || needs.below.get('steps')?.has(step) || fields == null) return true
  return ![...fields].every((field) => isObject(stub) && Object.hasOwn(stub, field))
}

function tell(row: Claimed, plan: Plan, worker_id: string): void {
  const { execution_id, queue_id: command_id, node_name: step, lane, pool, attempt } = row
  const resumes = row.context.resumes as unknown as Issue['resumes']
  publish('noetl:leased', {
    ...{ execution_id, command_id, worker_id, step, lane, pool, attempt },
    kind: plan.step(step)!.kind,
    waited: Math.max(0, Date.now() - idTime(command_id)) / 1000,
    // One that goes on without another execution was held back by the rule that repeats its call.
    cause:
      resumes !== undefined && resumes.child_execution_id === undefined
        ? 'retry'
        : pool === ''
          ? 'capacity'
          : 'pool',
  })
}

function refusal(
  claim: Pick<Claim, 'queue_id'>,
  look: { status: string; worker_id: string | null; retry_after: number } | undefined,
  ended: boolean,
): NoetlError {
  if (look === undefined) {
    return makeError('NOETL_ERR_COMMAND_SETTLED', [claim.queue_id], ended ? { details: { ended: true } } : {})
  }
  return makeError('NOETL_ERR_COMMAND_CLAIMED', [claim.queue_id, look.worker_id ?? 'none'], {
    details: { retry_after: Math.ceil(look.retry_after) },
  })
}

/** Ids are decimal numbers beyond what a double holds. */
export function idLess(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length
}

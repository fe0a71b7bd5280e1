import type { Logger } from 'pino'
import { isHeard, publish } from '../channels.ts'
import { makeError } from '../errors.ts'
import type { CallError } from '../schemas/command.ts'
import type { Status } from '../schemas/execution.ts'
import type { JsonObject } from '../schemas/json.ts'
import { NORMAL_LANE } from '../schemas/lanes.ts'
import type { Effect } from '../schemas/playbook.ts'
import { type Trace, traceIdOf } from '../schemas/trace.ts'
import type { Settle } from '../store/commit.ts'
import { idTime } from '../store/ids.ts'
import type { Claimed } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import { type Committed, makeCommits } from './commits.ts'
import { type Decision, decide, type Input, nothingYet, type Report } from './decide.ts'
import { claimedRow, type GoneOn, goOn, type Next } from './go-on.ts'
import { type Known, learn, NotLoaded } from './known.ts'
import type { Plan, StepPlan } from './plan.ts'
import type { Plans } from './plans.ts'
import type { NewChild } from './turn.ts'

/**
 * The one impure place of the engine. Each execution has an inbox; whatever has arrived is decided in one
 * go, committed together with what other executions have ready, and announced after the commit. The
 * row's revision is compared when it is written: if another server was faster, all is loaded and decided
 * anew. What is kept in memory only saves loading.
 */
export interface Engine {
  start(request: StartRequest): Promise<Started>
  /** Records outcomes; the answers are in the order of the reports. */
  report(executionId: string, report: Report, settle: Settle, next?: Next): Promise<ReportAnswer>
  cancel(executionId: string, reason: string): Promise<Ended>
  finalize(executionId: string, status: 'COMPLETED' | 'FAILED', error: CallError | null): Promise<Ended>
  /** Sets values of ctx, and takes the names of `unset` away. */
  set(executionId: string, values: JsonObject, source: string, unset?: string[]): Promise<void>
  /**
   * Tells an execution that one it waits for has ended, or with an error that it could not. False when it
   * waits no longer.
   */
  childEnded(executionId: string, childId: string, error: CallError | null): Promise<boolean>
  /** Looks whether an execution that does not move can. */
  nudge(executionId: string): Promise<void>
  /** What is in memory of an execution, for those who may use it: see `claims.ts`. */
  glimpse(executionId: string): Known | undefined
  /** Executions with inputs waiting or under way. */
  readonly busy: number
}

export interface StartRequest {
  /** Made by the caller: the workload may name it. */
  executionId: string
  plan: Plan
  workload: JsonObject
  parentExecutionId: string | null
  meta: JsonObject
  trace?: Trace
  /** Lane of its commands where the playbook names none. */
  lane?: string
}

export interface Started {
  execution_id: string
  status: Status
  commands_generated: number
}

/** `recorded`: by this call. `duplicate`: by an earlier one. `late`: the lease was lost; nothing changed. */
export interface ReportAnswer {
  status: 'recorded' | 'duplicate' | 'late'
  event_id: string | null
  commands_generated: number
  execution_status: Status
  /** The command that the reporter holds now. */
  next?: Claimed
}

export interface Ended {
  status: Status
  /** False when it had ended before. */
  changed: boolean
}

interface Waiting {
  input: Input
  settle?: Settle
  next?: Next
  done(answer: Answer): void
  failed(error: unknown): void
}

type Answer =
  | { taken: true; decision: Decision; next?: Claimed }
  /** The input came too late: of a report, for its command; of another, for the execution. */
  | { taken: false; status: Status }

/** What is kept of a trace in the first event: its id for who looks for it, the rest for the state. */
function metaOf(trace: Trace): JsonObject {
  return { trace_id: traceIdOf(trace.traceparent), trace_context: { ...trace } }
}

/** Executions whose state is kept in memory though nothing arrives. */
const KEPT = 2000

export function makeEngine(parts: {
  store: Store
  plans: Plans
  newId(after?: string): string
  log: Logger
  /** What repeating a call of a tool kind does, as its plugin says. */
  effectOf(kind: string): Effect
  leaseSeconds: number
  /** Pool of workers that a step's commands are for; absent: all are for the pool without a name. */
  poolOf?(plan: Plan, step: StepPlan): string
  /** Throws NOETL_ERR_LANE_UNKNOWN for a lane that there is not. */
  checkLanes?(names: readonly string[]): void
  announce(
    commands: {
      execution_id: string
      queue_id: string
      node_name: string
      lane: string
      pool: string
      traceparent?: string
    }[],
  ): void
  /** Executions that one has begun to wait for: they are to be started. */
  onChildren(parent: { executionId: string; depth: number; trace?: Trace }, children: NewChild[]): void
  /** An execution that another started has ended. */
  onEnded(executionId: string, parentExecutionId: string): void
}): Engine {
  const { store, plans, newId, log, effectOf, poolOf } = parts
  const inboxes = new Map<string, Waiting[]>()
  const memory = new Map<string, { known: Known; catalogId: string }>()

  const commits = makeCommits({ store, log })

  function submit(executionId: string, input: Input, settle?: Settle, next?: Next): Promise<Answer> {
    return new Promise((done, failed) => {
      const waiting: Waiting = { input, done, failed, ...(settle && { settle }), ...(next && { next }) }
      const inbox = inboxes.get(executionId)
      if (inbox !== undefined) inbox.push(waiting)
      else {
        inboxes.set(executionId, [waiting])
        void work(executionId)
      }
    })
  }

  /** Goes on until the inbox is empty. */
  async function work(executionId: string): Promise<void> {
    for (;;) {
      // What arrives in one request arrives in one go.
      await Promise.resolve()
      const batch = inboxes.get(executionId)?.splice(0) ?? []
      if (batch.length === 0) {
        inboxes.delete(executionId)
        return
      }
      try {
        await step(executionId, batch)
      } catch (error) {
        memory.delete(executionId)
        for (const waiting of batch) waiting.failed(error)
      }
    }
  }

  /** Decides and commits one batch of inputs; again and again until it is written or void. */
  async function step(executionId: string, batch: Waiting[]): Promise<void> {
    let inputs = batch
    for (let tries = 0; tries < 100; tries++) {
      const { known, plan, remembered } = await recall(executionId)
      if (known.status !== 'RUNNING') {
        memory.delete(executionId)
        for (const waiting of inputs) waiting.done({ taken: false, status: known.status })
        return
      }
      const decision = await decideLoading(
        plan,
        known,
        inputs.map((waiting) => waiting.input),
      )
      const late = inputs.filter((_, i) => decision.taken[i] === false)
      if (remembered && (late.length > 0 || decision.events.length === 0)) {
        // Another server may have gone on since: only what is stored says that something is late, or nothing to do.
        memory.delete(executionId)
        continue
      }
      inputs = inputs.filter((_, i) => decision.taken[i] !== false)
      for (const waiting of late) waiting.done({ taken: false, status: known.status })
      if (inputs.length === 0) return
      if (late.length > 0) continue
      const given = goOn(decision, inputs, { ...parts, now: new Date().toISOString() })
      const outcome = await save(known, plan, decision, inputs, [...given.values()])
      if (outcome === 'written') {
        for (const waiting of inputs) {
          const gift = given.get(waiting)
          waiting.done({ taken: true, decision, ...(gift && { next: claimedRow(known, plan, gift) }) })
        }
        if (decision.more) void nudge(executionId)
        return
      }
      memory.delete(executionId)
      const { held } = outcome
      const lost = inputs.filter((waiting) => waiting.settle && !held.has(waiting.settle.queue_id))
      for (const waiting of lost) waiting.done({ taken: false, status: known.status })
      inputs = inputs.filter((waiting) => !lost.includes(waiting))
      if (inputs.length === 0) return
    }
    throw makeError('NOETL_ERR_SATURATED', [1])
  }

  async function save(
    known: Known,
    plan: Plan,
    decision: Decision,
    inputs: Waiting[],
    given: GoneOn[] = [],
  ): Promise<Committed> {
    if (decision.events.length === 0) return 'written'
    const { executionId } = known
    const start = known.revision === null
    const leases = new Map(given.map(({ command, lease }) => [command.queue_id, lease]))
    const outcome = await commits.add({
      execution_id: executionId,
      revision: known.revision,
      status: decision.status,
      state: decision.state,
      error: decision.error,
      settles: inputs.flatMap((waiting) => (waiting.settle ? [waiting.settle] : [])),
      events: [...decision.events, ...given.map(({ claimed }) => claimed)],
      commands: decision.commands.map((command) => {
        const lease = leases.get(command.queue_id)
        return lease === undefined ? command : { ...command, lease }
      }),
      keys: [],
      results: decision.stored,
      waits: decision.children.map(({ child_execution_id, event_id, timeout_seconds }) => ({
        child_execution_id,
        event_id,
        timeout_seconds,
      })),
      awaited: decision.awaited,
      letters: decision.letters,
      ...(start
        ? {
            birth: {
              catalog_id: plan.catalogId,
              path: plan.path,
              version: plan.version,
              parent_execution_id: known.parentExecutionId,
            },
          }
        : {}),
    })
    if (outcome !== 'written') return outcome
    const { state, status, events } = decision
    if (status === 'RUNNING') {
      const revision = (known.revision ?? 0) + 1
      remember(plan, { ...learn(known, state, events), status, revision })
    } else memory.delete(executionId)
    if (isHeard('noetl:events')) tell(plan, decision, executionId)
    for (const { queue_id, step, tool_kind, reason } of decision.letters) {
      publish('noetl:dead', {
        execution_id: executionId,
        ...{ command_id: queue_id, step, kind: tool_kind, reason },
      })
    }
    const due = decision.commands.filter(
      ({ queue_id, delay, dead }) => delay === 0 && !dead && !leases.has(queue_id),
    )
    const traced = state.trace === undefined ? {} : { traceparent: state.trace.traceparent }
    parts.announce(due.map((command) => ({ execution_id: executionId, ...command, ...traced })))
    if (decision.children.length > 0) {
      const about = { executionId, depth: state.depth ?? 0 }
      parts.onChildren(
        state.trace === undefined ? about : { ...about, trace: state.trace },
        decision.children,
      )
    }
    if (status !== 'RUNNING' && known.parentExecutionId !== null) {
      parts.onEnded(executionId, known.parentExecutionId)
    }
    return 'written'
  }

  const env = { lane: NORMAL_LANE, effectOf, ...(poolOf === undefined ? {} : { poolOf }) }

  function tell({ path }: Plan, decision: Decision, executionId: string): void {
    const { state, status, events, commands } = decision
    publish('noetl:events', {
      execution_id: executionId,
      ...{ path, status, events, commands, lane: state.lane ?? NORMAL_LANE },
      ...(status === 'RUNNING' ? {} : { seconds: (Date.now() - idTime(executionId)) / 1000 }),
      ...(state.trace === undefined ? {} : { trace: state.trace }),
    })
  }

  async function decideLoading(plan: Plan, known: Known, inputs: Input[]): Promise<Decision> {
    for (;;) {
      try {
        return decide(plan, known, inputs, { ...env, now: new Date().toISOString(), newId })
      } catch (problem) {
        if (!(problem instanceof NotLoaded)) throw problem
        await load(known, problem.what)
      }
    }
  }

  async function load(known: Known, what: NotLoaded['what']): Promise<void> {
    const { executionId } = known
    if (what === 'workload') {
      const [event] = await store.loadEvents(executionId, [executionId])
      known.workload = (event?.context?.workload ?? {}) as JsonObject
    } else if ('step' in what) {
      const [found] = await store.loadResults(executionId, [what.step])
      known.results.set(what.step, found === undefined ? null : found)
    } else if ('event' in what) {
      const [event] = await store.loadEvents(executionId, [what.event])
      if (event === undefined) {
        throw makeError('NOETL_ERR_INTERNAL', [`event ${what.event} of execution ${executionId} is gone`])
      }
      known.events.set(what.event, event)
    } else if ('whole' in what) {
      const whole = await store.loadWhole(executionId, what.whole)
      if (whole === undefined) throw makeError('NOETL_ERR_RESULT_NOT_FOUND', [what.whole])
      known.wholes.set(what.whole, whole)
    } else {
      known.iterations.set(what.run, await store.loadIterations(executionId, what.run))
    }
  }

  /** `remembered`: from memory, hence perhaps of a time before now. */
  async function recall(executionId: string): Promise<{ known: Known; plan: Plan; remembered: boolean }> {
    const there = memory.get(executionId)
    if (there !== undefined) {
      return { known: there.known, plan: await plans.byId(there.catalogId), remembered: true }
    }
    const row = await store.loadExecution(executionId)
    if (row === undefined) throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [executionId])
    const plan = await plans.byId(row.catalog_id)
    const known: Known = {
      executionId,
      parentExecutionId: row.parent_execution_id,
      status: row.status,
      revision: row.revision,
      state: row.state,
      workload: undefined,
      results: new Map(),
      events: new Map(),
      wholes: new Map(),
      iterations: new Map(),
      fresh: false,
    }
    remember(plan, known)
    return { known, plan, remembered: false }
  }

  function remember(plan: Plan, known: Known): void {
    memory.delete(known.executionId)
    memory.set(known.executionId, { known, catalogId: plan.catalogId })
    if (memory.size > KEPT) memory.delete(memory.keys().next().value!)
  }

  async function nudge(executionId: string): Promise<void> {
    await submit(executionId, { type: 'continue' }).catch((err) =>
      log.warn({ err, execution_id: executionId }, 'an execution could not be nudged; upkeep will try again'),
    )
  }

  async function end(executionId: string, input: Input): Promise<Ended> {
    const answer = await submit(executionId, input)
    return answer.taken
      ? { status: answer.decision.status, changed: true }
      : { status: answer.status, changed: false }
  }

  return {
    async start({ executionId, plan, workload, parentExecutionId, trace, lane: given, ...rest }) {
      if (given !== undefined || plan.lanes.length > 0)
        parts.checkLanes?.(given === undefined ? plan.lanes : [given, ...plan.lanes])
      const lane = plan.playbook.lane ?? given ?? NORMAL_LANE
      const meta = {
        ...rest.meta,
        ...(lane === NORMAL_LANE ? {} : { lane }),
        ...(trace === undefined ? {} : metaOf(trace)),
      }
      const known = nothingYet(executionId, parentExecutionId, workload)
      const decision = await decideLoading(plan, known, [{ type: 'start', workload, meta }])
      const outcome = await save(known, plan, decision, [])
      if (outcome !== 'written') throw makeError('NOETL_ERR_INTERNAL', [`id ${executionId} was taken`])
      if (decision.more) void nudge(executionId)
      return {
        execution_id: executionId,
        status: decision.status,
        commands_generated: decision.commands.length,
      }
    },

    async report(executionId, report, settle, next) {
      const answer = await submit(executionId, report, settle, next)
      if (answer.taken) {
        const told = answer.decision.events.find(
          (event) =>
            ['call.done', 'call.error', 'call.waiting', 'call.retrying'].includes(event.event_type) &&
            event.meta?.command_id === report.command_id,
        )
        return {
          status: 'recorded',
          event_id: told?.event_id ?? null,
          commands_generated: answer.decision.commands.length,
          execution_status: answer.decision.status,
          ...(answer.next && { next: answer.next }),
        }
      }
      const execution_status = answer.status
      const recorded = await store.wasRecorded(executionId, report)
      if (recorded !== undefined)
        return { status: 'duplicate', event_id: recorded, commands_generated: 0, execution_status }
      const { command_id, worker_id, attempt } = report
      const event_id = newId(executionId)
      const kept = await store.tellLate({
        execution_id: executionId,
        event_id,
        node_name: report.step,
        worker_id,
        meta: { command_id, attempt, status: report.outcome.status },
      })
      publish('noetl:late', { execution_id: executionId, command_id, worker_id })
      return { status: 'late', event_id: kept ? event_id : null, commands_generated: 0, execution_status }
    },

    cancel: (executionId, reason) => end(executionId, { type: 'cancel', reason }),
    finalize: (executionId, status, error) => end(executionId, { type: 'finalize', status, error }),

    async set(executionId, values, source, unset) {
      const input: Input = { type: 'set', values, source, ...(unset === undefined ? {} : { unset }) }
      const answer = await submit(executionId, input)
      if (!answer.taken) throw makeError('NOETL_ERR_EXECUTION_FINISHED', [executionId, answer.status])
    },

    async childEnded(executionId, childId, error) {
      const answer = await submit(executionId, { type: 'child', child_execution_id: childId, error })
      return answer.taken
    },

    nudge,
    glimpse: (executionId) => memory.get(executionId)?.known,
    get busy() {
      return inboxes.size
    },
  }
}

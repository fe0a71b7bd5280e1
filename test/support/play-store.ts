import { makeClaims } from '../../core/engine/claims.ts'
import type { Decision } from '../../core/engine/decide.ts'
import type { Known } from '../../core/engine/known.ts'
import { makePlan, type Plan } from '../../core/engine/plan.ts'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import type { CallError, LeasedCommand } from '../../core/schemas/command.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { State, Status } from '../../core/schemas/execution.ts'
import { type Json, type JsonObject, parseJson, writeJson } from '../../core/schemas/json.ts'
import type { ExecutionRow } from '../../core/store/executions.ts'
import type { Claimed } from '../../core/store/queue.ts'
import { loopResult, type NewResult } from '../../core/store/results.ts'
import type { Store } from '../../core/store/store.ts'
import { withPath } from './corpus.ts'

/** What the engine and leases read back of an execution. */
type Readable = Pick<
  Store,
  'loadExecution' | 'loadEvents' | 'loadResults' | 'loadIterations' | 'loadWhole' | 'readCommand'
>

/** What the database would hold of a few executions, in memory, for one run of `play`. */
export interface PlayStore extends Readable {
  newId(): string
  /** Compiles a playbook's text; one without `metadata` gets `path`. */
  register(text: string, path: string): Plan
  playbook(path: string): Plan | undefined
  commit(about: Commit, decision: Decision): void
  /** What a server would have in memory of an execution. */
  remember(known: Known): void
  forget(executionId: string): void
  /** A command as a worker gets it, made by the code that makes it in a server. */
  lease(commandId: string): Promise<LeasedCommand>
  /** An execution that is there. */
  execution(id: string): Stored
  /** The result that clients see as the execution's. */
  resultOf(id: string): Json
  resultsOf(id: string): Promise<Record<string, Json>>
  ctxOf(id: string): Record<string, Json>
  putResult(executionId: string, result: NewResult): void
}

interface Commit {
  executionId: string
  parentExecutionId: string | null
  plan: Plan
  /** The command that is done with. */
  settled: string | undefined
}

interface Stored {
  plan: Plan
  parent: string | null
  status: Status
  error: CallError | null
  state: State
  events: Event[]
  results: Map<string, NewResult>
}

const RESULTS = ['call.done', 'call.error', 'loop.done']

export function makePlayStore(): PlayStore {
  const executions = new Map<string, Stored>()
  const playbooks = new Map<string, Plan>()
  const plans = new Map<string, Plan>()
  const memory = new Map<string, Known>()
  /** Open commands, each with its execution. */
  const commands = new Map<string, string>()
  let id = 100
  const newId = () => String(++id)

  const execution = (executionId: string): Stored => {
    const found = executions.get(executionId)
    if (found === undefined) throw new Error(`there is no execution ${executionId}`)
    return found
  }

  /** Results of steps, newest first. */
  const resultEvents = (executionId: string) =>
    execution(executionId)
      .events.filter((event) => RESULTS.includes(event.event_type) && event.current_index === undefined)
      .reverse()

  const readable: Readable = {
    async loadExecution(executionId) {
      const found = executions.get(executionId)
      return found && copied(rowOf(executionId, found))
    },
    async loadResults(executionId, steps, before) {
      const events = resultEvents(executionId).filter(
        ({ event_id }) => before === undefined || BigInt(event_id) < BigInt(before),
      )
      return steps.flatMap((step) => {
        const event = events.find(({ node_name }) => node_name === step)
        return event === undefined ? [] : [copied({ step, ...resultIn(event) })]
      })
    },
    loadEvents: async (executionId, ids) =>
      execution(executionId)
        .events.filter(({ event_id }) => ids.includes(event_id))
        .map((event) => copied({ ...resultIn(event), context: event.context ?? null })),
    async loadIterations(executionId, runId) {
      const { events, results } = execution(executionId)
      return events
        .filter(({ node_id, event_type, current_index }) => {
          return node_id === runId && RESULTS.includes(event_type) && current_index !== undefined
        })
        .map(({ event_id, event_type, current_index = 0, result = null }) =>
          copied({
            index: current_index,
            ok: event_type === 'call.done',
            result: results.get(event_id)?.data ?? result,
          }),
        )
        .sort((a, b) => a.index - b.index)
    },
    async loadWhole(executionId, resultId) {
      const { events, results } = execution(executionId)
      const kept = results.get(resultId)
      if (kept !== undefined) return copied(kept.data)
      const loop = events.find((event) => event.event_id === resultId && event.event_type === 'loop.done')
      if (loop === undefined) return undefined
      const { stats } = loop.result as { stats: JsonObject }
      const iterations = await readable.loadIterations(executionId, loop.node_id ?? '')
      return loopResult(iterations, stats, loop.meta?.frames === true)
    },
    async readCommand(commandId) {
      const executionId = commands.get(commandId)
      if (executionId === undefined) return undefined
      const { plan, parent, events } = execution(executionId)
      const issued = events.find(({ event_id }) => event_id === commandId)!
      return copied<Claimed>({
        execution_id: executionId,
        queue_id: commandId,
        node_id: issued.node_id ?? '',
        node_name: issued.node_name ?? '',
        attempt: 1,
        max_attempts: Number(issued.meta?.max_attempts),
        lane: 'normal',
        pool: '',
        lease_token: null,
        catalog_id: plan.catalogId,
        path: plan.path,
        version: plan.version,
        parent_execution_id: parent,
        current_index: issued.current_index ?? null,
        context: issued.context ?? {},
      })
    },
  }

  const claims = makeClaims({
    // Nothing is claimed here, only looked at.
    store: readable as Store,
    plans: { byId: async (catalogId) => plans.get(catalogId)! },
    newId,
    leaseSeconds: 15,
    glimpse: (executionId) => memory.get(executionId),
  })

  return {
    ...readable,
    newId,
    register(text, path) {
      const { playbook } = compilePlaybook(withPath(text, path))
      const plan = makePlan(playbook, { catalogId: newId(), path: playbook.path, version: 1 })
      playbooks.set(plan.path, plan)
      plans.set(plan.catalogId, plan)
      return plan
    },
    playbook: (path) => playbooks.get(path),
    commit({ executionId, parentExecutionId, plan, settled }, decision) {
      const there = executions.get(executionId)
      const { status, state, stored } = decision
      executions.set(executionId, {
        plan,
        parent: parentExecutionId,
        status,
        state,
        error: decision.error ?? there?.error ?? null,
        results: new Map([
          ...(there?.results ?? []),
          ...stored.map((result) => [result.result_id, result] as const),
        ]),
        events: [...(there?.events ?? []), ...asJson(decision.events)],
      })
      if (settled !== undefined) commands.delete(settled)
      for (const { queue_id } of decision.commands) commands.set(queue_id, executionId)
    },
    remember: (known) => void memory.set(known.executionId, known),
    forget: (executionId) => void memory.delete(executionId),
    async lease(commandId) {
      const command = await claims.look(commandId)
      if (command === undefined) throw new Error(`command ${commandId} is settled`)
      return asJson(command)
    },
    execution,
    resultOf(executionId) {
      const found = resultEvents(executionId)
      return (found.find(({ node_name }) => node_name === 'end') ?? found[0])?.result ?? null
    },
    async resultsOf(executionId) {
      const steps = [...new Set(resultEvents(executionId).map(({ node_name }) => node_name ?? ''))]
      const results: Record<string, Json> = {}
      for (const { step, event_id, result, aside } of await readable.loadResults(executionId, steps)) {
        results[step] = aside ? ((await readable.loadWhole(executionId, event_id)) ?? null) : result
      }
      return results
    },
    ctxOf(executionId) {
      const { state, events } = execution(executionId)
      const setAt = (at: string) => events.find(({ event_id }) => event_id === at)?.context?.set ?? {}
      return Object.fromEntries(
        Object.entries(state.ctx).map(([name, value]) => [
          name,
          'v' in value ? value.v : ((setAt(value.at) as JsonObject)[name] ?? null),
        ]),
      )
    },
    putResult: (executionId, result) => void execution(executionId).results.set(result.result_id, result),
  }
}

function rowOf(executionId: string, stored: Stored): ExecutionRow & { state: State } {
  const { plan, parent, status, error, state } = stored
  const then = new Date(0)
  return {
    execution_id: executionId,
    catalog_id: plan.catalogId,
    path: plan.path,
    version: plan.version,
    parent_execution_id: parent,
    status,
    revision: 1,
    error,
    state,
    created_at: then,
    updated_at: then,
    finished_at: status === 'RUNNING' ? null : then,
  }
}

function resultIn({ event_id, result = null, meta }: Event): {
  event_id: string
  result: Json
  aside: boolean
} {
  return { event_id, result, aside: meta?.stored !== undefined }
}

/** What is read back is never the same object as what was stored. */
function copied<T>(value: T): T {
  return asJson(value)
}

/** A value as it is after its way over the wire. */
export function asJson<T>(value: T): T {
  return parseJson(writeJson(value)) as T
}

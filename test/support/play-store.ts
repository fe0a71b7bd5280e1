import type pg from 'pg'
import { makeClaims } from '../../core/engine/claims.ts'
import type { Decision } from '../../core/engine/decide.ts'
import type { Known } from '../../core/engine/known.ts'
import { makePlan, type Plan } from '../../core/engine/plan.ts'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import type { CallError, LeasedCommand } from '../../core/schemas/command.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { State, Status } from '../../core/schemas/execution.ts'
import type { Json, JsonObject } from '../../core/schemas/json.ts'
import type { Pools } from '../../core/store/pools.ts'
import { loadWhole, type NewResult } from '../../core/store/results.ts'
import { loadResults } from '../../core/store/values.ts'

/** What the database would hold of a few executions, in memory, for one run of `play`. */
export interface PlayStore {
  /** Answers the statements by which values are read back, by their names. */
  pool: pg.Pool
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
  execution(id: string): Stored | undefined
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
  row: {
    execution_id: string
    catalog_id: string
    path: string
    version: number
    parent_execution_id: string | null
    status: Status
    error: CallError | null
    state: State
  }
  events: Event[]
  results: Map<string, NewResult>
}

const RESULTS = ['call.done', 'call.error', 'loop.done']

export function makePlayStore(): PlayStore {
  const executions = new Map<string, Stored>()
  const playbooks = new Map<string, Plan>()
  const plans = new Map<string, Plan>()
  const memory = new Map<string, Known>()
  const commands = new Map<string, string>()
  let id = 100

  /** Results of a step or of all, newest first. */
  function resultEvents(executionId: string): Event[] {
    return (executions.get(executionId)?.events ?? [])
      .filter((event) => RESULTS.includes(event.event_type) && event.current_index === undefined)
      .reverse()
  }

  const answers: Record<string, (values: unknown[]) => unknown[]> = {
    'load-execution': ([executionId]) => {
      const found = executions.get(executionId as string)
      return found === undefined ? [] : [found.row]
    },
    'load-results': ([executionId, steps, before]) =>
      (steps as string[]).flatMap((step) => {
        const event = resultEvents(executionId as string).find(
          ({ node_name, event_id }) => node_name === step && BigInt(event_id) < BigInt(before as string),
        )
        return event === undefined ? [] : [{ step, ...storedValue(event) }]
      }),
    'load-events': ([executionId, ids]) =>
      (executions.get(executionId as string)?.events ?? [])
        .filter((event) => (ids as string[]).includes(event.event_id))
        .map((event) => ({ ...storedValue(event), context: event.context ?? null })),
    'load-whole': ([executionId, resultId]) => {
      const found = executions.get(executionId as string)
      const kept = found?.results.get(resultId as string)
      if (kept !== undefined) return [{ data: kept.data, run: null, stats: null, frames: false }]
      const loop = found?.events.find(
        ({ event_id, event_type }) => event_id === resultId && event_type === 'loop.done',
      )
      if (loop === undefined) return []
      const { stats = null } = loop.result as JsonObject
      return [{ data: null, run: loop.node_id, stats, frames: loop.meta?.frames === true }]
    },
    'load-iterations': ([executionId, run]) => {
      const found = executions.get(executionId as string)!
      return found.events
        .filter(({ node_id, event_type, current_index }) => {
          return node_id === run && RESULTS.includes(event_type) && current_index !== undefined
        })
        .map(({ event_id, event_type, current_index, result = null }) => ({
          index: current_index!,
          ok: event_type === 'call.done',
          result: found.results.get(event_id)?.data ?? result,
        }))
        .sort((a, b) => a.index - b.index)
    },
    'read-command': ([commandId]) => {
      const { row, events } = executions.get(commands.get(commandId as string) ?? '')!
      const issued = events.find(({ event_id }) => event_id === commandId)!
      return [
        {
          ...row,
          queue_id: commandId,
          node_id: issued.node_id,
          node_name: issued.node_name,
          attempt: 1,
          max_attempts: issued.meta?.max_attempts,
          lane: 'normal',
          pool: '',
          lease_token: null,
          current_index: issued.current_index ?? null,
          context: issued.context,
        },
      ]
    },
  }

  const pool = {
    async query(query: string | { name: string; values: unknown[] }, values: unknown[] = []) {
      const name =
        typeof query !== 'string' ? query.name : query.includes('FROM noetl.queue c') ? 'read-command' : query
      const answer = answers[name]
      if (answer === undefined) throw new Error(`play does not know the statement ${name}`)
      // What is stored is never the same object as what was told.
      return { rows: structuredClone(answer(typeof query === 'string' ? values : query.values)) }
    },
  } as unknown as pg.Pool

  const newId = () => String(++id)
  const claims = makeClaims({
    pools: { durable: pool, relaxed: pool } as unknown as Pools,
    plans: { byId: async (catalogId) => plans.get(catalogId)! },
    newId,
    leaseSeconds: 15,
    glimpse: (executionId) => memory.get(executionId),
  })

  return {
    pool,
    newId,
    register(text, path) {
      const whole = /^metadata:/m.test(text) ? text : `metadata: {path: ${JSON.stringify(path)}}\n${text}`
      const { playbook } = compilePlaybook(whole)
      const plan = makePlan(playbook, { catalogId: newId(), path: playbook.path, version: 1 })
      playbooks.set(plan.path, plan)
      plans.set(plan.catalogId, plan)
      return plan
    },
    playbook: (path) => playbooks.get(path),
    commit(
      { executionId, parentExecutionId, plan, settled },
      { state, status, error, events, commands: issued, stored },
    ) {
      const there = executions.get(executionId)
      const row = {
        execution_id: executionId,
        catalog_id: plan.catalogId,
        path: plan.path,
        version: plan.version,
        parent_execution_id: parentExecutionId,
        status,
        error: error ?? there?.row.error ?? null,
        state,
      }
      const results = there?.results ?? new Map<string, NewResult>()
      for (const result of stored) results.set(result.result_id, result)
      const told = JSON.parse(JSON.stringify(events)) as Event[]
      executions.set(executionId, { row, results, events: [...(there?.events ?? []), ...told] })
      if (settled !== undefined) commands.delete(settled)
      for (const { queue_id } of issued) commands.set(queue_id, executionId)
    },
    remember: (known) => void memory.set(known.executionId, known),
    forget: (executionId) => void memory.delete(executionId),
    async lease(commandId) {
      const command = await claims.look(commandId)
      if (command === undefined) throw new Error(`command ${commandId} is settled`)
      // As it is after its way over the wire.
      return JSON.parse(JSON.stringify(command)) as LeasedCommand
    },
    execution: (executionId) => executions.get(executionId),
    resultOf(executionId) {
      const found = resultEvents(executionId)
      return (found.find(({ node_name }) => node_name === 'end') ?? found[0])?.result ?? null
    },
    async resultsOf(executionId) {
      const steps = [...new Set(resultEvents(executionId).map(({ node_name }) => node_name ?? ''))]
      const results: Record<string, Json> = {}
      for (const { step, event_id, result, aside } of await loadResults(pool, executionId, steps)) {
        results[step] = aside ? ((await loadWhole(pool, executionId, event_id)) ?? null) : result
      }
      return results
    },
    ctxOf(executionId) {
      const { row, events } = executions.get(executionId)!
      const setAt = (at: string) => events.find(({ event_id }) => event_id === at)?.context?.set ?? {}
      return Object.fromEntries(
        Object.entries(row.state.ctx).map(([name, value]) => [
          name,
          'v' in value ? value.v : ((setAt(value.at) as JsonObject)[name] ?? null),
        ]),
      )
    },
    putResult: (executionId, result) =>
      void executions.get(executionId)?.results.set(result.result_id, result),
  }
}

function storedValue({ event_id, result = null, meta }: Event): {
  event_id: string
  result: Json
  aside: boolean
} {
  return { event_id, result, aside: meta?.stored !== undefined }
}

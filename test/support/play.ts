import { type Logger, pino } from 'pino'
import { type Decision, decide, type Input, nothingYet } from '../../core/engine/decide.ts'
import { type Known, learn, NotLoaded } from '../../core/engine/known.ts'
import type { Plan } from '../../core/engine/plan.ts'
import { callError } from '../../core/engine/problem.ts'
import type { NewChild } from '../../core/engine/turn.ts'
import { workloadOf } from '../../core/engine/workload.ts'
import { isNoetlError, makeError } from '../../core/errors.ts'
import type { CallError } from '../../core/schemas/command.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { State, Status } from '../../core/schemas/execution.ts'
import type { Json, JsonObject } from '../../core/schemas/json.ts'
import { isMark } from '../../core/template/scope.ts'
import type { Credential } from '../../core/tools/define.ts'
import { runCommand } from '../../core/worker/run-command.ts'
import { asJson, makePlayStore, type PlayStore } from './play-store.ts'
import { type Called, type Given, makePlayTools } from './play-tools.ts'

export interface PlayOptions {
  payload?: JsonObject
  /** Results of tools that are stood in for, by `step.label`, label or step: see `play-tools.ts`. */
  gives?: Record<string, Given>
  /** Playbooks that may be called, by path. */
  children?: Record<string, string>
  credentials?: Record<string, { type: string; data: JsonObject }>
  /** What templates of workloads may read of the environment. */
  env?: Record<string, string>
  /** Picks what ends next, of so many that are open. Default: the oldest. */
  pick?: (open: number) => number
  /** Nothing is remembered from one decision or lease to the next, as if a server had died in between. */
  forgetful?: boolean
  /** Inputs taken before a run counts as endless. */
  maxTurns?: number
}

export interface Played {
  status: Status
  error: string | null
  /** Of `end`, or else of the step that had one last: what clients see as the execution's. */
  result: Json
  /** Newest result of each step, whole. */
  results: Record<string, Json>
  ctx: Record<string, Json>
  /** `type name`, in order. */
  events: string[]
  /** Steps in the order in which they were entered. */
  entered: string[]
  /** What tools that are stood in for were called with. */
  calls: Called[]
  /** Seconds that rules made calls wait. */
  waits: number[]
  /** Most that was open at once. */
  widest: number
  state: State
  told: Event[]
}

/**
 * Runs a playbook's text through the engine's decisions and the worker's body, with nothing between them but
 * memory: no server, no database, no bus. What the database would hold is in `PlayStore`.
 */
export async function play(text: string, options: PlayOptions = {}): Promise<Played> {
  const calls: Called[] = []
  const waits: number[] = []
  const store = makePlayStore()
  const tools = makePlayTools({ gives: options.gives ?? {}, calls, store })
  const log: Logger = pino({ level: 'info' }, { write: (line) => noteWait(line, waits) })
  const stage: Stage = {
    store,
    options,
    log,
    tools: tools.registry,
    keychain: tools.keychain,
    open: 0,
    widest: 0,
    turns: 0,
  }
  for (const [path, child] of Object.entries(options.children ?? {})) store.register(child, path)
  const id = await run(
    stage,
    store.register(text, 'main'),
    { payload: options.payload ?? {} },
    store.newId(),
    null,
  )
  const { status, error, state, events } = store.execution(id)
  tools.checkAllGiven()
  return {
    status,
    error: error?.message ?? null,
    result: store.resultOf(id),
    results: await store.resultsOf(id),
    ctx: Object.fromEntries(Object.entries(store.ctxOf(id)).filter(([name]) => !isMark(name))),
    events: events.map(({ event_type, node_name }) => `${event_type} ${node_name}`),
    entered: events.filter(isEntry).map(({ node_name }) => node_name ?? ''),
    calls,
    waits,
    widest: stage.widest,
    state,
    told: events,
  }
}

/** True for the first event of a step's run. */
export function isEntry({ event_type, event_id, node_id, current_index }: Event): boolean {
  if (event_type === 'loop.started') return true
  if (event_type === 'command.issued') return node_id === event_id && current_index === undefined
  return event_type === 'step.enter' && node_id === event_id
}

type Tools = ReturnType<typeof makePlayTools>

interface Stage {
  store: PlayStore
  options: PlayOptions
  log: Logger
  tools: Tools['registry']
  keychain: Tools['keychain']
  open: number
  widest: number
  turns: number
}

/** Something that will tell an execution how it went. */
type Pending = { command: string; step: string } | { child: NewChild }

const NOW = '2026-01-01T00:00:00.000Z'

/** Runs one execution to its end; returns its id. */
async function run(
  stage: Stage,
  plan: Plan,
  start: { payload: JsonObject; depth?: number },
  id: string,
  parent: string | null,
): Promise<string> {
  const { store, options } = stage
  const about = { executionId: id, parentExecutionId: parent, now: NOW, env: options.env ?? {} }
  const workload = workloadOf(plan.playbook.workload, start.payload, about)
  const pending: Pending[] = []
  let known: Known = nothingYet(id, parent, workload)

  async function apply(input: Input): Promise<Decision> {
    stage.turns += 1
    if (stage.turns > (options.maxTurns ?? 20_000)) throw new Error(`no end after ${stage.turns} turns`)
    const decision = await decideLoading(stage, plan, known, input)
    store.commit({ executionId: id, parentExecutionId: parent, plan, settled: settledBy(input) }, decision)
    known = options.forgetful
      ? forgotten(known, decision)
      : { ...learn(known, decision.state, decision.events), status: decision.status, revision: 1 }
    if (!options.forgetful) store.remember(known)
    for (const { queue_id, node_name } of decision.commands)
      pending.push({ command: queue_id, step: node_name })
    for (const child of decision.children) pending.push({ child })
    stage.widest = Math.max(stage.widest, pending.length)
    return decision
  }

  const meta = start.depth === undefined ? {} : { depth: start.depth }
  let decision = await apply({ type: 'start', workload, meta })
  while (known.status === 'RUNNING') {
    if (decision.more) {
      decision = await apply({ type: 'continue' })
      continue
    }
    const at = Math.min(options.pick?.(pending.length) ?? 0, pending.length - 1)
    const [next] = pending.splice(at, 1)
    if (next === undefined) throw new Error('it is RUNNING with nothing open')
    decision = await apply(
      'command' in next ? await runOpen(stage, next) : await runChild(stage, known, next.child),
    )
  }
  store.forget(id)
  return id
}

async function decideLoading(stage: Stage, plan: Plan, known: Known, input: Input): Promise<Decision> {
  const env = { now: NOW, newId: () => stage.store.newId(), lane: 'normal', effectOf: () => 'pure' as const }
  for (;;) {
    try {
      return decide(plan, known, [input], env)
    } catch (problem) {
      if (!(problem instanceof NotLoaded)) throw problem
      await load(stage.store, known, problem.what)
    }
  }
}

/** As the engine loads what a decision wants. */
async function load(store: PlayStore, known: Known, what: NotLoaded['what']): Promise<void> {
  const { executionId } = known
  if (what === 'workload') {
    const [event] = await store.loadEvents(executionId, [executionId])
    known.workload = event?.context?.workload as JsonObject
  } else if ('step' in what) {
    const [found] = await store.loadResults(executionId, [what.step])
    known.results.set(what.step, found ?? null)
  } else if ('event' in what) {
    const [event] = await store.loadEvents(executionId, [what.event])
    if (event === undefined) throw new Error(`event ${what.event} is not stored`)
    known.events.set(what.event, event)
  } else if ('whole' in what) {
    const whole = await store.loadWhole(executionId, what.whole)
    if (whole === undefined) throw new Error(`the whole of ${what.whole} is not stored`)
    known.wholes.set(what.whole, whole)
  } else known.iterations.set(what.run, await store.loadIterations(executionId, what.run))
}

function forgotten({ executionId, parentExecutionId }: Known, { state, status }: Decision): Known {
  const nothing = nothingYet(executionId, parentExecutionId, {})
  return { ...nothing, workload: undefined, state, status, revision: 1, fresh: false }
}

function settledBy(input: Input): string | undefined {
  return input.type === 'report' ? input.command_id : undefined
}

async function runOpen(
  { store, options, log, tools, keychain }: Stage,
  { command: command_id, step }: { command: string; step: string },
): Promise<Input> {
  const command = await store.lease(command_id)
  const signal = new AbortController().signal
  const credentials = async (alias: string): Promise<Credential> => {
    const found = options.credentials?.[alias]
    if (found === undefined) throw makeError('NOETL_ERR_CREDENTIAL_NOT_FOUND', [alias, ''])
    return { name: alias, ...found }
  }
  const now = () => NOW
  const outcome = await runCommand(command, {
    tools,
    log,
    signal,
    credentials,
    keychain: (asking) =>
      keychain(asking, { tools, log, signal, credentials, now, stored: async () => undefined }),
    now,
  })
  return {
    type: 'report',
    command_id,
    step,
    worker_id: 'w',
    attempt: 1,
    started_at: null,
    outcome: asJson(outcome),
  }
}

async function runChild(stage: Stage, { executionId, state }: Known, child: NewChild): Promise<Input> {
  const { child_execution_id, payload, path } = child
  let error: CallError | null = null
  try {
    const plan = stage.store.playbook(path)
    if (plan === undefined) throw makeError('NOETL_ERR_PLAYBOOK_NOT_FOUND', [path, ''])
    const depth = (state.depth ?? 0) + 1
    await run(stage, plan, { payload, depth }, child_execution_id, executionId)
  } catch (problem) {
    if (!isNoetlError(problem)) throw problem
    error = callError(problem.code, problem.message)
  }
  return { type: 'child', child_execution_id, error }
}

function noteWait(line: string, waits: number[]): void {
  const { after_s } = JSON.parse(line) as { after_s?: number }
  if (after_s !== undefined) waits.push(after_s)
}

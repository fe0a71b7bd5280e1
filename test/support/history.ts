import { isDeepStrictEqual } from 'node:util'
import { fold, NOTHING } from '../../core/engine/fold.ts'
import type { Graph } from '../../core/playbook/graph.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { State, Status } from '../../core/schemas/execution.ts'
import { type JsonObject, parseJson, writeJson } from '../../core/schemas/json.ts'

/** What is stored of an execution beside its events. */
export interface StoredExecution {
  execution_id: string
  status: Status
  state: State
}

/** A row of the queue, as far as a history is held against it. */
export interface StoredCommand {
  queue_id: string
  status: string
  node_id: string
}

export interface HistoryOptions {
  /** Executions that this one waits for by the rows of `noetl.wait`. Absent: not looked at. */
  waits?: string[]
  /**
   * Of a playbook without a way back: each step is entered once at most, and only when nothing that is active
   * can still reach it.
   */
  acyclic?: Pick<Graph, 'predecessors' | 'reaches'>
}

/**
 * Holds the events of one execution, in the order of their ids, against each other, against its row and against
 * its rows in the queue: what the promises of the protocol leave behind, whatever happened. Gives what is wrong,
 * in words; nothing when all is well. Touches nothing, and knows nothing of how the events came about.
 */
export function checkHistory(
  events: readonly Event[],
  execution: StoredExecution,
  queueRows: readonly StoredCommand[],
  options: HistoryOptions = {},
): string[] {
  const faults: string[] = []
  const about = { events, execution, queueRows, options, fault: (text: string) => void faults.push(text) }
  checkOrder(about)
  checkEnd(about)
  checkCommands(about)
  checkLoops(about)
  checkWaits(about)
  checkSteps(about)
  checkReplay(about)
  return faults.map((fault) => `execution ${execution.execution_id}: ${fault}`)
}

interface About {
  events: readonly Event[]
  execution: StoredExecution
  queueRows: readonly StoredCommand[]
  options: HistoryOptions
  fault(text: string): void
}

const ENDS: Record<string, Status> = {
  'playbook.completed': 'COMPLETED',
  'playbook.failed': 'FAILED',
  'playbook.cancelled': 'CANCELLED',
}
const SETTLED = ['call.done', 'call.error', 'call.waiting', 'call.retrying']
/** These may come after the end: they tell of what others did not know yet, and change nothing. */
const AFTERWORDS = ['command.late', 'command.lease_expired', 'command.completed', 'command.failed']
/** Told by the engine, hence in the order of their ids. */
const BY_ENGINE = [
  ...Object.keys(ENDS),
  ...SETTLED,
  'playbook.started',
  'command.issued',
  'step.skipped',
  'loop.started',
  'loop.done',
  'step.exit',
]

const idOf = ({ event_id }: Event) => BigInt(event_id)
const of = (events: readonly Event[], ...types: string[]) =>
  events.filter(({ event_type }) => types.includes(event_type))
const commandOf = (event: Event) => String(event.meta?.command_id ?? '')

function checkOrder({ events, execution, fault }: About): void {
  const [first] = events
  if (first?.event_type !== 'playbook.started' || first.event_id !== execution.execution_id) {
    fault(`its first event is ${first?.event_type} ${first?.event_id}, not its beginning`)
  }
  if (of(events, 'playbook.started').length > 1) fault('it began more than once')
  for (const [i, event] of events.entries()) {
    const before = events[i - 1]
    if (before !== undefined && idOf(before) >= idOf(event)) {
      fault(`event ${event.event_id} (${event.event_type}) is not after ${before.event_id}`)
    }
  }
}

function checkEnd({ events, execution, queueRows, fault }: About): void {
  const ends = of(events, ...Object.keys(ENDS))
  const [end] = ends
  if (ends.length > 1) fault(`it ended ${ends.length} times: ${ends.map(({ event_type }) => event_type)}`)
  if (execution.status === 'RUNNING') {
    if (end !== undefined) fault(`it is RUNNING, and ${end.event_type} was told`)
    return
  }
  if (end === undefined) fault(`it is ${execution.status}, and no end was told`)
  else if (ENDS[end.event_type] !== execution.status) {
    fault(`it is ${execution.status}, and ${end.event_type} was told`)
  }
  for (const event of events.slice(end === undefined ? events.length : events.indexOf(end) + 1)) {
    if (BY_ENGINE.includes(event.event_type)) fault(`after its end, ${event.event_type} was told`)
    else if (!AFTERWORDS.includes(event.event_type) && !event.event_type.startsWith('command.')) {
      fault(`after its end, ${event.event_type} was told`)
    }
  }
  for (const { queue_id, status } of queueRows) {
    fault(`it is ${execution.status}, and its command ${queue_id} is ${status} in the queue`)
  }
}

function checkCommands({ events, execution, queueRows, fault }: About): void {
  const issued = new Map(of(events, 'command.issued').map((event) => [event.event_id, event]))
  const settled = new Map<string, Event>()
  for (const event of of(events, ...SETTLED)) {
    const id = commandOf(event)
    // A step whose own templates cannot be evaluated fails without a command.
    if (id === '') continue
    const before = settled.get(id)
    if (before !== undefined)
      fault(`command ${id} was settled twice: ${before.event_type}, ${event.event_type}`)
    if (!issued.has(id)) fault(`command ${id} was settled (${event.event_type}) and never issued`)
    settled.set(id, event)
  }
  for (const event of of(events, 'command.claimed', 'command.dead', 'command.retried')) {
    if (!issued.has(commandOf(event)))
      fault(`command ${commandOf(event)}: ${event.event_type}, and it was never issued`)
  }
  for (const [id, command] of issued) checkAttempts(id, command, events, fault)
  const rows = new Set(queueRows.map(({ queue_id }) => queue_id))
  for (const id of rows) {
    if (!issued.has(id)) fault(`command ${id} is in the queue and was never issued`)
    if (settled.has(id)) fault(`command ${id} is in the queue and was settled`)
  }
  for (const { queue_id } of queueRows.filter(({ status }) => status === 'dead')) {
    if (!of(events, 'command.dead').some((event) => commandOf(event) === queue_id)) {
      fault(`command ${queue_id} is dead in the queue, and no one was told`)
    }
  }
  if (execution.status !== 'RUNNING') return
  for (const id of issued.keys()) {
    if (!settled.has(id) && !rows.has(id)) fault(`command ${id} is neither settled nor in the queue`)
  }
}

/** Attempts rise one by one; one that was handed back does not count, and a retry by hand begins anew. */
function checkAttempts(id: string, command: Event, events: readonly Event[], fault: About['fault']): void {
  const own = events.filter((event) => commandOf(event) === id)
  const claims = of(own, 'command.claimed')
  const again = 1 + of(own, 'command.released', 'command.retried').length
  const most = Number(command.meta?.max_attempts ?? Number.POSITIVE_INFINITY)
  const times = new Map<number, number>()
  for (const { meta } of claims) times.set(Number(meta?.attempt), (times.get(Number(meta?.attempt)) ?? 0) + 1)
  for (const [attempt, count] of times) {
    if (attempt > most) fault(`command ${id} was begun for the ${attempt}th time; ${most} are allowed`)
    if (count > again) fault(`command ${id} was begun ${count} times as attempt ${attempt}`)
    if (attempt > 1 && !times.has(attempt - 1))
      fault(`command ${id} was begun as attempt ${attempt}, never as the one before`)
  }
  for (const outcome of of(own, ...SETTLED)) {
    const { attempt } = outcome.meta ?? {}
    // A person, and a client that does not say, have no attempt.
    if (typeof attempt === 'number' && !times.has(attempt)) {
      fault(`command ${id} was settled as attempt ${attempt}, and no one had that lease`)
    }
  }
}

function checkLoops({ events, fault }: About): void {
  for (const begun of of(events, 'loop.started')) {
    const run = begun.event_id
    const own = events.filter(({ node_id }) => node_id === run)
    const done = of(own, 'loop.done')
    const name = `loop ${begun.node_name} (${run})`
    if (done.length > 1) fault(`${name} was done ${done.length} times`)
    const total = begun.meta?.mode === 'cursor' ? Number.POSITIVE_INFINITY : Number(begun.meta?.total)
    const outcomes = new Map<number, number>()
    for (const { current_index: index, meta } of of(own, 'call.done', 'call.error')) {
      if (index !== undefined && meta?.parked !== true) outcomes.set(index, (outcomes.get(index) ?? 0) + 1)
    }
    for (const [index, count] of outcomes) {
      if (count > 1) fault(`${name}: iteration ${index} has ${count} outcomes`)
      if (index >= total) fault(`${name}: iteration ${index} of ${total}`)
    }
    const fresh = of(own, 'command.issued').filter(({ context }) => context?.resumes === undefined)
    const parked = of(own, 'call.error').filter(({ meta }) => meta?.parked === true)
    const indexes = fresh.map(({ current_index }) => current_index)
    if (indexes.length - parked.length > new Set(indexes).size)
      fault(`${name}: an iteration was issued twice`)
    // An error elsewhere that nothing caught lets no further iteration begin.
    const stopped = of(events, 'step.exit').some(
      ({ status, meta }) => status === 'error' && meta?.caught !== true,
    )
    if (
      done[0]?.status === 'ok' &&
      total !== Number.POSITIVE_INFINITY &&
      !stopped &&
      outcomes.size !== total
    ) {
      fault(`${name} is done with ${outcomes.size} of ${total} iterations`)
    }
  }
}

function checkWaits({ events, execution, options, fault }: About): void {
  const open = new Set<string>()
  const resumed = new Set<string>()
  for (const event of events) {
    const child = event.meta?.child_execution_id
    if (event.event_type === 'call.waiting') {
      if (open.has(String(child))) fault(`it began to wait for ${child} twice`)
      open.add(String(child))
    }
    const { resumes } = event.meta ?? {}
    if (event.event_type !== 'command.issued' || typeof resumes !== 'string') continue
    if (resumed.has(resumes)) fault(`it went on twice after ${resumes}`)
    if (!open.has(resumes)) fault(`it went on after ${resumes}, for which it did not wait`)
    resumed.add(resumes)
  }
  const waiting = execution.status === 'RUNNING' ? [...open].filter((id) => !resumed.has(id)).sort() : []
  const stored = options.waits === undefined ? waiting : [...options.waits].sort()
  if (!isDeepStrictEqual(waiting, stored)) {
    fault(`it waits for [${waiting}] by its events, for [${stored}] by its rows`)
  }
}

/** Steps begin where an arc led, end once, and joins wait. */
function checkSteps({ events, execution, options, fault }: About): void {
  const reached = new Map<string, number>()
  const entered = new Map<string, number>()
  const active = new Map<string, string>()
  const count = (map: Map<string, number>, step: string) => map.set(step, (map.get(step) ?? 0) + 1)
  for (const event of events) {
    const step = event.node_name ?? ''
    for (const token of (event.context?.next ?? []) as JsonObject[]) count(reached, String(token.step))
    if (isEntry(event)) {
      if (event.meta?.final === true) count(reached, step)
      if (active.has(event.event_id)) fault(`step run ${event.event_id} of "${step}" began twice`)
      count(entered, step)
      if (entered.get(step)! > (reached.get(step) ?? 0)) {
        fault(
          `step "${step}" was entered ${entered.get(step)} times and reached ${reached.get(step) ?? 0} times`,
        )
      }
      if (options.acyclic && entered.get(step)! > 1) fault(`step "${step}" ran ${entered.get(step)} times`)
      checkJoin(event, [...active.values()], options.acyclic, fault)
      active.set(event.node_id ?? event.event_id, step)
    } else if (event.event_type === 'step.exit') {
      if (!active.delete(event.node_id ?? ''))
        fault(`step "${step}" ended (${event.event_id}) without having begun`)
    }
  }
  if (execution.status === 'COMPLETED' && !of(events, 'playbook.completed')[0]?.meta?.finalized) {
    for (const [run, step] of active) fault(`it is COMPLETED, and step "${step}" (${run}) goes on`)
  }
}

function checkJoin(
  event: Event,
  active: string[],
  graph: HistoryOptions['acyclic'],
  fault: About['fault'],
): void {
  const step = event.node_name ?? ''
  if (graph === undefined || event.meta?.aside === true || graph.predecessors(step).length < 2) return
  const open = active.find((other) => graph.reaches(other, step))
  if (open !== undefined) fault(`step "${step}" began while "${open}" could still reach it`)
}

/** True for the first event of a step's run. */
function isEntry({ event_type, event_id, node_id, current_index }: Event): boolean {
  if (event_type === 'loop.started') return true
  if (event_type === 'command.issued') return node_id === event_id && current_index === undefined
  return event_type === 'step.enter' && node_id === event_id
}

/** The events, folded in order, give the state that is stored. */
function checkReplay({ events, execution, fault }: About): void {
  const replayed = events.reduce(fold, NOTHING)
  for (const [name, value] of Object.entries(plain(execution.state))) {
    // Upkeep and clients tell events too, which move nothing.
    if (name === 'last') continue
    const other = plain(replayed)[name]
    if (!isDeepStrictEqual(value, other)) {
      fault(`its state has ${name} ${JSON.stringify(value)}, its events give ${JSON.stringify(other)}`)
    }
  }
  for (const name of Object.keys(plain(replayed))) {
    if (!Object.hasOwn(execution.state, name)) fault(`its state lacks ${name}, which its events give`)
  }
  const newest = events.findLast(({ event_type }) => BY_ENGINE.includes(event_type))
  if (newest !== undefined && idOf(newest) > BigInt(execution.state.last)) {
    fault(`its state ends at ${execution.state.last}, and ${newest.event_type} ${newest.event_id} was told`)
  }
}

function plain(state: State): JsonObject {
  return parseJson(writeJson(state)) as JsonObject
}

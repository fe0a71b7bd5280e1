import t from 'tap'
import type { Event } from '../../core/schemas/event.ts'
import { checkHistory, type StoredCommand, type StoredExecution } from '../support/history.ts'
import { simulate } from './run.ts'
import { byId } from './tables.ts'

interface History {
  events: Event[]
  execution: StoredExecution
  queue: StoredCommand[]
  waits: string[]
}

const text = JSON.stringify({
  metadata: { path: 'main' },
  workflow: [
    { step: 'start', next: { spec: { mode: 'inclusive' }, arcs: [{ step: 'a' }, { step: 'b' }] } },
    { step: 'a', tool: { kind: 'work', value: 1 }, next: { arcs: [{ step: 'join' }] } },
    { step: 'b', tool: { kind: 'playbook', path: 'kid' }, next: { arcs: [{ step: 'join' }] } },
    { step: 'join', loop: { in: [1, 2], iterator: 'x', spec: { mode: 'parallel' } }, tool: { kind: 'work' } },
  ],
})
const kid = JSON.stringify({
  metadata: { path: 'kid' },
  workflow: [{ step: 'start', tool: { kind: 'work' } }],
})
const acyclic = {
  predecessors: (step: string) => (step === 'join' ? ['a', 'b'] : []),
  reaches: (from: string, to: string) => from === 'start' || (to === 'join' && ['a', 'b'].includes(from)),
}

const { kept, faults } = await simulate(1, { calm: { texts: { main: text, kid }, settled: true } })
const main = kept.find(({ row }) => row.path === 'main')!

/** The history of the run, to be tampered with. */
function history(): History {
  const { row, events } = structuredClone(main)
  return { events: events.sort((a, b) => byId(a.event_id, b.event_id)), execution: row, queue: [], waits: [] }
}

function check({ events, execution, queue, waits }: History): string[] {
  return checkHistory(events, execution, queue, { waits, acyclic })
}

const find = ({ events }: History, type: string, step?: string) =>
  events.find(({ event_type, node_name }) => event_type === type && (step ?? node_name) === node_name)!
const drop = (history: History, event: Event) => history.events.splice(history.events.indexOf(event), 1)
/** The same once more, as the newest event. */
const repeat = (history: History, event: Event, more: Partial<Event> = {}) => {
  const event_id = String(BigInt(history.events.at(-1)!.event_id) + 1n)
  history.events.push({ ...structuredClone(event), event_id, ...more })
}
/** As it was before its end. */
const reopen = (history: History) => {
  drop(history, find(history, 'playbook.completed'))
  history.execution.status = 'RUNNING'
}

t.test('history: that of a run in which nothing broke has no fault', async (t) => {
  t.same(faults, [])
  t.same(check(history()), [])
})

const TAMPERED: Record<string, [tamper: (history: History) => void, says: RegExp]> = {
  'its beginning is missing': [(h) => drop(h, h.events[0]!), /its first event is/],
  'it began twice': [(h) => repeat(h, h.events[0]!), /it began more than once/],
  'two events have one id': [(h) => h.events.splice(2, 0, h.events[1]!), /is not after/],
  'it ended twice': [(h) => repeat(h, find(h, 'playbook.completed')), /it ended 2 times/],
  'no end was told': [(h) => drop(h, find(h, 'playbook.completed')), /no end was told/],
  'another end was told': [
    (h) => {
      h.execution.status = 'FAILED'
    },
    /it is FAILED, and playbook.completed was told/,
  ],
  'an end was told and it runs': [
    (h) => {
      h.execution.status = 'RUNNING'
    },
    /it is RUNNING, and playbook.completed was told/,
  ],
  'it went on after its end': [
    (h) => repeat(h, find(h, 'step.exit', 'a')),
    /after its end, step.exit was told/,
  ],
  'a command was left in the queue': [
    (h) => h.queue.push({ queue_id: find(h, 'command.issued').event_id, status: 'queued', node_id: '1' }),
    /is queued in the queue/,
  ],
  'a command was settled twice': [(h) => repeat(h, find(h, 'call.done', 'a')), /was settled twice/],
  'a command was never issued': [(h) => drop(h, find(h, 'command.issued', 'a')), /never issued/],
  'a command has vanished': [
    (h) => {
      reopen(h)
      drop(h, find(h, 'call.done', 'a'))
    },
    /is neither settled nor in the queue/,
  ],
  'a dead command told no one': [
    (h) => h.queue.push({ queue_id: find(h, 'command.issued').event_id, status: 'dead', node_id: '1' }),
    /is dead in the queue, and no one was told/,
  ],
  'an attempt was given twice': [(h) => repeat(h, find(h, 'command.claimed', 'a')), /2 times as attempt 1/],
  'an attempt was left out': [
    (h) => {
      find(h, 'command.claimed', 'a').meta!.attempt = 2
    },
    /never as the one before/,
  ],
  'there were too many attempts': [
    (h) => {
      for (const attempt of [2, 3, 4]) {
        const claim = find(h, 'command.claimed', 'a')
        repeat(h, claim, { meta: { ...claim.meta, attempt } })
      }
    },
    /begun for the 4th time; 3 are allowed/,
  ],
  'an outcome has no lease': [(h) => drop(h, find(h, 'command.claimed', 'a')), /no one had that lease/],
  'an iteration has two outcomes': [
    (h) => repeat(h, find(h, 'call.done', 'join')),
    /iteration \d has 2 outcomes/,
  ],
  'a loop was done twice': [(h) => repeat(h, find(h, 'loop.done')), /was done 2 times/],
  'a loop was done too soon': [
    (h) => drop(h, find(h, 'call.done', 'join')),
    /is done with 1 of 2 iterations/,
  ],
  'it went on twice after a wait': [
    (h) => {
      const resumed = h.events.findLast((event) => event.meta?.resumes !== undefined)!
      repeat(h, resumed)
    },
    /it went on twice after/,
  ],
  'a wait was left': [(h) => h.waits.push('7'), /for \[7\] by its rows/],
  'a step was never reached': [
    (h) => {
      find(h, 'step.exit', 'start').context!.next = []
    },
    /entered 1 times and reached 0 times/,
  ],
  'a step ran twice': [
    (h) => {
      const { event_id, ...entry } = find(h, 'loop.started')
      repeat(h, { ...entry, event_id, node_id: '9' })
    },
    /step "join" ran 2 times/,
  ],
  'a join did not wait': [
    (h) => {
      const [exit] = h.events.splice(h.events.indexOf(find(h, 'step.exit', 'b')), 1)
      repeat(h, exit!)
    },
    /step "join" began while "b" could still reach it/,
  ],
  'a step goes on after the end': [(h) => drop(h, find(h, 'step.exit', 'join')), /step "join" .* goes on/],
  'its state is not what its events give': [
    (h) => {
      h.execution.state = { ...h.execution.state, done: 17 }
    },
    /its state has done 17, its events give 4/,
  ],
  'its state is behind its events': [
    (h) => {
      h.execution.state = { ...h.execution.state, last: h.execution.execution_id }
    },
    /its state ends at/,
  ],
}

for (const [name, [tamper, says]] of Object.entries(TAMPERED)) {
  t.test(`history: a fault is found when ${name}`, async (t) => {
    const tampered = history()
    tamper(tampered)
    t.match(check(tampered).join('\n'), says)
  })
}

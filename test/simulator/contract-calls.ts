import { NOTHING } from '../../core/engine/fold.ts'
import type { Event } from '../../core/schemas/event.ts'
import type { NewCommand, Transition } from '../../core/store/commit.ts'
import { fingerprintOf, type NewLetter } from '../../core/store/dead-letters.ts'
import type { Statements } from './memory-store.ts'
import type { Random } from './random.ts'
import type { Kept, QueueRow, Tables } from './tables.ts'

/** One call of the store, as either of the two is asked. */
export type Call = {
  [K in keyof Statements]: { name: K; given: Parameters<Statements[K]> }
}[keyof Statements]

/**
 * Draws calls as engine, upkeep and routes make them, and such as they do not: with old revisions, tokens of
 * others, ids that do not exist. What there is decides which, so that most of them do something.
 */
export function makeCalls(random: Random, tables: Tables, newId: () => string): () => Call {
  const tokens = Array.from({ length: 4 }, () => random.uuid())
  const workers = ['w1', 'w2', 'w3']
  const some = <T>(list: T[], most: number): T[] =>
    list.length === 0 ? [] : Array.from({ length: random.int(1, most) }, () => random.pick(list))
  const distinct = <T>(list: T[]): T[] => [...new Set(list)]
  const executions = () => tables.all()
  const rows = () => tables.queueRows()
  const named = ({ execution_id, queue_id }: QueueRow) => ({ execution_id, queue_id })
  const tokenFor = (row: QueueRow) =>
    row.lease_token !== null && random.chance(0.7) ? row.lease_token : random.pick(tokens)

  function event(execution_id: string, event_type: string, more: Partial<Event> = {}): Event {
    const created_at = new Date(tables.now() - random.int(0, 50)).toISOString()
    return { event_id: newId(), execution_id, created_at, event_type, ...more }
  }

  /** Commands with the events that issue them. */
  function issue(execution_id: string): { commands: NewCommand[]; events: Event[]; letters: NewLetter[] } {
    const issued = { commands: [] as NewCommand[], events: [] as Event[], letters: [] as NewLetter[] }
    for (let n = random.int(0, 2); n > 0; n--) {
      const node_name = random.pick(['a', 'b', 'c'])
      const told = event(execution_id, 'command.issued', {
        node_name,
        context: { args: { n } },
        ...(random.chance(0.5) ? { current_index: random.int(0, 3) } : {}),
      })
      const dead = random.chance(0.15)
      const leased = !dead && random.chance(0.3)
      issued.events.push({ ...told, node_id: told.event_id })
      issued.commands.push({
        queue_id: told.event_id,
        node_id: told.event_id,
        node_name,
        tool_kind: 'noop',
        lane: 'normal',
        pool: random.pick(['', 'gpu']),
        max_attempts: random.int(1, 3),
        effect: random.pick(['pure', 'idempotent', 'keyed', 'unsafe']),
        delay: leased ? 0 : random.chance(0.2) ? random.int(1, 20) : 0,
        dead,
        ...(leased && { lease: { token: random.uuid(), worker_id: random.pick(workers), seconds: 15 } }),
      })
      if (dead) issued.letters.push(letter(told.event_id, node_name, random.int(1, 3)))
    }
    return issued
  }

  function letter(queue_id: string, step: string, attempts: number): NewLetter {
    const error = {
      kind: 'timeout' as const,
      message: `no ${random.int(1, 99)}`,
      ...{ code: null, retryable: false, status: null, status_code: null, retry_after: null },
    }
    const reason = random.pick(['attempts', 'error', 'in_doubt'] as const)
    const about = { letter_id: newId(), queue_id, path: 'p', step, tool_kind: 'noop', reason, error }
    const worker_id = random.pick([null, 'w1'])
    return { ...about, fingerprint: fingerprintOf({ path: 'p', step, error }), attempts, worker_id }
  }

  function birth(): Transition {
    const execution_id =
      random.chance(0.9) || executions().length === 0 ? newId() : random.pick(executions()).row.execution_id
    const issued = issue(execution_id)
    return {
      ...transition(execution_id),
      ...issued,
      revision: null,
      birth: { catalog_id: '7', path: 'p', version: 1, parent_execution_id: random.pick([null, '5']) },
      events: [
        event(execution_id, 'playbook.started', { context: { workload: { n: 1 } } }),
        ...issued.events,
      ],
    }
  }

  function transition(execution_id: string): Transition {
    return {
      execution_id,
      revision: null,
      status: random.weighted([
        [8, 'RUNNING'],
        [1, 'COMPLETED'],
        [1, 'CANCELLED'],
      ]),
      state: { ...NOTHING, last: execution_id, done: random.int(0, 9) },
      error: null,
      ...{
        settles: [],
        events: [],
        commands: [],
        keys: [],
        results: [],
        waits: [],
        awaited: [],
        letters: [],
      },
    }
  }

  function move({ row, queue, waits }: Kept): Transition {
    const { execution_id, revision } = row
    const settled = distinct(
      some(
        [...queue.values()].filter(({ status }) => status === 'running'),
        2,
      ),
    ).filter(() => random.chance(0.7))
    const issued = issue(execution_id)
    const told = settled.map(({ queue_id, node_name, node_id, attempt, worker_id }) =>
      event(execution_id, random.pick(['call.done', 'call.error', 'call.waiting']), {
        node_id,
        node_name,
        ...(worker_id === null ? {} : { worker_id }),
        meta: { command_id: queue_id, attempt, ...(random.chance(0.2) ? { stored: 'kv' } : {}) },
        result: random.pick([{ ok: true }, [1, 2], 'text', null]),
        ...(random.chance(0.3) ? { current_index: random.int(0, 3) } : {}),
        duration: 0.25,
      }),
    )
    const stored = told.filter(({ meta }) => meta?.stored !== undefined)
    const child = random.chance(0.2)
      ? random.pick([newId(), random.pick(executions()).row.execution_id])
      : undefined
    const timeout_seconds = random.chance(0.5) ? random.int(0, 9000) / 1000 : null
    return {
      ...transition(execution_id),
      ...issued,
      revision: random.chance(0.85) ? revision : random.int(0, revision + 1),
      settles: settled.map((held) => ({
        queue_id: held.queue_id,
        ...random.weighted([
          [6, { token: held.lease_token, worker_id: held.worker_id }],
          [1, { token: random.pick(tokens), worker_id: held.worker_id }],
          [1, { token: null, worker_id: held.worker_id }],
          [1, { token: null, worker_id: random.pick(workers) }],
        ] as const),
      })),
      events: [...told, ...(random.chance(0.2) ? [loopEnd(execution_id)] : []), ...issued.events],
      results: stored.map(({ event_id, node_name }) => ({
        result_id: event_id,
        name: node_name ?? '',
        store: 'kv' as const,
        bytes: 7,
        data: { big: [1, 2, 3] },
      })),
      waits:
        child === undefined || waits.has(child)
          ? []
          : [{ child_execution_id: child, event_id: newId(), timeout_seconds }],
      awaited: random.chance(0.3) ? distinct(some([...waits.keys()], 2)) : [],
    }
  }

  function loopEnd(execution_id: string): Event {
    const run = random.pick(
      [...(tables.executions.get(execution_id)?.events ?? [])].map(({ event_id }) => event_id),
    )
    return event(execution_id, 'loop.done', {
      node_id: run ?? '1',
      node_name: random.pick(['a', 'b']),
      result: { stats: { total: 1 } },
      meta: random.pick([{ stored: 'loop' }, { stored: 'loop', frames: true }, {}]),
    })
  }

  const anyRow = () => named(random.pick(rows()))
  const claim = (row: { execution_id: string; queue_id: string; lease_token?: string | null }) => ({
    ...{ execution_id: row.execution_id, queue_id: row.queue_id },
    worker_id: random.pick(workers),
    token: row.lease_token && random.chance(0.3) ? row.lease_token : random.pick(tokens),
    ...random.pick([{}, { again: false }, { again: true }]),
    event_id: newId(),
  })
  /** Two claims under one token are one. */
  const eachOnce = <T extends { queue_id: string; token: string }>(claims: T[]): T[] => [
    ...new Map(claims.map((claim) => [`${claim.queue_id} ${claim.token}`, claim])).values(),
  ]
  const eventsOf = (kept: Kept) => kept.events.map(({ event_id }) => event_id)
  const call = <K extends keyof Statements>(name: K, ...given: Parameters<Statements[K]>) =>
    ({ name, given }) as Call

  return () => {
    const kept = executions().length === 0 ? undefined : random.pick(executions())
    if (kept === undefined || random.chance(0.07)) return call('commitTransitions', [birth()])
    const id = kept.row.execution_id
    if (rows().length === 0 || random.chance(0.2)) {
      return call('commitTransitions', distinct(some(executions(), 3)).map(move))
    }
    const draw = random.weighted<() => Call>([
      [9, () => call('claimCommands', eachOnce(some(rows(), 4).map(claim)), random.pick([3, 15]))],
      [1, () => call('claimCommands', [claim({ execution_id: id, queue_id: newId() })], 3)],
      [1, () => call('leasedUnder', id, random.pick([...rows().map(tokenFor), ...tokens]))],
      [1, () => call('lookAtCommands', distinct(some(rows(), 3)).map(named))],
      [1, () => call('readCommand', random.pick([anyRow().queue_id, '77']))],
      [
        4,
        () =>
          call(
            'renewLeases',
            distinct(some(rows(), 3)).map((row) => ({ ...named(row), token: tokenFor(row) })),
            15,
          ),
      ],
      [
        2,
        () =>
          call(
            'releaseLeases',
            distinct(some(rows(), 3)).map((row) => ({
              ...named(row),
              token: tokenFor(row),
              event_id: newId(),
            })),
          ),
      ],
      [3, () => call('rescue', random.pick([1, 500]))],
      [3, () => call('takeUnclaimed', { afterSeconds: random.pick([0.5, 2]), limit: random.pick([1, 100]) })],
      [
        2,
        () =>
          call('takeUnclaimed', {
            afterSeconds: random.pick([0.5, 2]),
            limit: random.pick([1, 100]),
            to: random.pick([
              { lane: 'normal', pool: '' },
              { lane: 'normal', pool: 'gpu' },
              { lane: 'high', pool: '' },
            ]),
          }),
      ],
      [1, () => call('forgetAnnouncements')],
      [1, () => call('makeDue', some(rows(), 3).map(named))],
      [
        2,
        () =>
          call('wasRecorded', id, {
            command_id: random.pick(kept.events).event_id,
            attempt: random.pick([null, 1, 2]),
            worker_id: random.pick([null, ...workers]),
          }),
      ],
      [
        1,
        () =>
          call('tellLate', {
            execution_id: random.pick([id, '9']),
            event_id: newId(),
            node_name: 'a',
            worker_id: random.pick([null, 'w1']),
            meta: { command_id: random.pick(kept.events).event_id, attempt: 1, status: 'ok' },
          }),
      ],
      [1, () => call('findStalled', random.pick([0, 5]), 100)],
      [2, () => call('findWaits', 100)],
      [2, () => call('findLost', 100)],
      [
        3,
        () =>
          call(
            'parkLost',
            rows()
              .filter(({ status }) => status === 'running')
              .filter(() => random.chance(0.6))
              .map((row) => ({
                ...letter(row.queue_id, row.node_name, random.chance(0.8) ? row.attempt : row.attempt - 1),
                execution_id: row.execution_id,
              })),
          ),
      ],
      [
        2,
        () =>
          call(
            'listLetters',
            random.pick([
              {},
              { status: 'open' },
              { status: 'retried' },
              { executionId: id },
              { step: 'a' },
              { path: 'q' },
              {
                ids: lettersOf()
                  .slice(0, 2)
                  .map(({ letter_id }) => letter_id),
              },
            ]),
            random.pick([1, 100]),
          ),
      ],
      [
        3,
        () =>
          call(
            'retryLetters',
            distinct(some(lettersOf(), 2)).map(({ execution_id, letter_id }) => ({
              execution_id,
              letter_id,
              event_id: newId(),
            })),
          ),
      ],
      [
        2,
        () => {
          const { execution_id, letter_id } =
            lettersOf().length > 0 ? random.pick(lettersOf()) : { execution_id: id, letter_id: '3' }
          return call('seizeLetter', {
            execution_id,
            letter_id,
            token: random.pick(tokens),
            by: 'operator',
            status: random.pick(['resolved', 'dropped']),
          })
        },
      ],
      [1, () => call('loadExecution', random.pick([id, '9']))],
      [2, () => call('loadEvents', id, distinct(some(eventsOf(kept), 3)))],
      [
        2,
        () => call('loadResults', id, ['a', 'b', 'z'], ...random.pick([[], [random.pick(eventsOf(kept))]])),
      ],
      [1, () => call('loadIterations', id, random.pick(kept.events).node_id ?? '1')],
      [2, () => call('loadWhole', id, random.pick(kept.events).event_id)],
    ])
    return draw()
  }

  function lettersOf() {
    return executions().flatMap(({ letters }) => [...letters.values()])
  }
}

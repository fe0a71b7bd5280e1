/** One guard broken on purpose, and what is to notice. */
export interface Mutation {
  /** What is broken, in words. */
  name: string
  file: string
  find: string
  replace: string
  /** `simulator`: some schedule of the subset; else the test file that fails. */
  by: string
}

const CONTRACT = 'test/simulator/contract.test.ts'
const CONCURRENT = 'test/simulator/concurrent.test.ts'
const TWO_SERVERS = 'test/core/engine/two-servers.test.ts'

/**
 * Guards that sit in SQL are broken twice: in the statement, which the contract test holds against the memory,
 * and in the memory, where a schedule must show what the guard is there for.
 */
export const MUTATIONS: readonly Mutation[] = [
  ...both('commit: the token of a lease is not compared', {
    sql: ['core/store/commit.ts', 'AND (q.lease_token = s.token OR', 'AND (true OR'],
    memory: [
      'test/simulator/memory-commit.ts',
      '(token === null ? row.worker_id === worker_id : row.lease_token === token.toLowerCase())',
      'true',
    ],
  }),
  ...both('commit: the revision is not compared', {
    sql: ['core/store/commit.ts', "e.status = 'RUNNING' AND e.revision = i.revision", "e.status = 'RUNNING'"],
    memory: ['test/simulator/memory-commit.ts', 'kept.row.revision === revision &&', ''],
  }),
  // In the memory it changes nothing: who ends an execution changes its revision.
  one(
    'commit: an execution that has ended may go on (SQL)',
    'core/store/commit.ts',
    ["e.status = 'RUNNING' AND e.revision = i.revision", 'e.revision = i.revision'],
    CONTRACT,
  ),
  one(
    'commit: an execution is not locked while its revision is compared (SQL)',
    'core/store/commit.ts',
    ['  ORDER BY e.execution_id\n  FOR UPDATE OF e\n', '  ORDER BY e.execution_id\n'],
    CONCURRENT,
  ),
  ...both('commit: the end of an execution leaves its commands in the queue', {
    sql: [
      'core/store/commit.ts',
      "WHERE ok.status <> 'RUNNING' AND q.execution_id",
      'WHERE false AND q.execution_id',
    ],
    memory: ['test/simulator/memory-commit.ts', 'else kept.queue.clear()', ''],
  }),
  ...both('claim: a lease that holds does not keep others away', {
    sql: ['core/store/queue.ts', 'OR (q.lease_until < now() AND q.attempt', 'OR (q.attempt'],
    memory: [
      'test/simulator/memory-queue.ts',
      'return row.lease_until! < now && row.attempt',
      'return row.attempt',
    ],
  }),
  ...both('claim: of several at once, the holder does not go first', {
    sql: [
      'core/store/queue.ts',
      'ORDER BY execution_id, queue_id, again DESC',
      'ORDER BY execution_id, queue_id, again',
    ],
    memory: [
      'test/simulator/memory-queue.ts',
      "if (row.status !== 'running') return false\n    if (row.lease_token === token) return true",
      "if (row.status !== 'running') return false",
    ],
    memoryBy: CONTRACT,
  }),
  ...both('claim: one that was not answered is counted again', {
    sql: [
      'core/store/queue.ts',
      "AND (q.status = 'running' OR w.again), false)",
      "AND q.status = 'running', false)",
    ],
    memory: [
      'test/simulator/memory-queue.ts',
      "&& (row.status === 'running' || again === true)",
      "&& row.status === 'running'",
    ],
    memoryBy: CONTRACT,
  }),
  one(
    'claim: a command is not locked while it is looked at (SQL)',
    'core/store/queue.ts',
    [
      '  ORDER BY q.execution_id, q.queue_id\n  FOR UPDATE OF q\n), chosen',
      '  ORDER BY q.execution_id, q.queue_id\n), chosen',
    ],
    CONCURRENT,
  ),
  ...both('rescue: attempts are not limited', {
    sql: [
      'core/store/queue.ts',
      "q.lease_until < now() AND q.attempt < q.max_attempts\n               AND q.effect <> 'unsafe'",
      "q.lease_until < now() AND q.effect <> 'unsafe'",
    ],
    memory: [
      'test/simulator/memory-queue.ts',
      'row.lease_until! < tables.now() &&\n            row.attempt < row.max_attempts &&',
      'row.lease_until! < tables.now() &&',
    ],
  }),
  ...both('rescue: what is not safe to repeat is begun again', {
    sql: [
      'core/store/queue.ts',
      "AND q.attempt < q.max_attempts\n               AND q.effect <> 'unsafe'",
      'AND q.attempt < q.max_attempts',
    ],
    memory: [
      'test/simulator/memory-queue.ts',
      "row.attempt < row.max_attempts &&\n            row.effect !== 'unsafe',",
      'row.attempt < row.max_attempts,',
    ],
  }),
  ...both('release: what is not safe to repeat is handed back', {
    sql: [
      'core/store/queue.ts',
      "AND q.lease_token = w.token AND q.effect <> 'unsafe'",
      'AND q.lease_token = w.token',
    ],
    memory: ['test/simulator/memory-queue.ts', "if (row?.effect === 'unsafe') continue", ''],
  }),
  ...both('renew: the token of a lease is not compared', {
    sql: [
      'core/store/queue.ts',
      "WHERE q.status = 'running' AND q.lease_token = w.token\n             ORDER BY q.execution_id, q.queue_id FOR UPDATE OF q)\n           UPDATE noetl.queue q SET lease_until",
      "WHERE q.status = 'running'\n             ORDER BY q.execution_id, q.queue_id FOR UPDATE OF q)\n           UPDATE noetl.queue q SET lease_until",
    ],
    memory: [
      'test/simulator/memory-queue.ts',
      "return row?.status === 'running' && row.lease_token === lease.token.toLowerCase() ? [row] : []\n      })\n      return tables.change(relaxed",
      "return row?.status === 'running' ? [row] : []\n      })\n      return tables.change(relaxed",
    ],
  }),
  one('ids: one that is to follow another may be below it', 'core/store/ids.ts', [
    'if (after !== undefined && idOf(ms, count) <= BigInt(after)) {',
    'if (after !== undefined && Number(BigInt(after) >> 22n) > ms) {',
  ]),
  one('ids: events of one execution are not made to rise', 'core/engine/turn.ts', [
    'env.newId(turn.state.last)',
    "env.newId('0')",
  ]),
  one('engine: a transition that was not written counts as written', 'core/engine/engine.ts', [
    "if (outcome !== 'written') return outcome\n    const { state",
    'const { state',
  ]),
  one(
    'engine: a command gets values of another time from memory',
    'core/engine/claims.ts',
    [
      'return known !== undefined && !idLess(known.state.last, row.queue_id) ? known : undefined',
      'return known',
    ],
    TWO_SERVERS,
  ),
  one('engine: what is remembered says that a report is late', 'core/engine/engine.ts', [
    'if (remembered && (late.length > 0 || decision.events.length === 0)) {',
    'if (remembered && late.length > 1000) {',
  ]),
  one('engine: a row of waits is not written', 'core/engine/engine.ts', [
    'waits: decision.children.map(',
    'waits: decision.children.slice(0, 0).map(',
  ]),
  one('engine: what a turn was to begin is begun though it has ended', 'core/engine/turn.ts', [
    '      turn.commands = []\n      turn.children = []\n      turn.letters = []\n',
    '',
  ]),
  one('engine: a join does not wait', 'core/engine/route.ts', [
    'if (token.aside || plan.graph.predecessors(token.step).length < 2) return false',
    'if (token.step !== undefined) return false',
  ]),
  one('engine: a join runs for each that reaches it', 'core/engine/fold.ts', [
    'const there = token.aside\n',
    'const there = token.step !== undefined\n',
  ]),
  one('engine: an iteration may be settled twice', 'core/engine/fold.ts', [
    'delete run.open[String(event.meta?.command_id)]',
    'void run.open',
  ]),
  one('upkeep: nothing is announced again', 'core/upkeep/announce.ts', [
    'if (first === undefined) return',
    'if (unclaimed.length >= 0) return',
  ]),
  one('upkeep: leases that ran out are not taken back', 'core/upkeep/rescue.ts', [
    'const rescued = await parts.store.rescueExpired(500, parts.newId)',
    'const rescued = await parts.store.rescueExpired(0, parts.newId)',
  ]),
  one('upkeep: commands begun too often are not parked', 'core/upkeep/give-up.ts', [
    'if (lost.length === 0) return',
    'if (lost.length >= 0) return',
  ]),
  one('upkeep: children whose server died are forgotten', 'core/upkeep/children.ts', [
    'parts.store.findWaits(200)',
    'parts.store.findWaits(0)',
  ]),
  one('upkeep: executions left half routed are forgotten', 'core/upkeep/stalled.ts', [
    'await parts.engine.nudge(executionId)',
    'void executionId',
  ]),
  one(
    'worker: leases are not renewed',
    'core/worker/leases.ts',
    ['if (renewing || held.size === 0) return', 'if (renewing || held.size >= 0) return'],
    'test/simulator/leases.test.ts',
  ),
  one(
    'worker: a renewal may wait as long as the lease',
    'core/worker/leases.ts',
    ['const ANSWER_SHARE = 0.5', 'const ANSWER_SHARE = 3'],
    'test/simulator/leases.test.ts',
  ),
  one(
    'worker: a claim that was not answered is made anew',
    'core/worker/leases.ts',
    ['command_id, token, again: tries > 1 }', 'command_id, token: randomUUID(), again: tries > 1 }'],
    'test/simulator/simulator.test.ts',
  ),
  one(
    'worker: a command leased anew runs beside itself',
    'core/worker/leases.ts',
    ['?.abort(new CallAborted(', '?.abort.bind(null, new CallAborted('],
    'test/simulator/leases.test.ts',
  ),
  one(
    'worker: a lease that was lost does not stop its command',
    'core/worker/leases.ts',
    ['        lease.abort(\n          new CallAborted(', '        String(\n          new CallAborted('],
    'test/simulator/leases.test.ts',
  ),
  one(
    'going on: what must not be begun twice is given with the report',
    'core/engine/go-on.ts',
    ["|| dead || effect === 'unsafe'", '|| dead'],
    'test/e2e/go-on.test.ts',
  ),
  one(
    'going on: who repeats its report is given nothing',
    'core/http/events.ts',
    ["answer.status !== 'duplicate'", "answer.status === 'duplicate'"],
    'test/e2e/go-on.test.ts',
  ),
  one(
    'going on: a command that is given is announced as well',
    'core/engine/engine.ts',
    ['!dead && !leases.has(queue_id)', '!dead'],
    'test/e2e/go-on.test.ts',
  ),
  one(
    'upkeep: a stream that takes no messages is left so',
    'core/upkeep/announce.ts',
    ['(await parts.accepts(first)) ? 0 : refusals + 1', '0'],
    'test/e2e/bus.test.ts',
  ),
  one(
    'worker: does not ask for work when the bus is silent',
    'core/worker/polling.ts',
    ['if (!mayAsk()) return', 'if (mayAsk()) return'],
    'test/e2e/no-bus.test.ts',
  ),
]

type Change = readonly [find: string, replace: string]
type Place = readonly [file: string, ...Change]

function one(name: string, file: string, [find, replace]: Change, by = 'simulator'): Mutation {
  return { name, file, find, replace, by }
}

function both(name: string, places: { sql: Place; memory: Place; memoryBy?: string }): Mutation[] {
  const { sql, memory, memoryBy = 'simulator' } = places
  return [
    one(`${name} (SQL)`, sql[0], [sql[1], sql[2]], CONTRACT),
    one(`${name} (memory)`, memory[0], [memory[1], memory[2]], memoryBy),
  ]
}

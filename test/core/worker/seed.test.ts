import t from 'tap'
import type { Json, JsonObject } from '../../../core/schemas/json.ts'
import { type PlayOptions, play } from '../../support/play.ts'

/** Runs a playbook of the seed dialect; steps `a` and `b` are there without anything when they are not written. */
function run(steps: string, options: PlayOptions = {}) {
  const written = steps.trim()
  const missing = ['a', 'b'].filter((step) => !new RegExp(`^- \\{?step: ${step}\\b`, 'm').test(written))
  return play(
    `metadata: {path: p}\ndialect: seed\nworkflow:\n${written}\n${missing.map((step) => `- {step: ${step}}\n`).join('')}`,
    options,
  )
}

const error = (message: string, more: JsonObject = {}): Json => ({
  error: { kind: 'server_error', message, status: 500, ...more },
})

// retry

t.test('seed retry: a call is repeated while its clause holds, then the flow goes on', async (t) => {
  const { status, entered, calls, waits } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case: [{when: "{{ error.status == 500 }}", then: {retry: {max_attempts: 5, delay: 0, backoff: linear}}}]
  next: a`,
    { gives: { start: [error('no'), error('no'), { status_code: 200, data: {} }] } },
  )
  t.strictSame([status, calls.length, waits], ['COMPLETED', 3, [0, 0]])
  t.strictSame(entered, ['start', 'a'])
})

t.test('seed retry: max_attempts are runs in all, and the failure says how many there were', async (t) => {
  const run_ = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case: [{when: "{{ event.name == 'call.error' }}", then: {retry: {max_attempts: 2, delay: 0}}}]
  next: a`,
    { gives: { start: [error('no'), error('no')] } },
  )
  t.strictSame([run_.status, run_.error, run_.entered], ['FAILED', 'no (after 2 runs)', ['start']])
})

t.test('seed retry: a result that is not ready is asked for again', async (t) => {
  const { status, calls, results } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case: [{when: "{{ result.data.state == 'pending' }}", then: {retry: {max_attempts: 5, delay: 0}}}]`,
    { gives: { start: [{ data: { state: 'pending' } }, { data: { state: 'ready' } }] } },
  )
  t.strictSame([status, calls.length, results.start], ['COMPLETED', 2, { data: { state: 'ready' } }])
})

t.test('seed retry: its own when is asked beside that of the clause', async (t) => {
  const { error: text, calls } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case: [{when: "{{ error is defined }}", then: {retry: {max_attempts: 5, delay: 0, when: "{{ error.status == 500 }}"}}}]`,
    { gives: { start: [error('no'), error('bad', { kind: 'client_error', status: 400 })] } },
  )
  t.strictSame([calls.length, text], [2, 'bad'])
})

t.test('seed retry: a clause before it that holds keeps it from repeating', async (t) => {
  const { entered, calls } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case:
  - {when: "{{ error.status == 500 }}", then: {next: a}}
  - {when: "{{ error is defined }}", then: {retry: {max_attempts: 5, delay: 0}}}`,
    { gives: { start: [error('no')] } },
  )
  t.strictSame([calls.length, entered], [1, ['start', 'a']])
})

t.test('seed retry: what is set beside it is set with each repeat', async (t) => {
  const { ctx, calls } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case:
  - when: "{{ error is defined }}"
    then: [{set: {tries: "{{ (vars.tries | default(0)) + 1 }}"}}, {retry: {max_attempts: 5, delay: 0}}]`,
    { gives: { start: [error('no'), error('no'), {}] } },
  )
  t.strictSame([calls.length, ctx], [3, { tries: 2 }])
})

t.test('seed retry: when it is over, a clause behind it may give a result instead', async (t) => {
  const { status, results, calls, entered } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case:
  - {when: "{{ error is defined }}", then: {retry: {max_attempts: 2, delay: 0}}}
  - {when: "{{ error is defined }}", then: {result: {from: {fallback: true, why: "{{ error.message }}"}}}}
  next: a`,
    { gives: { start: [error('no'), error('no')] } },
  )
  t.strictSame([status, calls.length, entered], ['COMPLETED', 2, ['start', 'a']])
  t.match(results.start, { fallback: true, why: 'no' })
})

// fail

t.test('seed fail: the execution fails with its text', async (t) => {
  const {
    status,
    error: text,
    entered,
  } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  case: [{when: "{{ result.n < 0 }}", then: {fail: {message: "n is {{ result.n }}"}}}]
  next: a`,
    { gives: { start: { n: -1 } } },
  )
  t.strictSame([status, text, entered], ['FAILED', 'n is -1', ['start']])
})

t.test('seed fail: nothing catches it, though a clause catches other errors', async (t) => {
  const steps = `
- step: start
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ error is defined }}", then: {next: a}}
  - {when: "{{ result.n < 0 }}", then: {fail: {message: no}}}
  next: b`
  const failed = await run(steps, { gives: { start: { n: -1 } } })
  t.strictSame([failed.status, failed.error, failed.entered], ['FAILED', 'no', ['start']])
  const caught = await run(steps, { gives: { start: error('other') } })
  t.strictSame([caught.status, caught.entered], ['COMPLETED', ['start', 'a']])
  const fine = await run(steps, { gives: { start: { n: 1 } } })
  t.strictSame([fine.status, fine.entered], ['COMPLETED', ['start', 'b']])
})

t.test('seed fail: nor does anything at the end of a loop, though other rounds end after it', async (t) => {
  const {
    status,
    error: text,
    entered,
    ctx,
  } = await run(
    `
- step: start
  loop: {in: [1, 2, 3], iterator: n, mode: parallel}
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ result.n == 1 }}", then: {fail: {message: one}}}
  - {when: "{{ error is defined }}", then: {next: a}}
  - {when: "{{ result.n > 1 }}", then: [{collect: {from: result.n, into: all}}, {result: {from: result.n}}]}`,
    { gives: { start: [{ n: 2 }, { n: 1 }, { n: 3 }] } },
  )
  t.strictSame([status, text, entered], ['FAILED', 'one', ['start']])
  t.strictSame(ctx.all, [2, 3])
})

t.test('seed fail: without a text an error keeps its own', async (t) => {
  const { error: text } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  case: [{when: "{{ error is defined }}", then: {fail: {}}}]`,
    { gives: { start: error('disk full') } },
  )
  t.equal(text, 'disk full')
})

t.test('seed fail: as a step is entered, its tool does not run', async (t) => {
  const {
    status,
    error: text,
    calls,
  } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ event.name == 'step.enter' and not workload.ready }}", then: {fail: {message: not ready}}}
  - {when: "{{ error is defined }}", then: {next: a}}`,
  )
  t.strictSame([status, text, calls.length], ['FAILED', 'not ready', 0])
})

t.test('seed fail: a step without a tool fails by what led to it', async (t) => {
  const { status, error: text } = await run(
    `
- {step: start, tool: {kind: python, code: "x"}, next: a}
- step: a
  case: [{when: "{{ result.n > 1 }}", then: {fail: {message: too many}}}]
  next: b`,
    { gives: { start: { n: 2 } } },
  )
  t.strictSame([status, text], ['FAILED', 'too many'])
})

t.test('seed fail: at the end of a loop', async (t) => {
  const {
    status,
    error: text,
    ctx,
  } = await run(
    `
- step: start
  loop: {in: [1, 2], iterator: n}
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ event.name == 'call.done' and result.bad }}", then: {collect: {from: n, into: bad}}}
  - {when: "{{ loop.done and vars.bad }}", then: {fail: {message: "bad: {{ vars.bad }}"}}}
  next: a`,
    { gives: { start: [{ bad: true }, { bad: false }] } },
  )
  t.strictSame([status, text, ctx], ['FAILED', 'bad: [1]', { bad: [1] }])
})

// result

t.test('seed result: the result is another, for the step and for what comes after it', async (t) => {
  const { results, entered } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case: [{when: "{{ event.name == 'call.done' }}", then: {result: {from: result.data.items}}}]
  next: a
- {step: a, tool: {kind: noop, result: "{{ start | length }}"}}`,
    { gives: { start: { data: { items: [1, 2, 3] } } } },
  )
  t.strictSame([entered, results], [['start', 'a'], { start: [1, 2, 3], a: 3 }])
})

t.test('seed result: what stands before it in its list takes the result as it was', async (t) => {
  const { results, ctx, entered, told } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  case:
  - when: "{{ result.data.ok }}"
    then:
    - {set: {total: "{{ result.data.total }}"}}
    - {collect: {from: result.data.page, into: pages}}
    - {next: {step: a, args: {page: "{{ result.data.page }}"}}}
    - {result: {from: result.data.items}}
  - {when: "{{ event.name == 'call.done' }}", then: {next: b}}
- {step: a, tool: {kind: noop}}`,
    { gives: { start: { data: { ok: true, items: [1], total: 9, page: 2 } } } },
  )
  t.strictSame([results.start, entered], [[1], ['start', 'a']])
  t.match(ctx, { total: 9, pages: [2] })
  const issued = told.find((event) => event.event_type === 'command.issued' && event.node_name === 'a')
  t.strictSame(issued?.context?.args, { page: 2 })
})

t.test('seed result: a clause whose condition it makes true is not taken for it', async (t) => {
  const { entered } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ result.done }}", then: {next: b}}
  - {when: "{{ result.n == 1 }}", then: [{result: {from: {done: true}}}, {next: a}]}`,
    { gives: { start: { n: 1 } } },
  )
  t.strictSame(entered, ['start', 'a'])
})

t.test('seed result: a step that runs again is judged anew', async (t) => {
  const { entered, ctx } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ result.n == 1 }}", then: [{result: {from: {}}}, {next: a}]}
  - {when: "{{ event.name == 'call.done' }}", then: {next: b}}
- {step: a, tool: {kind: noop}, next: start}
- {step: b}`,
    { gives: { start: [{ n: 1 }, { n: 2 }] } },
  )
  t.strictSame([entered, ctx], [['start', 'a', 'start', 'b'], {}])
})

t.test('seed result: in a loop, of each round by itself', async (t) => {
  const { results, ctx } = await run(
    `
- step: start
  loop: {in: [1, 2, 3], iterator: n, mode: parallel}
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ result.n > 1 }}", then: [{collect: {from: "{{ result.n }}", into: big}}, {result: {from: result.n}}]}
  - {when: "{{ event.name == 'call.done' }}", then: {collect: {from: result.n, into: small}}}`,
    { gives: { start: [{ n: 1 }, { n: 2 }, { n: 3 }] } },
  )
  t.match([results.start, ctx], [3, { big: [2, 3], small: [1] }])
})

// sink

const sqlOf = (calls: { kind: string; fields: JsonObject }[]) =>
  calls
    .filter(({ kind }) => kind === 'postgres' || kind === 'duckdb')
    .map(({ fields: { input: _input, ...fields } }) => fields)

t.test('seed sink: rows go bound as JSON behind the tool, and are no part of its result', async (t) => {
  const { calls, results, entered } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  sink: {backend: postgres, table: items, connection: pg}
  next: a`,
    { gives: { start: { id: 1, "it's": '"' }, aside_0: {} } },
  )
  t.strictSame([results.start, entered], [{ id: 1, "it's": '"' }, ['start', 'a']])
  t.strictSame(sqlOf(calls), [
    {
      auth: 'pg',
      command:
        'INSERT INTO "items" ("id", "it\'s")\nSELECT "id", "it\'s" FROM jsonb_populate_recordset(NULL::"items", $1::jsonb) AS fresh',
      params: ['[{"id":1,"it\'s":"\\""}]'],
    },
  ])
})

t.test('seed sink: the columns of several rows are those that any of them has, quoted', async (t) => {
  const { calls } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  sink: {table: s.Items, from: result.rows}`,
    { gives: { start: { rows: [{ a: 1 }, { b: 2, 'x"; DROP': 3 }, { a: 4 }] }, aside_0: {} } },
  )
  t.match(
    sqlOf(calls)[0]?.command,
    'INSERT INTO "s"."items" ("a", "b", "x""; DROP")\nSELECT "a", "b", "x""; DROP" FROM',
  )
  t.strictSame(sqlOf(calls)[0]?.params, ['[{"a":1},{"b":2,"x\\"; DROP":3},{"a":4}]'])
})

t.test('seed sink: nothing is written of nothing', async (t) => {
  const { status, calls } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  sink: [{table: t, from: result.rows}, {table: t, from: result.none}, {table: t, from: result.empty}]`,
    { gives: { start: { rows: [], none: null, empty: {} } } },
  )
  t.strictSame([status, sqlOf(calls)], ['COMPLETED', []])
})

t.test('seed sink: a tool has a sink as well, and names result, data and this in it', async (t) => {
  const { calls } = await run(
    `
- {step: start, vars: {e: 1}, next: a}
- step: a
  tool:
    kind: python
    code: x
    sink: {tool: {kind: postgres, auth: pg, table: t, args: {a: "{{ result.a }}", b: "{{ data.a }}", c: "{{ this.data.a }}", d: "{{ a.a }}", "e e": "{{ vars.e }}-{{ workload.f }}"}}}
`,
    { payload: { f: 2 }, gives: { 'a.task_0': { a: 7 }, sink_0: {} } },
  )
  t.strictSame(sqlOf(calls), [
    {
      auth: 'pg',
      command:
        'INSERT INTO "t" ("a", "b", "c", "d", "e e")\nSELECT "a", "b", "c", "d", "e e" FROM jsonb_populate_recordset(NULL::"t", $1::jsonb) AS fresh',
      params: ['[{"a":7,"b":7,"c":7,"d":7,"e e":"1-2"}]'],
    },
  ])
})

for (const [name, written, command] of [
  [
    'upsert',
    '{table: t, mode: upsert, key: id, args: {id: 1, n: 2}}',
    'INSERT INTO "t" ("id", "n")\nSELECT "id", "n" FROM jsonb_populate_recordset(NULL::"t", $1::jsonb) AS fresh\nON CONFLICT ("id") DO UPDATE SET "n" = excluded."n"',
  ],
  [
    'upsert of columns that are known only when it runs',
    '{table: t, mode: upsert, key: [id], from: result}',
    'INSERT INTO "t" ("id", "n")\nSELECT "id", "n" FROM jsonb_populate_recordset(NULL::"t", $1::jsonb) AS fresh\nON CONFLICT ("id") DO UPDATE SET "n" = excluded."n"',
  ],
  [
    'upsert of nothing but the key',
    '{table: t, mode: upsert, key: "id, n", from: result}',
    'INSERT INTO "t" ("id", "n")\nSELECT "id", "n" FROM jsonb_populate_recordset(NULL::"t", $1::jsonb) AS fresh\nON CONFLICT ("id", "n") DO NOTHING',
  ],
  [
    'replace',
    '{table: t, mode: replace, args: {id: 1}}',
    'WITH gone AS (DELETE FROM "t" RETURNING 1)\nINSERT INTO "t" ("id")\nSELECT "id" FROM (SELECT count(*) FROM gone) AS emptied, jsonb_populate_recordset(NULL::"t", $1::jsonb) AS fresh',
  ],
  [
    'replace by a key',
    '{table: t, mode: replace, key: id, args: {id: 1}}',
    'INSERT INTO "t" ("id")\nSELECT "id" FROM jsonb_populate_recordset(NULL::"t", $1::jsonb) AS fresh\nON CONFLICT ("id") DO NOTHING',
  ],
  [
    'a table whose name is a template',
    '{table: "{{ workload.table }}", args: {id: 1}}',
    'INSERT INTO "s"."odd; name" ("id")\nSELECT "id" FROM jsonb_populate_recordset(NULL::"s"."odd; name", $1::jsonb) AS fresh',
  ],
] as const) {
  t.test(`seed sink: ${name}, as SQL`, async (t) => {
    const { calls } = await run(`\n- step: start\n  tool: {kind: python, code: x}\n  sink: ${written}`, {
      payload: { table: 'S.odd; name' },
      gives: { start: { id: 1, n: 2 }, aside_0: {} },
    })
    t.equal(sqlOf(calls)[0]?.command, command)
  })
}

t.test('seed sink: one of a clause is written when the clause is the first that holds', async (t) => {
  const steps = `
- step: start
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ result.n > 10 }}", then: {sink: {table: big, args: {n: "{{ result.n }}"}}}}
  - {when: "{{ result.n > 1 }}", then: [{sink: {table: middle, args: {n: "{{ result.n }}"}}}, {next: a}]}
  next: b`
  for (const [n, table, next] of [
    [11, 'big', 'b'],
    [2, 'middle', 'a'],
    [1, undefined, 'b'],
  ] as const) {
    const gives: PlayOptions['gives'] = { start: { n } }
    if (table !== undefined) gives[table === 'big' ? 'aside_0' : 'aside_1'] = {}
    const { calls, entered } = await run(steps, { gives })
    t.same(
      sqlOf(calls).map(({ command }) => /INTO "(\w+)"/.exec(String(command))?.[1]),
      table === undefined ? [] : [table],
    )
    t.strictSame(entered, ['start', next])
  }
})

t.test('seed sink: as a step is left, also of a step that is a loop, once for each round', async (t) => {
  const { calls } = await run(
    `
- step: start
  loop: {in: [1, 2], iterator: n}
  tool: {kind: python, code: "x"}
  case: [{when: "{{ event.name == 'step.exit' }}", then: {sink: {table: t, args: {n: "{{ n }}", r: "{{ result.r }}"}}}}]`,
    { gives: { 'start.task_0': [{ r: 'x' }, { r: 'y' }], aside_0: [{}, {}] } },
  )
  t.strictSame(
    sqlOf(calls).map(({ params }) => params),
    [['[{"n":1,"r":"x"}]'], ['[{"n":2,"r":"y"}]']],
  )
})

t.test('seed sink: at the end of a loop it writes what all rounds have collected', async (t) => {
  const { calls, entered } = await run(
    `
- step: start
  loop: {in: [1, 2, 3], iterator: n, mode: parallel}
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ event.name == 'call.done' }}", then: {collect: {from: result, into: all}}}
  - {when: "{{ loop.done }}", then: [{sink: {table: t, from: vars.all}}, {next: a}]}
- {step: a, tool: {kind: noop, result: "{{ result }}"}}`,
    { pick: (open) => open - 1, gives: { 'start.task_0': [{ r: 3 }, { r: 2 }, { r: 1 }], aside_0: {} } },
  )
  t.strictSame(entered, ['start', 'start:done', 'a'])
  t.strictSame(sqlOf(calls)[0]?.params, ['[{"r":3},{"r":2},{"r":1}]'])
})

t.test('seed sink: an error is written, and then it is still one', async (t) => {
  const steps = (then: string) => `
- step: start
  tool: {kind: python, code: "x"}
  sink: {table: never}
  case:
  - {when: "{{ error is defined }}", then: [{sink: {table: failures, args: {why: "{{ error.message }}", kind: "{{ error.kind }}"}}}${then}]}
  next: b`
  const gives = { start: error('no'), aside_1: {} }
  const failed = await run(steps(''), { gives })
  t.strictSame([failed.status, failed.error, failed.entered], ['FAILED', 'no', ['start']])
  t.match(sqlOf(failed.calls), [
    { command: /INTO "failures"/, params: ['[{"why":"no","kind":"server_error"}]'] },
  ])
  const caught = await run(steps(', {next: {step: a, args: {why: "{{ error.kind }}"}}}'), { gives })
  t.strictSame([caught.status, caught.entered], ['COMPLETED', ['start', 'a']])
  const fine = await run(steps(''), { gives: { start: { n: 1 }, aside_0: {} } })
  t.strictSame([fine.status, fine.entered], ['COMPLETED', ['start', 'b']])
})

t.test('seed sink: what is written before a failure that a clause asks for', async (t) => {
  const {
    status,
    error: text,
    calls,
    entered,
  } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ error is defined }}", then: {next: a}}
  - {when: "{{ result.n < 0 }}", then: [{sink: {table: audit, args: {n: "{{ result.n }}"}}}, {fail: {message: "n is {{ result.n }}"}}]}`,
    { gives: { start: { n: -1 }, aside_0: {} } },
  )
  t.strictSame([status, text, entered], ['FAILED', 'n is -1', ['start']])
  t.strictSame(sqlOf(calls)[0]?.params, ['[{"n":-1}]'])
})

t.test('seed sink: one that fails fails the step', async (t) => {
  const { status, error: text } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  sink: {table: t}
  next: a`,
    { gives: { start: { n: 1 }, aside_0: error('no such table', { kind: 'schema' }) } },
  )
  t.strictSame([status, text], ['FAILED', 'no such table'])
})

t.test('seed sink: one as a step is entered is written before the tool, another beside it', async (t) => {
  const { calls } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  case:
  - {when: "{{ event.name == 'step.enter' }}", then: {sink: {table: log, args: {who: "{{ workload.who }}"}}}}
  - {when: "{{ event.name == 'call.done' }}", then: {sink: {tool: http, url: "http://hook", data: {got: "{{ result.n }}"}}}}`,
    { payload: { who: 'me' }, gives: { 'start.task_0': { n: 1 }, aside_0: {}, aside_1: {} } },
  )
  t.strictSame(
    calls.map(({ kind }) => kind),
    ['postgres', 'python', 'http'],
  )
  t.match(calls[2]?.fields, { method: 'POST', url: 'http://hook', json: { got: 1 } })
})

t.test('seed sink: duckdb reads the rows from one named value', async (t) => {
  const { calls } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  sink: {backend: duckdb, database: /tmp/x.db, table: t, mode: replace, from: result.rows}`,
    { gives: { start: { rows: [{ a: 1, "b's": 2 }] }, aside_0: {} } },
  )
  t.match(sqlOf(calls)[0], {
    database: '/tmp/x.db',
    command:
      /^BEGIN;\nDELETE FROM "t";\nINSERT INTO "t" \("a", "b's"\)\n.*\[\{ "a": "VARCHAR", "b''s": "VARCHAR" \}\]/,
    params: { rows: '[{"a":1,"b\'s":2}]' },
  })
})

t.test('seed sink: of a result that is an envelope, data is what it holds', async (t) => {
  const { calls } = await run(
    `
- step: start
  tool: {kind: http, url: "http://x"}
  sink: [{table: t, args: {a: "{{ data.a }}", b: "{{ result.data.a }}", c: "{{ this.data.a }}", d: "{{ result.status_code }}"}}, {table: t}]`,
    { gives: { start: { status_code: 200, data: { a: 1 } }, aside_0: {}, aside_1: {} } },
  )
  t.strictSame(
    sqlOf(calls).map(({ params }) => params),
    [['[{"a":1,"b":1,"c":1,"d":200}]'], ['[{"a":1}]']],
  )
})

// what runs otherwise in this dialect

t.test('seed: postgres gives a plain list of rows, and what it changed where it gives none', async (t) => {
  const { results } = await run(
    `
- {step: start, tool: {kind: postgres, query: SELECT 1}, next: a}
- {step: a, tool: {kind: postgres, query: DELETE FROM x}}`,
    {
      gives: {
        start: { rows: [{ a: 1 }], columns: ['a'], row_count: 1, affected_rows: 0 },
        a: { rows: [], columns: [], row_count: 3, affected_rows: 3 },
      },
    },
  )
  t.strictSame(results, { start: [{ a: 1 }], a: { status: 'ok', rowcount: 3 } })
})

t.test('seed: arguments of an action win over those of the step, those of the tool too', async (t) => {
  const { calls } = await run(
    `
- step: start
  case: [{then: {next: {step: a, args: {x: action}}}}]
- step: a
  args: {x: step, y: step, z: step}
  tool: {kind: python, code: "x", args: {y: tool}}`,
    { gives: { a: {} } },
  )
  t.match(calls[0]?.fields.input, { x: 'action', y: 'tool', z: 'step' })
})

t.test('seed: routing as a step is entered keeps its tool from running', async (t) => {
  const { calls, entered, results } = await run(
    `
- step: start
  tool: {kind: python, code: "x"}
  sink: {table: t}
  case: [{when: "{{ event.name == 'step.enter' and workload.cached }}", then: {next: a}}]
  next: b`,
    { payload: { cached: true } },
  )
  t.strictSame([calls, entered, results.start], [[], ['start', 'a'], null])
})

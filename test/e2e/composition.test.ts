import t from 'tap'
import { type Execution, testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const gateway = await testGateway(t, {
  plugins: ['@noetl/tool-python'],
  env: { NOETL_WORKER_SLOTS: '1', NOETL_LEASE_SECONDS: '3', NOETL_REANNOUNCE_SECONDS: '0.5' },
})
const { client } = gateway
const done = (run: Execution, step: string) =>
  run.events.findLast(
    (event) => /^(call|loop)\.(done|error)$/.test(event.event_type) && event.node_name === step,
  )

const CHILD = `
metadata: {path: lib/child}
workload: {n: 1}
workflow:
- step: start
  tool: {kind: python, input: {n: "{{ n }}"}, code: "result = {'double': n * 2, 'seen': n}"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: {last: true}}
`
await gateway.register(CHILD)

t.test(
  "playbook: with return_step a step has that step's plain result, and one slot is enough",
  async (t) => {
    const run = await gateway.run(`
metadata: {path: parent}
workflow:
- step: start
  tool: {kind: playbook, path: lib/child, input: {n: 21}, return_step: start}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: python, input: {d: "{{ start.double }}", whole: "{{ start }}"}, code: "result = [d, whole]"}`)
    t.equal(run.status, 'COMPLETED')
    t.same(run.result, [42, { double: 42, seen: 21 }])
  },
)

t.test('playbook: without return_step it still waits, and says which execution it was', async (t) => {
  const run = await gateway.run(`
metadata: {path: parent2}
workload: {which: lib/child}
workflow:
- step: start
  tool: {kind: playbook, path: "{{ which }}", payload: {n: 4}}`)
  t.match(done(run, 'start')?.result, { status: 'COMPLETED', execution_id: /^\d+$/, path: 'lib/child' })
  const { execution_id } = done(run, 'start')!.result as { execution_id: string }
  const child = await gateway.ended(execution_id)
  t.match(child, { status: 'COMPLETED', parent_execution_id: run.execution_id, workload: { n: 4 } })
})

t.test('playbook: a step of the child that did not run gives null', async (t) => {
  const run = await gateway.run(`
metadata: {path: parent3}
workflow:
- step: start
  tool: {kind: playbook, path: lib/child, return_step: nowhere}`)
  t.equal(run.status, 'COMPLETED')
  t.equal(run.result, null)
})

t.test('playbook: one that fails fails the step; rules and arcs decide as after any error', async (t) => {
  await gateway.register(`
metadata: {path: lib/bad}
workflow:
- step: start
  tool: {kind: python, code: "raise ValueError('no way')"}`)
  const failed = await gateway.run(`
metadata: {path: parent4}
workflow:
- step: start
  tool: {kind: playbook, path: lib/bad}
  next: {arcs: [{step: end}]}
- step: end`)
  t.equal(failed.status, 'FAILED')
  t.match(failed.error, /lib\/bad.*no way/)
  const caught = await gateway.run(`
metadata: {path: parent5}
workflow:
- step: start
  tool: {kind: playbook, path: lib/bad}
  next: {arcs: [{step: end, when: "{{ event.name == 'call.error' }}"}]}
- step: end
  tool: {kind: noop, result: caught}`)
  t.match(caught, { status: 'COMPLETED', result: 'caught' })
  const retried = await gateway.run(`
metadata: {path: parent6}
workflow:
- step: start
  tool:
    kind: playbook
    path: lib/bad
    spec: {policy: {rules: [
      {when: "{{ output.status == 'error' and _attempt < 3 }}", then: {do: retry, attempts: 3, delay: 0.05, set: {ctx.tries: "{{ _attempt }}"}}},
      {else: {then: {do: continue, set: {ctx.kind: "{{ output.error.kind }}"}}}}]}}`)
  t.match(retried, { status: 'COMPLETED', variables: { tries: 2, kind: 'tool_error' } })
  t.equal(retried.events.filter((event) => event.event_type === 'call.waiting').length, 3)
})

t.test('playbook: an unknown path is an error of the step', async (t) => {
  const run = await gateway.run(`
metadata: {path: parent7}
workflow:
- step: start
  tool: {kind: playbook, path: "{{ 'lib/' ~ 'nothing' }}"}`)
  t.equal(run.status, 'FAILED')
  t.match(run.error, /lib\/nothing/)
})

t.test(
  'playbook: in a list of tools the items before keep their names, and those after see its result',
  async (t) => {
    const run = await gateway.run(`
metadata: {path: parent8}
workflow:
- step: start
  tool:
  - {name: before, kind: python, code: "result = {'n': 5}", set: {note: "{{ output.n }}", ctx.kept: "{{ output.n + 1 }}"}}
  - {name: called, kind: playbook, path: lib/child, input: {n: "{{ before.n }}"}, return_step: start}
  - name: after
    kind: python
    input: {n: "{{ before.n }}", d: "{{ called.double }}", p: "{{ _prev.double }}", note: "{{ note }}", kept: "{{ ctx.kept }}"}
    code: "result = {'sum': n + d + p, 'note': note, 'kept': kept}"`)
    t.equal(run.status, 'COMPLETED', run.error ?? '')
    t.match(run.result, {
      sum: 25,
      note: 5,
      kept: 6,
      double: 10,
      n: 5,
      before: { n: 5 },
      called: { double: 10 },
    })
    t.same(run.variables, { kept: 6 })
  },
)

t.test('playbook: in loops, also within loops of children, each iteration has its own', async (t) => {
  await gateway.register(`
metadata: {path: lib/middle}
workload: {base: 0}
workflow:
- step: start
  loop: {in: [1, 2, 3], iterator: k, spec: {mode: parallel, max_in_flight: 3}}
  tool: {kind: playbook, path: lib/child, input: {n: "{{ base + k }}"}, return_step: start}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: python, input: {r: "{{ start.results }}"}, code: "result = [x['double'] for x in r]"}`)
  const run = await gateway.run(`
metadata: {path: parent9}
workflow:
- step: start
  loop: {in: [10, 20], iterator: b, spec: {mode: parallel, max_in_flight: 2}}
  tool: {kind: playbook, path: lib/middle, input: {base: "{{ b }}"}, return_step: end}`)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.match(run.result, {
    results: [
      [22, 24, 26],
      [42, 44, 46],
    ],
    stats: { total: 2, success: 2, failed: 0 },
  })
})

t.test(
  'playbook: a call that takes too long is an error of kind timeout, and its child is cancelled',
  async (t) => {
    await gateway.register(`
metadata: {path: lib/slow}
workflow:
- step: start
  tool: {kind: python, code: "import time; time.sleep(60)"}`)
    const run = await gateway.run(`
metadata: {path: parent10}
workflow:
- step: start
  tool:
    kind: playbook
    path: lib/slow
    timeout: 1
    spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: continue, set: {ctx.kind: "{{ output.error.kind }}"}}}]}}`)
    t.match(run, { status: 'COMPLETED', variables: { kind: 'timeout' } })
    const [child] = await client.request<Execution[]>('GET', '/api/executions?path=lib/slow')
    t.equal((await gateway.ended(child!.execution_id)).status, 'CANCELLED')
  },
)

t.test('playbook: cancelling a parent cancels what it waits for', async (t) => {
  const path = await gateway.register(`
metadata: {path: parent11}
workflow:
- step: start
  tool: {kind: playbook, path: lib/slow}`)
  const id = await gateway.execute(path)
  const child = await until('the child', async () => {
    const [found] = await client.request<Execution[]>('GET', `/api/executions?parent_execution_id=${id}`)
    return found
  })
  await client.request('POST', `/api/executions/${id}/cancel`, {})
  t.equal((await gateway.ended(id)).status, 'CANCELLED')
  t.equal((await gateway.ended(child.execution_id)).status, 'CANCELLED')
})

t.test(
  'playbook: one that calls itself for ever ends with a clear error',
  { timeout: 120_000 },
  async (t) => {
    const run = await gateway.run(`
metadata: {path: ring}
workflow:
- step: start
  tool: {kind: playbook, path: ring}`)
    t.equal(run.status, 'FAILED')
    t.match(run.error, /more than 50 look like a ring/)
  },
)

t.test('results: up to 64 KiB inline, over that a stub with a reference; both read the same', async (t) => {
  const of = (bytes: number) =>
    gateway.run(`
metadata: {path: sized}
workflow:
- step: start
  output: {output_select: [chosen]}
  tool: {kind: python, code: "result = {'count': 3, 'chosen': [1, 2], 'items': ['x' * 100] * ${Math.floor(bytes / 104)}, 'long': 'y' * 400}"}
  next: {arcs: [{step: check, when: "{{ start.count == 3 and start['items'] | length > 5 }}"}]}
- step: check
  tool:
    kind: python
    input:
      has_ref: "{{ start._ref is defined }}"
      store: "{{ start._store }}"
      count: "{{ start.count }}"
      chosen: "{{ start.chosen }}"
      n: "{{ start.items | length }}"
      whole: "{{ start }}"
      data: "{{ start.data.count }}"
    code: "result = {'has_ref': has_ref, 'store': store, 'count': count, 'chosen': chosen, 'n': n, 'keys': sorted(whole.keys()), 'data': data}"
  next: {arcs: [{step: spread}]}
- step: spread
  loop: {in: "{{ start.chosen }}", iterator: c, spec: {mode: sequential}}
  tool: {kind: python, input: {c: "{{ c }}", ref: "{{ start._ref }}"}, code: "result = [c, ref is None]"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: python, input: {check: "{{ check }}", spread: "{{ spread.data }}"}, code: "result = {**check, 'spread': spread}"}`)
  const keys = ['chosen', 'count', 'items', 'long']
  const small = await of(7_000)
  t.equal(small.status, 'COMPLETED', small.error ?? '')
  t.same(small.result, {
    has_ref: false,
    store: null,
    count: 3,
    chosen: [1, 2],
    n: 67,
    keys,
    data: 3,
    spread: [
      [1, true],
      [2, true],
    ],
  })
  t.notOk(JSON.stringify(small.events).includes('"_ref"'))
  const kv = await of(115_000)
  t.equal(kv.status, 'COMPLETED', kv.error ?? '')
  t.same(kv.result, {
    has_ref: true,
    store: 'kv',
    count: 3,
    chosen: [1, 2],
    n: 1105,
    keys,
    data: 3,
    spread: [
      [1, false],
      [2, false],
    ],
  })
  const stub = done(kv, 'start')?.result as { [field: string]: unknown }
  t.match(stub, {
    count: 3,
    chosen: [1, 2],
    _store: 'kv',
    _ref: new RegExp(`^noetl://execution/${kv.execution_id}/result/start/\\d+$`),
    _preview: { type: 'object' },
  })
  t.same(Object.keys(stub).sort(), ['_preview', '_ref', '_store', 'chosen', 'count'])
  t.ok(JSON.stringify(stub).length < 5000)
  t.match((await of(1_200_000)).result, { store: 'disk', n: 11538 })
})

t.test(
  'artifact: get gives the whole, at top level and as data; put stores and gives a reference',
  async (t) => {
    const run = await gateway.run(`
metadata: {path: artifacts}
workflow:
- step: start
  tool: {kind: python, code: "result = {'count': 2, 'rows': [{'id': i, 'text': 'z' * 50} for i in range(3000)]}"}
  next: {arcs: [{step: load}]}
- step: load
  tool: {kind: artifact, action: get, input: {result_ref: "{{ start._ref }}"}}
  next: {arcs: [{step: save}]}
- step: save
  tool: {kind: artifact, action: put, input: {name: kept, data: {a: [1, 2]}}}
  next: {arcs: [{step: again}]}
- step: again
  tool: {kind: artifact, action: get, input: {result_ref: "{{ save._ref }}"}}
  next: {arcs: [{step: end}]}
- step: end
  tool:
    kind: python
    input: {n: "{{ load.rows | length }}", c: "{{ load.data.count }}", d: "{{ load.data.rows[2999].id }}", a: "{{ again.a }}"}
    code: "result = [n, c, d, a]"`)
    t.equal(run.status, 'COMPLETED', run.error ?? '')
    t.same(run.result, [3000, 2, 2999, [1, 2]])
    const missing = await gateway.run(`
metadata: {path: artifact-missing}
workflow:
- step: start
  tool: {kind: artifact, action: get, input: {result_ref: "noetl://execution/1/result/x/2"}}`)
    t.equal(missing.status, 'FAILED')
  },
)

t.test('results: those of loops and of children are whole wherever they are read', async (t) => {
  await gateway.register(`
metadata: {path: lib/large}
workload: {k: 0}
workflow:
- step: start
  tool: {kind: python, input: {k: "{{ k }}"}, code: "result = {'k': k, 'rows': ['r' * 100] * 1000}"}`)
  const run = await gateway.run(`
metadata: {path: large-loop}
workflow:
- step: start
  loop: {in: 3, iterator: k, spec: {mode: parallel, max_in_flight: 2}}
  tool: {kind: playbook, path: lib/large, input: {k: "{{ k }}"}, return_step: start}
  next: {arcs: [{step: check, when: "{{ event.name == 'loop.done' and start.stats.total == 3 and start.results[2].k == 2 }}"}]}
- step: check
  tool:
    kind: python
    input: {all: "{{ start }}", data: "{{ start.data }}", ref: "{{ start._ref }}"}
    code: "result = [[len(x['rows']) for x in all['results']], [x['k'] for x in data], all['stats'], ref.startswith('noetl://')]"`)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.same(run.result, [[1000, 1000, 1000], [0, 1, 2], { total: 3, success: 3, failed: 0 }, true])
})

t.test("workbook: a task runs as if it stood in the step, the step's input over its own", async (t) => {
  const run = await gateway.run(`
metadata: {path: books}
workbook:
- name: add
  tool: {kind: python, input: {a: null, b: 10}, code: "result = {'sum': a + b}"}
  assert: {expects: [a], returns: [sum]}
workflow:
- step: start
  tool: {kind: workbook, name: add, input: {a: 1}}
  next: {arcs: [{step: many}]}
- step: many
  tool:
  - {name: add, kind: workbook, input: {a: "{{ start.sum }}"}}
  - {name: second, kind: workbook, task: add, input: {a: "{{ add.sum }}", b: 100}}`)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.match(run.result, { add: { sum: 21 }, second: { sum: 121 }, sum: 121 })
  await t.rejects(
    gateway.register(`
metadata: {path: books2}
workbook: [{name: add, tool: {kind: noop}}]
workflow:
- {step: start, tool: {kind: workbook, name: ad}}`),
    { message: /"ad", which does not exist; there are: add.*Did you mean "add"/s },
  )
})

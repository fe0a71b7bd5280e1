import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-python', '@noetl/tool-http'] })

const requests: string[] = []
const web = createServer((request, response) => {
  requests.push(request.url ?? '')
  const flaky = request.url === '/flaky' && requests.filter((url) => url === '/flaky').length < 3
  const status = flaky ? 503 : request.url === '/gone' ? 404 : 200
  response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify({ url: request.url, n: requests.length }))
})
await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  web.closeAllConnections()
  web.close()
})
const api = `http://127.0.0.1:${(web.address() as AddressInfo).port}`

const playbook = (name: string, rest: string) =>
  `apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {path: test/${name}}\n${rest}`

t.test('python, set, arcs and a join give the right values, not only the right status', async (t) => {
  const run = await gateway.run(
    playbook(
      'values',
      `workload: {users: [{id: 1, age: 30}, {id: 2, age: 40}], factor: 2}
workflow:
- step: start
  tool:
    kind: python
    input: {users: "{{ users }}", factor: "{{ factor }}"}
    code: |
      result = {"ids": [u["id"] * factor for u in users], "big": 9007199254740993}
  set: {ctx.count: "{{ start.ids | length }}"}
  next: {spec: {mode: inclusive}, arcs: [{step: left, when: "{{ ctx.count == 2 }}"}, {step: right}, {step: never, when: "{{ ctx.count > 2 }}"}]}
- step: left
  tool: {kind: python, input: {ids: "{{ start.ids }}"}, code: "return sum(ids)"}
  next: {arcs: [{step: end}]}
- step: right
  loop: {in: "{{ users }}", iterator: user, spec: {mode: parallel, max_in_flight: 2}}
  tool: {kind: python, input: {age: "{{ iter.user.age }}"}, code: "result = {'next': age + 1}"}
  next: {arcs: [{step: end, when: "{{ event.name == 'loop.done' }}"}]}
- step: never
- step: end
  tool: {kind: noop, result: {sum: "{{ left.data }}", ages: "{{ right.results }}", total: "{{ right.stats.total }}", big: "{{ start.big }}"}}`,
    ),
  )
  t.equal(run.status, 'COMPLETED')
  t.same(run.result, { sum: 6, ages: [{ next: 31 }, { next: 41 }], total: 2, big: 9007199254740993n })
  t.same(run.completed_steps, ['start', 'left', 'right', 'end'])
  t.same(run.variables, { count: 2 })
})

t.test('a sequential loop shows each iteration what the one before set', async (t) => {
  const run = await gateway.run(
    playbook(
      'accumulate',
      `workflow:
- step: start
  loop: {in: "{{ [1, 2, 3, 4] }}", iterator: n, spec: {mode: sequential}}
  tool:
    kind: python
    input: {n: "{{ iter.n }}", seen: "{{ ctx.seen | default([]) }}"}
    code: "result = seen + [n]"
    set: {ctx.seen: "{{ output.data }}"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: "{{ ctx.seen }}"}`,
    ),
  )
  t.same(run.result, [1, 2, 3, 4])
})

t.test('a retry by rule truly happens, and only the failing call is repeated', async (t) => {
  const run = await gateway.run(
    playbook(
      'retry',
      `workload: {api: ${api}}
workflow:
- step: start
  tool:
  - {name: before, kind: http, url: "{{ api }}/before"}
  - name: flaky
    kind: http
    url: "{{ api }}/flaky"
    spec: {policy: {rules: [{when: "{{ output.status == 'error' and output.error.retryable }}", then: {do: retry, attempts: 5, delay: 0.01}}]}}
  - {name: after, kind: noop, result: {status: "{{ flaky.status_code }}"}}`,
    ),
  )
  t.equal(run.status, 'COMPLETED')
  t.match(run.result, { status: 200, flaky: { data: { url: '/flaky' } } })
  t.equal(requests.filter((url) => url === '/flaky').length, 3)
  t.equal(requests.filter((url) => url === '/before').length, 1)
})

t.test('a python exception that nothing catches is FAILED, with its text where clients look', async (t) => {
  const run = await gateway.run(
    playbook(
      'raise',
      `workflow:\n- step: start\n  tool: {kind: python, code: "assert 1 == 2, 'sums differ'"}\n  next: {arcs: [{step: end}]}\n- step: end`,
    ),
  )
  t.equal(run.status, 'FAILED')
  t.match(run.error, /AssertionError: sums differ \(line 1\)/)
  const failed = run.events.find((event) => event.event_type === 'call.error')
  t.match(failed, { error: /sums differ/, result: { context: { error: /sums differ/ } } })
  t.notOk(run.completed_steps.includes('end'))
})

t.test('an arc with a condition catches an HTTP error and reads its fields', async (t) => {
  const run = await gateway.run(
    playbook(
      'catch',
      `workload: {api: ${api}}
workflow:
- step: start
  tool: {kind: http, url: "{{ api }}/gone"}
  next: {arcs: [{step: fix, when: "{{ start.status_code == 404 and event.name == 'call.error' }}"}, {step: end}]}
- step: fix
  tool: {kind: noop, result: {was: "{{ start.status_code }}"}}
- step: end`,
    ),
  )
  t.equal(run.status, 'COMPLETED')
  t.same(run.result, { was: 404 })
})

t.test(
  'payload: a top-level key replaces the whole default; templates of defaults are evaluated once',
  async (t) => {
    const run = await gateway.run(
      playbook(
        'payload',
        `workload: {a: {x: 1, y: 2}, b: 1, id: "{{ execution_id }}"}
workflow:
- step: start
  tool: {kind: noop, result: {a: "{{ a }}", b: "{{ b }}", same: "{{ id == execution_id }}", job: "{{ job.uuid == id }}"}}`,
      ),
      { a: { x: 9 } },
    )
    t.same(run.result, { a: { x: 9 }, b: 1, same: true, job: true })
  },
)

t.test('large values go through ctx, results and templates whole', async (t) => {
  const run = await gateway.run(
    playbook(
      'large',
      `workflow:
- step: start
  tool: {kind: python, code: "result = {'rows': [{'id': i, 'text': 'x' * 100} for i in range(20000)]}"}
  set: {ctx.rows: "{{ start.rows }}"}
  next: {arcs: [{step: count}]}
- step: count
  tool: {kind: python, input: {rows: "{{ ctx.rows }}", direct: "{{ start.rows }}"}, code: "result = [len(rows), len(direct), rows == direct]"}`,
    ),
  )
  t.same(run.result, [20000, 20000, true])
})

t.test('text that jsonb cannot hold does not stop a run', async (t) => {
  const run = await gateway.run(
    playbook(
      'nul',
      `workflow:\n- step: start\n  tool: {kind: python, code: "result = ['a' + chr(0) + 'b', chr(0xd800), '\\\\\\\\u0000']"}`,
    ),
  )
  t.equal(run.status, 'COMPLETED')
  t.same(run.result, ['a\ufffdb', '\ufffd', '\\u0000'])
})

t.test('a cycle of thousands of steps without tools ends', async (t) => {
  const run = await gateway.run(
    playbook(
      'spin',
      `workflow:\n- step: start\n  set: {ctx.n: "{{ (ctx.n | default(0)) + 1 }}"}\n  next: {arcs: [{step: start, when: "{{ ctx.n < 1500 }}"}]}`,
    ),
  )
  t.equal(run.status, 'COMPLETED')
  t.same(run.variables, { n: 1500 })
})

t.test('many executions at once each have their own values', async (t) => {
  const path = await gateway.register(
    playbook(
      'own',
      `workflow:\n- step: start\n  tool: {kind: python, input: {n: "{{ n }}"}, code: "result = n * n"}\n  next: {arcs: [{step: end}]}\n- step: end\n  tool: {kind: noop, result: "{{ start.data + n }}"}`,
    ),
  )
  const ids = await Promise.all(Array.from({ length: 60 }, (_, n) => gateway.execute(path, { n })))
  const ended = await Promise.all(ids.map((id) => gateway.ended(id)))
  t.same(
    ended.map((run) => run.result),
    ids.map((_, n) => n * n + n),
  )
})

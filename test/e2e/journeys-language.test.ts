import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'
import { credentialOf } from '../support/postgres.ts'

// Corners of the language with the tools that people use, over the API, by the values that come of them.
const gateway = await testGateway(t, {
  plugins: ['python', 'http', 'postgres', 'duckdb', 'shell'].map((kind) => `@noetl/tool-${kind}`),
  env: { NOETL_DATA_DIR: join(import.meta.dirname, '../../.noetl') },
})
const data = credentialOf(gateway.databaseUrl)
await gateway.client.request('POST', '/api/credentials', { name: 'pg_k8s', type: 'postgres', data })

/** Answers with the status that it is asked for. */
const server = createServer((request, response) => {
  const n = Number(new URL(request.url ?? '', 'http://x').searchParams.get('status') ?? 200)
  response.writeHead(n, { 'content-type': 'application/json' }).end(JSON.stringify({ n }))
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const journeys: { name: string; yaml: string; result: unknown }[] = [
  {
    name: 'python: module level, return, main in its forms, libs, context, null',
    yaml: `
workload: {test_table: ''}
workflow:
- step: start
  tool:
  - {name: a, kind: python, input: {test_table: "{{ test_table }}"}, code: "test_table = test_table or 'x'\\nresult = test_table"}
  - {name: b, kind: python, input: {n: 2}, code: "if n > 1:\\n    return {'n': n}\\nreturn None"}
  - {name: c, kind: python, input: {x: 1, y: 2}, code: "def main(**kwargs):\\n    return sorted(kwargs.items())"}
  - {name: d, kind: python, input: {x: 1}, code: "import asyncio\\nasync def main(x):\\n    await asyncio.sleep(0)\\n    return x + 1"}
  - {name: e, kind: python, input: {x: 1}, code: "def main(input_data):\\n    return input_data['x']"}
  - {name: f, kind: python, input: {input_data: {z: 5}, result: 3}, code: "result = [input_data['z'], result]"}
  - {name: g, kind: python, libs: {dt: {from: datetime, import: datetime}, json: json}, code: "result = {'y': dt(2020, 1, 2), 'd': __import__('decimal').Decimal('1.50')}"}
  - {name: h, kind: python, code: "result = [context.get('execution_id') == '{{ execution_id }}', 'test_table' in list(context.keys())]"}
  - {name: i, kind: python, code: "result = None"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: ["{{ start.a }}", "{{ start.b.n }}", "{{ start.c }}", "{{ start.d }}", "{{ start.e }}", "{{ start.f }}", "{{ start.g }}", "{{ start.h }}", "{{ start.i }}"]}
`,
    result: [
      'x',
      2,
      [
        ['x', 1],
        ['y', 2],
      ],
      2,
      1,
      [5, 3],
      { y: '2020-01-02T00:00:00', d: 1.5 },
      [true, true],
      null,
    ],
  },
  {
    name: 'http: a status of 503 is an error whose fields the arc that catches it reads',
    yaml: `
workload: {api: "${api}"}
workflow:
- step: start
  tool: {kind: http, url: "{{ api }}/?status=503"}
  next: {arcs: [{step: plain}, {step: caught, when: "{{ event.name == 'call.error' }}"}]}
- {step: plain, tool: {kind: noop, result: wrong}}
- step: caught
  tool: {kind: noop, result: {code: "{{ start.status_code }}", n: "{{ start.data.n }}"}}
`,
    result: { code: 503, n: 503 },
  },
  {
    name: 'pipeline: an error that goes on is an envelope under its name, and not in the whole',
    yaml: `
workload: {api: "${api}"}
workflow:
- step: start
  tool:
  - {name: bad, kind: http, url: "{{ api }}/?status=404", spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: continue, set: {ctx.kind: "{{ output.error.kind }}", ctx.st: "{{ output.http.status }}"}}}]}}}
  - {name: ok, kind: python, input: {e: "{{ bad.error.kind }}", p: "{{ _prev.status }}"}, code: "result = {'e': e, 'p': p, 'v': 1}"}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: {v: "{{ start.v }}", e: "{{ start.e }}", p: "{{ start.p }}", status: "{{ start.status }}", kind: "{{ ctx.kind }}", st: "{{ ctx.st }}", err: "{{ start.error is defined }}"}}
`,
    result: { v: 1, e: 'not_found', p: 'error', status: null, kind: 'not_found', st: 404, err: false },
  },
  {
    name: 'loop: over a mapping, a number, a JSON text and nothing',
    yaml: `
workload: {m: {a: 1, b: 2}, n: 3, j: '[4, 5]', none_left: []}
workflow:
- step: start
  loop: {in: "{{ m }}", iterator: kv, spec: {mode: sequential}}
  tool: {kind: noop, result: ["{{ iter.kv.key }}", "{{ kv.value }}", "{{ loop_index }}", "{{ iter._total }}", "{{ loop.first }}", "{{ loop.last }}"]}
  next: {arcs: [{step: nums}]}
- step: nums
  loop: {in: "{{ n }}", iterator: i, spec: {mode: parallel}}
  tool: {kind: noop, result: "{{ i * 10 }}"}
  next: {arcs: [{step: text}]}
- step: text
  loop: {in: "{{ j }}", iterator: i, spec: {mode: sequential}}
  tool: {kind: noop, result: "{{ item + 1 }}"}
  set: {ctx.text: "{{ text.results | sum }}"}
  next: {arcs: [{step: empty}]}
- step: empty
  loop: {in: "{{ none_left }}", iterator: i}
  tool: {kind: noop}
  next: {arcs: [{step: end, when: "{{ event.name == 'loop.done' and empty.stats.total == 0 }}"}]}
- step: end
  tool: {kind: noop, result: {a: "{{ start.results }}", n: "{{ nums.data }}", t: "{{ ctx.text }}", e: "{{ empty.results }}"}}
`,
    result: {
      a: [
        ['a', 1, 0, 2, true, false],
        ['b', 2, 1, 2, false, true],
      ],
      n: [0, 10, 20],
      t: 11,
      e: [],
    },
  },
  {
    name: 'loop: what grows in ctx is seen by the next iteration, iter by its own alone',
    yaml: `
workflow:
- step: start
  set: {ctx.all: []}
  next: {arcs: [{step: each}]}
- step: each
  loop: {in: [1, 2, 3], iterator: i, spec: {mode: sequential}}
  tool:
  - name: one
    kind: python
    input: {i: "{{ iter.i }}", all: "{{ ctx.all }}"}
    code: "result = {'all': all + [i * i]}"
    set: {ctx.all: "{{ output.all }}", iter.sq: "{{ output.all | last }}"}
  - {name: two, kind: noop, result: {sq: "{{ iter.sq }}", before: "{{ one.all | length }}"}}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: {all: "{{ ctx.all }}", data: "{{ each.data | map(attribute='sq') | list }}"}}}
`,
    result: { all: [1, 4, 9], data: [1, 4, 9] },
  },
  {
    name: 'rules: in a loop each iteration has its own outcome',
    yaml: `
workload: {api: "${api}"}
workflow:
- step: start
  loop: {in: [200, 404, 500, 201], iterator: s, spec: {mode: parallel, max_in_flight: 4}}
  tool:
  - name: call
    kind: http
    url: "{{ api }}/?status={{ iter.s }}"
    spec:
      policy:
        rules:
        - {when: "{{ output.http.status == 404 }}", then: {do: break, set: {iter.skipped: true}}}
        - {when: "{{ output.status == 'error' and output.error.retryable }}", then: {do: retry, attempts: 2, delay: 0.01}}
        - {else: {then: {do: continue}}}
  - {name: v, kind: python, input: {c: "{{ call.status_code }}", sk: "{{ iter.skipped | default(false) }}"}, code: "result = {'code': c, 'sk': sk}"}
  next: {arcs: [{step: end, when: "{{ start.stats.failed == 1 }}"}, {step: none}]}
- {step: none, tool: {kind: noop, result: wrong}}
- {step: end, tool: {kind: noop, result: {stats: "{{ start.stats }}", first: "{{ start.results[0].v }}", last: "{{ start.results[3].code }}", skipped: "{{ start.results[1].v is defined }}"}}}
`,
    result: {
      stats: { total: 4, success: 3, failed: 1 },
      first: { code: 200, sk: false },
      last: 201,
      skipped: false,
    },
  },
  {
    name: 'tools: older spellings of their fields',
    yaml: `
workload: {api: "${api}"}
workflow:
- step: start
  tool:
  - {name: a, kind: http, spec: {url: "{{ api }}/?status=201", method: POST}, payload: {x: 1}}
  - {name: b, kind: python, spec: {code: "result = args['x'] + 1"}, args: {x: 1}}
  - {name: c, kind: duckdb, commands: ["SELECT 1 AS one", "SELECT 2 AS two"]}
  - {name: d, kind: shell, command: "printf %s {{ b }}"}
  - {name: e, kind: noop}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: ["{{ start.a.status_code }}", "{{ start.b }}", "{{ start.c.command_0.rows[0].one }}", "{{ start.c.rows[0].two }}", "{{ start.d.stdout }}", "{{ start.e.status }}"]}}
`,
    result: [201, 2, 1, 2, '2', 'ok'],
  },
  {
    name: 'cursor: frames in parallel work on each row once',
    yaml: `
workflow:
- step: start
  tool: {kind: postgres, auth: pg_k8s, command: "CREATE TABLE journey_todo (id int PRIMARY KEY, done boolean DEFAULT false); INSERT INTO journey_todo (id) SELECT g FROM generate_series(1, 25) g"}
  next: {arcs: [{step: work}]}
- step: work
  loop:
    iterator: row
    cursor:
      kind: postgres
      auth: pg_k8s
      claim: |
        UPDATE journey_todo SET done = true WHERE id IN (SELECT id FROM journey_todo WHERE NOT done ORDER BY id LIMIT {{ __frame_max_rows }} FOR UPDATE SKIP LOCKED) RETURNING id
    spec: {mode: cursor, max_in_flight: 2, frame: {max_rows: 10, process: row}}
  tool: {kind: python, input: {id: "{{ iter.row.id }}"}, code: "result = {'id': id}"}
  next: {arcs: [{step: end, when: "{{ event.name == 'loop.done' }}"}]}
- step: end
  tool: {kind: postgres, auth: pg_k8s, query: "SELECT count(*) FILTER (WHERE done)::int AS done, {{ work.stats.total }} AS total FROM journey_todo"}
`,
    result: { rows: [{ done: 25, total: 25 }] },
  },
  {
    name: 'store: a kind that is not set up here is kept all the same',
    yaml: `
workflow:
- step: start
  output: {store: {kind: s3}}
  tool: {kind: python, code: "result = {'rows': ['x' * 100] * 1000}"}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: ["{{ start.rows | length }}", "{{ start._store is defined }}"]}}
`,
    result: [1000, true],
  },
  {
    name: 'http: forms, and parameters that are empty, null or true',
    yaml: `
workload: {api: "${api}"}
workflow:
- step: start
  tool:
  - {name: a, kind: http, method: POST, url: "{{ api }}/", form: {x: "1 2", y: null}}
  - {name: b, kind: http, url: "{{ api }}/", params: {status: 202, t: true, e: "", n: null}}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop, result: ["{{ start.a.status_code }}", "{{ start.b.status_code }}", "{{ start.b.url }}", "{{ start.b.headers['content-type'] }}"]}}
`,
    result: [200, 202, `${api}/?status=202&t=true&e=`, 'application/json'],
  },
  {
    name: 'seed: cases of the end and of an error, set, result, a list of steps',
    yaml: `
workload: {api: "${api}", bad: 500}
workflow:
- step: start
  tool: {kind: python, code: "def main(input_data):\\n    return {'v': 1}"}
  case:
  - when: "{{ event.name == 'step.exit' }}"
    then: {set: {from_case: "{{ result.v + 1 }}"}}
  next: [a, b]
- step: a
  tool: {kind: http, method: GET, endpoint: "{{ workload.api }}/?status={{ workload.bad }}"}
  case:
  - when: "{{ error is defined and event.name == 'call.error' }}"
    then: [{set: {err: "{{ error.status }}"}}, {next: {step: fixed, args: {status: "{{ error.status }}"}}}]
- step: b
  tool: {kind: python, code: "def main(input_data):\\n    return {'full': 1, 'extra': 2}"}
  case:
  - when: "{{ event.name == 'call.done' }}"
    then: [{result: {from: "{{ result.extra }}"}}]
  next: end
- step: fixed
  tool: {kind: python, code: "def main(input_data):\\n    return input_data"}
  next: end
- step: end
  tool: {kind: python, code: "def main(input_data):\\n    return input_data"}
  args: {s: "{{ vars.from_case }}", e: "{{ vars.err }}", b: "{{ b }}", f: "{{ fixed.status }}"}
`,
    result: { s: 2, e: 500, b: 2, f: 500 },
  },
  {
    name: 'seed: an async loop whose parts are collected',
    yaml: `
workload: {list: [1, 2, 3]}
workflow:
- step: start
  tool: {kind: python, code: "def main(input_data):\\n    return {'i': input_data['n'], 'sq': input_data['n'] ** 2}"}
  args: {n: "{{ n }}"}
  loop: {in: "{{ workload.list }}", iterator: n, mode: async}
  case:
  - when: "{{ event.name == 'call.done' }}"
    then: [{collect: {from: "{{ [result.sq] }}", into: squares, mode: extend}}]
  next: end
- step: end
  tool: {kind: python, code: "def main(input_data):\\n    return sorted(input_data['s'])"}
  args: {s: "{{ vars.squares }}"}
`,
    result: [1, 4, 9],
  },
  {
    name: 'names: natives stay what they are, keys come before methods, the input of a step counts',
    yaml: `
workload: {items: {items: [1]}, num: "007", z: 0, nul: null, id: "9007199254740993", t: "{{ 'a' if true else 'b' }}", obj: {x: "<&'>"}}
workflow:
- step: start
  tool: {kind: python, code: "result = {'items': [1, 2], 'data': {'items': 'inner'}, 'none': None}"}
  set: {ctx.a: "{{ start.items | length }}", ctx.b: "{{ output.data.items }}"}
  next: {arcs: [{step: end, cond: "{{ ctx.a == 2 and start.none is none }}"}]}
- step: end
  input: {from_step: "{{ result['items'] }}"}
  tool:
    kind: python
    input: {num: "{{ num }}", z: "{{ z }}", nul: "{{ nul }}", id: "{{ id }}", text: "{{ [z, id] | tojson }}-{{ z }}-{{ nul }}-{{ missing }}", job: "{{ job.uuid == execution_id }}", und: "{{ a.b.c }}", d: "{{ missing | default('d') }}", t: "{{ t }}", own: "{{ items['items'] }}", b: "{{ ctx.b }}"}
    code: "result = [from_step, num, z, nul, id, text, job, und, d, t, own, b]"
`,
    result: [
      [1, 2],
      '007',
      0,
      null,
      '9007199254740993',
      '[0,"9007199254740993"]-0--',
      true,
      null,
      'd',
      'a',
      [1],
      'inner',
    ],
  },
]

for (const [n, { name, yaml, result }] of journeys.entries()) {
  t.test(`journey: ${name}`, async (t) => {
    const run = await gateway.run(`metadata: {path: journeys/language-${n}}${yaml}`)
    t.equal(run.status, 'COMPLETED', run.error ?? '')
    if (Array.isArray(result) || typeof result !== 'object') t.strictSame(run.result, result)
    else t.has(run.result, result)
  })
}

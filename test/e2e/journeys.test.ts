import { writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect } from 'nats'
import t from 'tap'
import { bucketServer } from '../core/tools/bucket-server.ts'
import { testFolder } from '../support/folder.ts'
import { type Execution, testGateway } from '../support/gateway.ts'
import { credentialOf } from '../support/postgres.ts'

// Playbooks as someone writes them who has read the description of the language and nothing else.
const folder = await testFolder(t, 'journeys')
const gateway = await testGateway(t, {
  plugins: ['python', 'http', 'postgres', 'duckdb', 'transfer', 'nats', 'shell'].map(
    (kind) => `@noetl/tool-${kind}`,
  ),
  env: { NOETL_DATA_DIR: join(import.meta.dirname, '../../.noetl') },
})
const { client } = gateway

/** Requests that wait for another one, or for the word of a test. */
const waiting: ServerResponse[] = []
const asked: { path: string; cursor: string | null; authorization: string | undefined; key: unknown }[] = []
const BOOKS = Array.from({ length: 7 }, (_, i) => ({
  id: i + 1,
  title: `Book "${i + 1}"`,
  price: 1.5 * (i + 1),
}))
const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
  const { authorization } = request.headers
  const cursor = searchParams.get('cursor')
  asked.push({ path: pathname, cursor, authorization, key: request.headers['x-key'] })
  const answer = (body: unknown, status = 200) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  if (pathname === '/books') {
    const from = Number(Buffer.from(cursor ?? '', 'base64url').toString() || 0)
    const more = from + 3 < BOOKS.length
    const next = more ? Buffer.from(String(from + 3)).toString('base64url') : null
    return answer({ items: BOOKS.slice(from, from + 3), next_cursor: next })
  }
  if (pathname === '/meet') {
    waiting.push(response)
    if (waiting.length === 2) for (const one of waiting.splice(0)) one.end('{"met": true}')
    return
  }
  if (pathname === '/script.py') {
    return authorization === 'Bearer scr1pt' ? response.end('result = [w, "http"]') : answer({}, 401)
  }
  if (pathname === '/oauth') return answer({ access_token: 't0k', expires_in: 60 })
  if (pathname === '/who')
    return answer({ authorization: authorization ?? null, key: request.headers['x-key'] ?? null })
  return answer({ error: 'nothing here' }, 404)
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const store = (name: string, type: string, data: object) =>
  client.request('POST', '/api/credentials', { name, type, data })
await store('pg_k8s', 'postgres', credentialOf(gateway.databaseUrl))

async function completes(
  t: { equal(a: unknown, b: unknown, m: string): unknown },
  content: string,
  payload?: object,
) {
  const run = await gateway.run(content, payload)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  return run
}
const resultOf = (run: Execution, step: string) =>
  run.events.findLast(
    ({ event_type, node_name }) => /^(call|loop)\.done$/.test(event_type) && node_name === step,
  )?.result

t.test('journey: pages by cursor until there is none, with jump and break, kept in a table', async (t) => {
  const run = await completes(
    t,
    `
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: books, path: journeys/books}
workload: {api: "${api}", pg_auth: pg_k8s}
workflow:
- step: start
  tool:
    kind: postgres
    auth: "{{ pg_auth }}"
    command: |
      DROP TABLE IF EXISTS journey_books;
      CREATE TABLE journey_books (id int PRIMARY KEY, doc jsonb NOT NULL);
  set: {ctx.cursor: "", ctx.pages: 0}
  next: {spec: {mode: exclusive}, arcs: [{step: fetch}]}
- step: fetch
  tool:
  - name: page
    kind: http
    method: GET
    url: "{{ api }}/books"
    params: {cursor: "{{ ctx.cursor }}", limit: null}
    spec:
      policy:
        rules:
        - when: "{{ output.status == 'error' }}"
          then: {do: fail}
        - else:
            then: {do: continue, set: {ctx.cursor: "{{ output.data.next_cursor }}", ctx.pages: "{{ ctx.pages + 1 }}"}}
  - name: save
    kind: postgres
    auth: "{{ pg_auth }}"
    command: |
      INSERT INTO journey_books (id, doc)
      SELECT (b->>'id')::int, b FROM jsonb_array_elements($b$\{{ page.data['items'] | tojson }}$b$::jsonb) b
      ON CONFLICT (id) DO UPDATE SET doc = excluded.doc;
      SELECT count(*) AS stored FROM journey_books;
    spec:
      policy:
        rules:
        - when: "{{ ctx.cursor is none }}"
          then: {do: break}
        - else: {then: {do: jump, to: page}}
  - {name: never, kind: python, code: "raise Exception('behind a break')"}
  next:
    spec: {mode: exclusive}
    arcs:
    - {step: total, when: "{{ fetch.save.rows[0].stored == 7 }}"}
- step: total
  tool:
    kind: postgres
    auth: "{{ pg_auth }}"
    query: SELECT sum((doc->>'price')::numeric) AS price, max(doc->>'title') AS title, {{ ctx.pages }} AS pages FROM journey_books`.replaceAll(
      '\\{',
      '{',
    ),
  )
  t.match(run.result, { rows: [{ price: 42, title: 'Book "7"', pages: 3 }], row_count: 1 })
  const cursors = asked.filter(({ path }) => path === '/books').map(({ cursor }) => cursor)
  t.same(cursors, ['', 'Mw', 'Ng'], 'an empty parameter is sent')
})

t.test('journey: six probes, two at a time: more than one overlaps, and never more than two', async (t) => {
  const run = await completes(
    t,
    `
metadata: {path: journeys/probes}
workload: {api: "${api}"}
workflow:
- step: start
  loop:
    in: [1, 2, 3, 4, 5, 6]
    iterator: probe
    spec: {mode: parallel, max_in_flight: 2, policy: {exec: distributed}}
  tool:
    kind: python
    input: {n: "{{ iter.probe }}", url: "{{ api }}/meet"}
    code: |
      import time, urllib.request
      began = time.time()
      with urllib.request.urlopen(url, timeout=60) as answer:  # comes when two are there
          met = answer.status
      result = {"n": n, "began": began, "ended": time.time(), "met": met}
  next: {arcs: [{step: measure, when: "{{ event.name == 'loop.done' }}"}]}
- step: measure
  tool:
    kind: python
    input: {probes: "{{ start.results }}", stats: "{{ start.stats }}"}
    code: |
      points = sorted([(p["began"], 1) for p in probes] + [(p["ended"], -1) for p in probes])
      now = peak = 0
      for _, step in points:
          now += step
          peak = max(peak, now)
      result = {"peak": peak, "order": [p["n"] for p in probes], "stats": stats}`,
  )
  t.same(run.result, { peak: 2, order: [1, 2, 3, 4, 5, 6], stats: { total: 6, success: 6, failed: 0 } })
})

t.test('journey: playbooks within playbooks give the step that was asked for, three levels up', async (t) => {
  await gateway.register(`
metadata: {path: journeys/score}
workload: {user: {}, weights: {a: 1, b: 1}}
workflow:
- step: start
  tool: {kind: python, input: {u: "{{ user }}", w: "{{ weights }}"}, code: "result = {'score': u['a'] * w['a'] + u['b'] * w['b'], 'parent': '{{ parent_execution_id }}'}"}
  next: {arcs: [{step: end}]}
- {step: end, tool: {kind: noop}}`)
  await gateway.register(`
metadata: {path: journeys/team}
workload: {users: [], weights: {a: 2, b: 1}}
workflow:
- step: start
  loop: {in: "{{ users }}", iterator: user, spec: {mode: parallel, max_in_flight: 3}}
  tool:
  - {name: scored, kind: playbook, path: journeys/score, return_step: start, input: {user: "{{ iter.user }}", weights: "{{ weights }}"}}
  - {name: named, kind: python, input: {s: "{{ scored.score }}", u: "{{ iter.user }}"}, code: "result = {'name': u['name'], 'points': s}"}
  next: {arcs: [{step: sum}]}
- step: sum
  tool: {kind: python, input: {all: "{{ start.data }}"}, code: "result = {'total': sum(x['points'] for x in all), 'names': [x['name'] for x in all], 'scores': [x['score'] for x in all]}"}`)
  const run = await completes(
    t,
    `
metadata: {path: journeys/league}
workload:
  which: team
  teams:
  - [{name: al, a: 1, b: 2}, {name: bo, a: 3, b: 4}]
  - [{name: cy, a: 5, b: 6}]
workflow:
- step: start
  loop: {in: "{{ teams }}", iterator: team, spec: {mode: sequential}}
  tool: {kind: playbook, path: "journeys/{{ which }}", return_step: sum, payload: {users: "{{ iter.team }}", weights: {a: 10, b: 1}}}
  next: {arcs: [{step: plain}]}
- step: plain
  tool: {kind: playbook, path: journeys/score, input: {user: {a: 1, b: 1}}}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: {teams: "{{ start.data }}", plain: "{{ plain.status }}"}}`,
  )
  t.same(run.result, {
    teams: [
      { total: 46, names: ['al', 'bo'], scores: [12, 34] },
      { total: 56, names: ['cy'], scores: [56] },
    ],
    plain: 'COMPLETED',
  })
  const children = await client.request<{ execution_id: string; status: string }[]>(
    'GET',
    `/api/executions?parent_execution_id=${run.execution_id}`,
  )
  t.equal(children.length, 3)
})

t.test('journey: stores by name keep small and large results, and artifact reads each of them', async (t) => {
  for (const kind of ['auto', 'kv', 'disk', 'db']) {
    const run = await completes(
      t,
      `
metadata: {path: journeys/store-${kind}}
workflow:
- step: start
  output: {store: {kind: ${kind}}, output_select: [meta]}
  tool: {kind: python, code: "result = {'count': 2000, 'meta': {'a': 1}, 'rows': [{'id': i, 'pad': 'ü' * 30} for i in range(2000)]}"}
  next: {arcs: [{step: load, when: "{{ start.count == 2000 and start._ref is defined and start._preview is defined }}"}]}
- step: load
  tool: {kind: artifact, action: get, input: {result_ref: "{{ start._ref }}"}}
  next: {arcs: [{step: check}]}
- step: check
  tool:
    kind: python
    input: {meta: "{{ start.meta }}", last: "{{ start.rows[1999].id }}", n: "{{ load.rows | length }}", c: "{{ load.count }}", d: "{{ load.data.count }}", store: "{{ start._store }}"}
    code: "result = {'meta': meta, 'last': last, 'n': n, 'c': c, 'd': d, 'store': store}"`,
    )
    t.same(
      run.result,
      { meta: { a: 1 }, last: 1999, n: 2000, c: 2000, d: 2000, store: kind === 'auto' ? 'kv' : kind },
      kind,
    )
  }
})

t.test('journey: rows from a web server to Postgres to DuckDB, counted at each place', async (t) => {
  const run = await completes(
    t,
    `
metadata: {path: journeys/transfer}
workload: {api: "${api}", pg_auth: pg_k8s, file: "${join(folder, 'books.duckdb')}"}
workflow:
- step: start
  tool: {kind: postgres, auth: "{{ pg_auth }}", command: "DROP TABLE IF EXISTS journey_moved; CREATE TABLE journey_moved (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC(8,2))"}
  next: {arcs: [{step: fetch}]}
- step: fetch
  tool:
    kind: transfer
    source: {type: http, url: "{{ api }}/books", method: GET, data_path: items}
    target: {type: postgres, auth: "{{ pg_auth }}", table: journey_moved, mode: upsert, key: id, mapping: {id: id, name: title, price: price}}
  next: {arcs: [{step: copy}]}
- step: copy
  tool:
    kind: transfer
    source: {type: postgres, auth: "{{ pg_auth }}", query: "SELECT id, name, price FROM journey_moved ORDER BY id"}
    target: {type: duckdb, database: "{{ file }}", table: books, mode: replace, create: true}
  next: {arcs: [{step: read}]}
- step: read
  tool:
    kind: duckdb
    database: "{{ file }}"
    command: |
      CREATE OR REPLACE VIEW dear AS SELECT * FROM books WHERE price > 2;
      SELECT count(*) AS n, max(name) AS name, sum(price)::DOUBLE AS price FROM dear;
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: {fetched: "{{ fetch.rows_transferred }}", copied: "{{ copy.rows_transferred }}", row: "{{ read.rows[0] }}"}}`,
  )
  t.same(run.result, { fetched: 3, copied: 3, row: { n: 2, name: 'Book "3"', price: 7.5 } })
})

t.test('journey: code from a file, a web server and a bucket', async (t) => {
  await writeFile(join(folder, 'code.py'), 'def main(w):\n    return [w, "file"]\n')
  const bucket = await bucketServer(t, {
    keys: { AKID: 's3cret' },
    region: 'eu-north-1',
    objects: { '/scripts/a%20b.py': 'import json\nresult = json.loads(\'["s3"]\') + [w]\n' },
  })
  await store('bucket', 's3', { access_key_id: 'AKID', secret_access_key: 's3cret', endpoint: bucket.url })
  await store('scripts', 'bearer', { token: 'scr1pt' })
  const run = await completes(
    t,
    `
metadata: {path: journeys/scripts}
workload: {word: "{{ execution_id }}"}
workflow:
- step: start
  tool: {kind: python, input: {w: 1}, script: {uri: "${join(folder, 'code.py')}", source: {type: file}}}
  next: {arcs: [{step: web}]}
- step: web
  tool: {kind: python, input: {w: 2}, script: {uri: "${api}/script.py", source: {type: http, auth: scripts}}}
  next: {arcs: [{step: bucket}]}
- step: bucket
  tool: {kind: python, input: {w: "{{ word }}"}, script: {uri: "s3://scripts/a b.py", source: {type: s3, region: eu-north-1, auth: bucket}}}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: ["{{ start }}", "{{ web }}", "{{ bucket }}"]}`,
  )
  t.same(run.result, [
    [1, 'file'],
    [2, 'http'],
    ['s3', run.execution_id],
  ])
  t.equal(bucket.requests.length, 1)
  t.notMatch(JSON.stringify(run.events), /s3cret|scr1pt/)
})

t.test(
  'journey: credentials by alias, by template and as a mapping, in each tool that takes them',
  async (t) => {
    await store('bear', 'bearer', { token: 'b3ar' })
    await store('key', 'api_key', { header: 'x-key', value: 'k3y' })
    await store('plain', 'basic', { username: 'u', password: 'p4ss' })
    await store('nats_credential', 'nats', { nats_url: gateway.nats.url })
    const connection = await connect({ servers: gateway.nats.url })
    t.teardown(() => connection.close())
    await connection.jetstream().views.kv('journeys')
    const run = await completes(
      t,
      `
metadata: {path: journeys/credentials}
workload: {api: "${api}", http_auth: bear, nats_auth: nats_credential, pg_auth: pg_k8s}
keychain:
- {name: oauth, kind: oauth2, endpoint: "{{ api }}/oauth", method: POST, data: {grant_type: client_credentials}}
workflow:
- step: start
  tool:
  - {name: a, kind: http, url: "{{ api }}/who", auth: "{{ http_auth }}"}
  - {name: b, kind: http, url: "{{ api }}/who", auth: key}
  - {name: c, kind: http, url: "{{ api }}/who", auth: {type: basic, credential: plain}}
  - {name: d, kind: http, url: "{{ api }}/who", headers: {Authorization: "Bearer {{ keychain.oauth.access_token }}"}}
  - {name: e, kind: postgres, credential: pg_k8s, query: "SELECT current_database() = '{{ workload.db }}' AS same"}
  - {name: f, kind: nats, auth: "{{ nats_auth }}", operation: kv_put, bucket: journeys, key: k, value: {n: "{{ e.rows[0].same }}"}}
  - {name: g, kind: nats, auth: nats_credential, operation: kv_get, bucket: journeys, key: k}
  - {name: h, kind: duckdb, command: "SELECT 1 + 1 AS two"}
  - {name: i, kind: shell, cmds: ["printf '%s' \\"$WORD\\""], env: {WORD: "{{ g.value.n }}"}}
  next: {arcs: [{step: end}]}
- step: end
  tool: {kind: noop, result: {seen: ["{{ start.a.data }}", "{{ start.b.data }}", "{{ start.c.data }}", "{{ start.d.data }}"], same: "{{ start.e.rows[0].same }}", value: "{{ start.g.value }}", two: "{{ start.h.rows[0].two }}", out: "{{ start.i.stdout }}"}}`,
      { db: new URL(gateway.databaseUrl).pathname.slice(1) },
    )
    t.same(run.result, {
      seen: [
        { authorization: 'Bearer b3ar', key: null },
        { authorization: null, key: 'k3y' },
        { authorization: `Basic ${Buffer.from('u:p4ss').toString('base64')}`, key: null },
        { authorization: 'Bearer t0k', key: null },
      ],
      same: true,
      value: { n: true },
      two: 2,
      out: 'true',
    })
  },
)

t.test(
  'journey: a file of the first generation: string next, case, vars, sink, collect and call',
  async (t) => {
    const run = await completes(
      t,
      `
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: old, path: journeys/old}
workload: {limit: 2, pg_auth: pg_k8s}
workflow:
- step: start
  tool: {kind: postgres, auth: "{{ workload.pg_auth }}", command: "DROP TABLE IF EXISTS journey_old; CREATE TABLE journey_old (id int, label text)"}
  next: make
- step: make
  tool:
    kind: python
    code: |
      def main(input_data):
          return {"rows": [{"id": i, "label": "n" * i} for i in range(input_data["upto"])]}
  args: {upto: 4}
  vars: {made: "{{ result.rows | length }}"}
  next: [{step: each}]
- step: each
  tool:
    kind: python
    code: |
      def main(input_data):
          return {"id": input_data["row"]["id"], "label": input_data["row"]["label"]}
  args: {row: "{{ row }}"}
  loop: {in: "{{ make.rows }}", iterator: row, mode: sequential}
  case:
  - when: "{{ event.name == 'call.done' }}"
    then:
    - collect: {from: "{{ result.label | length }}", into: lengths, mode: append}
    - sink: {tool: {kind: postgres, auth: "{{ workload.pg_auth }}", table: journey_old}}
  next: count
- step: count
  tool: {kind: postgres, auth: "{{ workload.pg_auth }}", query: "SELECT count(*)::int AS n, max(label) AS label FROM journey_old"}
  case:
  - when: "{{ event.name == 'call.done' and result[0].n > workload.limit }}"
    then:
    - call: {step: audit, args: {n: "{{ result[0].n }}"}}
    - next: {step: report}
  - when: "{{ event.name == 'call.done' }}"
    then: [{fail: {message: too few}}]
- step: audit
  tool: {kind: python, code: "def main(input_data):\\n    return {'audited': input_data['n']}"}
- step: report
  tool:
    kind: python
    code: |
      def main(input_data):
          return input_data
  args: {made: "{{ vars.made }}", lengths: "{{ vars.lengths }}", rows: "{{ count }}"}`,
    )
    t.same(resultOf(run, 'report'), { made: 4, lengths: [0, 1, 2, 3], rows: [{ n: 4, label: 'nnn' }] })
    t.same(resultOf(run, 'audit'), { audited: 4 })
  },
)

t.test(
  'journey: a workbook, an admit rule, an inclusive router and a join, with values at the end',
  async (t) => {
    const run = await completes(
      t,
      `
metadata: {path: journeys/join}
workload: {a: 2, b: 3, skip: true}
workbook:
- name: multiply
  tool: {kind: python, input: {x: null, y: 10}, code: "result = {'product': x * y}"}
workflow:
- step: start
  tool: {kind: noop, result: {go: true}}
  next:
    spec: {mode: inclusive}
    arcs:
    - {step: left, when: "{{ start.go }}", set: {ctx.from_arc: "{{ a }}"}}
    - {step: right, when: "{{ start.go }}"}
    - {step: off, when: "{{ start.go }}"}
    - {step: never, when: "{{ not start.go }}"}
- step: left
  tool: {kind: workbook, name: multiply, input: {x: "{{ a }}", y: "{{ b }}"}}
  set: {ctx.left: "{{ left.product }}"}
  next: {arcs: [{step: end}]}
- step: right
  tool: {kind: workbook, name: multiply, input: {x: "{{ b }}"}}
  set: {ctx.right: "{{ output.data.product }}"}
  next: {arcs: [{step: end}]}
- step: off
  spec: {policy: {admit: {rules: [{when: "{{ skip }}", then: {allow: false}}, {else: {then: {allow: true}}}]}}}
  tool: {kind: python, code: "raise Exception('it was not admitted')"}
  next: {arcs: [{step: end}]}
- {step: never, tool: {kind: python, code: "raise Exception('no arc leads here')"}}
- step: end
  tool: {kind: noop, result: {left: "{{ ctx.left }}", right: "{{ ctx.right }}", arc: "{{ ctx.from_arc }}"}}`,
    )
    t.same(run.result, { left: 6, right: 30, arc: 2 })
    const ends = run.events.filter(
      ({ event_type, node_name }) => event_type === 'step.enter' && node_name === 'end',
    )
    t.equal(ends.length, 1, 'the join runs once')
    const variables = await client.request<{ variables: Record<string, { value: unknown }> }>(
      'GET',
      `/api/vars/${run.execution_id}`,
    )
    t.match(variables.variables, { left: { value: 6 }, right: { value: 30 }, from_arc: { value: 2 } })
  },
)

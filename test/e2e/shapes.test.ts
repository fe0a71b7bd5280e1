import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { type Execution, testGateway } from '../support/gateway.ts'

// Playbooks of the shapes that people bring, each of which checks its own results.
const gateway = await testGateway(t, {
  plugins: ['@noetl/tool-python', '@noetl/tool-http', '@noetl/tool-postgres', '@noetl/tool-duckdb'],
  env: { NOETL_DATA_DIR: join(import.meta.dirname, '../../.noetl') },
})
const PAGES = 4
const seen = new Map<string, number>()
const server = createServer((request, response) => {
  const url = new URL(request.url ?? '', 'http://x')
  const key = `${url.pathname}?${url.searchParams.get('run')}-${url.searchParams.get('page') ?? ''}`
  const times = (seen.get(key) ?? 0) + 1
  seen.set(key, times)
  const send = (status: number, body: object, headers: Record<string, string> = {}) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  if (url.pathname === '/limited') {
    if (times === 1) return send(429, { error: 'slow down' }, { 'retry-after': '1' })
    if (times === 2) return send(500, { error: 'oops' })
    return send(200, { ok: true, times })
  }
  if (url.pathname === '/items') {
    const page = Number(url.searchParams.get('page') ?? 1)
    if (page === 3 && times === 1) return send(500, { error: 'flaky' })
    const data = Array.from({ length: 10 }, (_, i) => ({
      id: (page - 1) * 10 + i,
      cursor: url.searchParams.get('cursor'),
    }))
    return send(200, { data, paging: { page, hasMore: page < PAGES } })
  }
  return send(404, { error: 'nothing here' })
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const { hostname, port, username, password, pathname } = new URL(gateway.databaseUrl)
await gateway.client.request('POST', '/api/credentials', {
  name: 'pg_local',
  type: 'postgres',
  data: {
    db_host: hostname,
    db_port: port,
    db_user: username,
    db_password: decodeURIComponent(password),
    db_name: pathname.slice(1),
  },
})

async function passes(
  t: { equal(found: string, wanted: string, message: string): unknown },
  content: string,
  payload?: object,
): Promise<Execution> {
  const run = await gateway.run(content, payload)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  return run
}

t.test('shape: a pagination state machine in a pipeline, with jumps and retries', async (t) => {
  const run = await passes(
    t,
    `
metadata: {path: shapes/pages}
workload: {api_url: "${api}", pg_auth: pg_local}
workflow:
- step: start
  set: {ctx.page: 1, ctx.total: 0, ctx.pages: []}
  next: {spec: {mode: exclusive}, arcs: [{step: fetch_all}]}
- step: fetch_all
  tool:
  - name: fetch_page
    kind: http
    method: GET
    url: "{{ api_url }}/items"
    params: {page: "{{ ctx.page }}", run: "{{ execution_id }}", cursor: "", nothing: null}
    spec:
      policy:
        rules:
        - when: "{{ output.status == 'error' and output.error.retryable }}"
          then: {do: retry, attempts: 3, backoff: exponential, delay: 0.05}
        - when: "{{ output.status == 'error' }}"
          then: {do: fail}
        - else: {then: {do: continue, set: {ctx.has_more: "{{ output.data.paging.hasMore }}", iter.count: "{{ output.data.data | length }}"}}}
  - name: keep
    kind: python
    # the page is in {{ fetch_page }} here
    input: {items: "{{ fetch_page.data.data }}", total: "{{ ctx.total }}", pages: "{{ ctx.pages }}", page: "{{ ctx.page }}"}
    code: |
      result = {"total": total + len(items), "pages": pages + [page], "empty": items[0]["cursor"] == ""}
    set: {ctx.total: "{{ output.total }}", ctx.pages: "{{ output.pages }}"}
  - name: more
    kind: noop
    spec:
      policy:
        rules:
        - when: "{{ ctx.has_more }}"
          then: {do: jump, to: fetch_page, set: {ctx.page: "{{ ctx.page + 1 }}"}}
        - else: {do: break}
  next: {arcs: [{step: check}]}
- step: check
  tool:
    kind: python
    input: {total: "{{ ctx.total }}", pages: "{{ ctx.pages }}", empty: "{{ fetch_all.keep.empty }}"}
    code: |
      assert total == ${PAGES * 10}, total
      assert pages == [1, 2, 3, 4], pages
      assert empty
      result = {"ok": True}`,
  )
  t.same(run.result, { ok: true })
})

t.test('shape: parallel probes measure that they overlap', async (t) => {
  await passes(
    t,
    `
metadata: {path: shapes/overlap}
workflow:
- step: start
  loop: {in: [1, 2, 3, 4], iterator: probe, spec: {mode: parallel, max_in_flight: 4, policy: {exec: distributed}}}
  tool:
    kind: python
    input: {n: "{{ iter.probe }}", eid: "{{ execution_id }}"}
    code: |
      import os, tempfile, time
      place = os.path.join(tempfile.gettempdir(), f"noetl-overlap-{eid}")
      os.makedirs(place, exist_ok=True)
      began = time.time()
      open(os.path.join(place, str(n)), "w").close()
      # Each goes on when all are there: they can only end if they run at once.
      while len(os.listdir(place)) < 4 and time.time() < began + 60:
          time.sleep(0.02)
      result = {"n": n, "began": began, "ended": time.time(), "met": len(os.listdir(place)), "place": place}
  next: {arcs: [{step: check, when: "{{ event.name == 'loop.done' }}"}]}
- step: check
  tool:
    kind: python
    input: {x: "{{ start }}"}
    code: |
      spans = x["data"]
      assert len(spans) == x["stats"]["total"] == 4
      assert [s["n"] for s in spans] == [1, 2, 3, 4]
      import shutil
      shutil.rmtree(spans[0]["place"])
      assert all(s["met"] == 4 for s in spans)
      assert max(s["began"] for s in spans) < min(s["ended"] for s in spans), "they did not overlap"`,
  )
})

t.test('shape: retries on 429 and 500, on a single tool, with Retry-After', async (t) => {
  await passes(
    t,
    `
metadata: {path: shapes/limited}
workflow:
- step: start
  tool:
    kind: http
    url: "${api}/limited"
    params: {run: "{{ execution_id }}"}
    spec:
      policy:
        rules:
        - when: "{{ output.http.status in [429, 500, 503] }}"
          then: {do: retry, attempts: 5, delay: 0.05, backoff: linear}
        - else: {then: {do: continue, set: {ctx.attempt: "{{ _attempt }}"}}}
  next: {arcs: [{step: check}]}
- step: check
  tool:
    kind: python
    input: {r: "{{ start.data }}", body: "{{ start.body }}", status: "{{ start.status_code }}", attempt: "{{ ctx.attempt }}"}
    code: |
      assert r == body == {"ok": True, "times": 3}, r
      assert status == 200 and attempt == 3, (status, attempt)`,
  )
})

t.test('shape: psycopg inside python, with a conninfo built from the workload', async (t) => {
  await passes(
    t,
    `
metadata: {path: shapes/psycopg}
workload: {host: "${hostname}", port: "${port}", user: "${username}", secret: "${decodeURIComponent(password)}", db: "${pathname.slice(1)}"}
workflow:
- step: start
  tool:
    kind: python
    input: {host: "{{ host }}", port: "{{ port }}", user: "{{ user }}", secret: "{{ secret }}", db: "{{ db }}"}
    libs: {psycopg: psycopg, json: json}
    code: |
      def main(host, port, user, secret, db):
          with psycopg.connect(host=host, port=port, user=user, password=secret, dbname=db) as connection:
              with connection.cursor() as cursor:
                  cursor.execute("SELECT count(*) FROM noetl.catalog WHERE kind = 'Playbook'")
                  (count,) = cursor.fetchone()
          return {"count": count}
  next: {arcs: [{step: end, when: "{{ start.count > 0 }}"}]}
- step: end
  tool: {kind: noop, result: "{{ start.count > 0 }}"}`,
  ).then((run) => t.equal(run.result, true))
})

t.test('shape: jsonb there and back, dollar quotes, ids that must survive, numbers as numbers', async (t) => {
  await passes(
    t,
    `
metadata: {path: shapes/jsonb}
workload:
  pg_auth: pg_local
  doc: {name: "O'Brien", list: [1, 2.5, null, true], nested: {big: "9007199254740993123"}, html: "<a>&'</a>"}
workflow:
- step: start
  tool:
    kind: postgres
    auth: "{{ pg_auth }}"
    command: |
      -- a comment; with \`$n::text::<udt>\`
      DROP TABLE IF EXISTS shapes_docs;
      CREATE TABLE shapes_docs (id bigint PRIMARY KEY, doc jsonb, at timestamptz DEFAULT now());
      DO $do$ BEGIN INSERT INTO shapes_docs (id, doc) VALUES (1, $j\${{ doc | tojson }}$j$::jsonb); END $do$;
      INSERT INTO shapes_docs (id, doc) VALUES ({{ execution_id }}, '{{ doc | tojson | replace("'", "''") }}'::jsonb);
      SELECT id, doc, 3::bigint AS three, 2.50::numeric AS money, ARRAY[1,2] AS list FROM shapes_docs ORDER BY id;
      SELECT count(*) AS total_records FROM shapes_docs
  next: {arcs: [{step: check}]}
- step: check
  tool:
    kind: python
    input: {rows: "{{ start.command_4.rows }}", total: "{{ start.rows[0].total_records }}", doc: "{{ doc }}", eid: "{{ execution_id }}", count: "{{ start.command_4.row_count }}"}
    code: |
      assert total == 2 and count == 2, (total, count)
      for row in rows:
          assert row["doc"] == doc, row["doc"]
          assert row["three"] == 3 and row["money"] == 2.5 and row["list"] == [1, 2]
      assert str(rows[1]["id"]) == eid, (rows[1]["id"], eid)`,
  )
})

t.test('shape: results in tiers, loaded lazily in templates, loops, SQL and duckdb', async (t) => {
  await gateway.register(`
metadata: {path: shapes/tier}
workload: {kb: 1}
workflow:
- step: start
  tool: {kind: python, input: {kb: "{{ kb }}"}, code: "result = {'items': [{'i': i, 'pad': 'p' * 80} for i in range(kb * 10)], 'count': kb * 10}"}
  next: {arcs: [{step: sum}]}
- step: sum
  tool:
    kind: duckdb
    command: SELECT {{ start.items | length }}::INTEGER AS n, {{ start.count }}::INTEGER AS c
  next: {arcs: [{step: check}]}
- step: check
  tool:
    kind: python
    input: {store: "{{ start._store }}", n: "{{ start.count }}", items: "{{ start.items }}", row: "{{ sum.rows[0] }}"}
    code: "result = {'store': store, 'n': n, 'sum': len(items) if row['n'] == row['c'] else -1}"`)
  const run = await gateway.run(`
metadata: {path: shapes/tiers}
workload: {sizes: [7, 115, 1200]}
workflow:
- step: start
  loop: {in: "{{ sizes }}", iterator: kb, spec: {mode: sequential}}
  tool: {kind: playbook, path: shapes/tier, input: {kb: "{{ kb }}"}, return_step: check}`)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.match(run.result, {
    results: [
      { store: null, n: 70, sum: 70 },
      { store: 'kv', n: 1150, sum: 1150 },
      { store: 'disk', n: 12_000, sum: 12_000 },
    ],
  })
})

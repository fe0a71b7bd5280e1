import t from 'tap'
import { testGateway } from '../../support/gateway.ts'
import { credentialOf } from '../../support/postgres.ts'
import { json, webServer } from '../tool-http/web-server.ts'
import { openDatabase } from './support.ts'

t.test('playbook: a transfer is a step, with its fields rendered and its result at hand', async (t) => {
  const { client, url, rows } = await openDatabase(t)
  await client.query('CREATE TABLE users (id integer PRIMARY KEY, full_name text, doc jsonb)')
  const server = await webServer(t, (_received, response) =>
    json(response, {
      data: [
        { id: 1, name: 'Ann', extra: { a: 1 } },
        { id: 2, name: 'Bob' },
      ],
    }),
  )
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-transfer'] })
  const credential = { name: 'pg_local', type: 'postgres', data: credentialOf(url) }
  await gateway.client.request('POST', '/api/credentials', credential)
  const run = await gateway.run(
    `
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: load, path: tests/load}
workload: {api: "", pg_auth: pg_local, table: users}
workflow:
  - step: start
    tool:
      kind: transfer
      source: {type: http, url: "{{ api }}/users", method: GET}
      target: {type: postgres, auth: "{{ pg_auth }}", table: "{{ workload.table }}", mode: upsert, key: id}
      mapping: {id: id, full_name: name, doc: extra}
    next: {spec: {mode: exclusive}, arcs: [{step: end, when: "{{ start.rows_transferred == 2 }}"}]}
  - step: end
    tool: {kind: noop, result: "{{ start.status }} {{ start.columns | length }}"}
`,
    { api: server.url },
  )
  t.match(run, { status: 'COMPLETED', result: 'success 3' })
  t.same(await rows('SELECT * FROM users ORDER BY id'), [
    { id: 1, full_name: 'Ann', doc: { a: 1 } },
    { id: 2, full_name: 'Bob', doc: null },
  ])
})

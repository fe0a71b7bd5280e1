import pg from 'pg'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-postgres', '@noetl/tool-python'] })
const client = new pg.Client({ connectionString: gateway.databaseUrl })
await client.connect()
t.teardown(() => client.end())
await gateway.client.request('POST', '/api/credentials', {
  name: 'db',
  type: 'postgres',
  data: { dsn: gateway.databaseUrl },
})

const CLAIM = `
UPDATE work SET taken_by = '{{ execution_id }}'
WHERE id IN (SELECT id FROM work WHERE taken_by IS NULL ORDER BY id LIMIT __frame_max_rows FOR UPDATE SKIP LOCKED)
RETURNING id, amount`
  .replace(/\n/g, ' ')
  .trim()

async function table(rows: number): Promise<void> {
  await client.query('DROP TABLE IF EXISTS work')
  await client.query(
    'CREATE TABLE work AS SELECT i AS id, i * 10 AS amount, NULL::text AS taken_by FROM generate_series(1, $1::int) i',
    [rows],
  )
}

function playbook(
  path: string,
  code: string,
  spec = 'max_in_flight: 3, frame: {max_rows: 7, row_concurrency: 2}',
) {
  return `
metadata: {path: ${path}}
workflow:
- step: start
  loop:
    iterator: row
    cursor: {kind: postgres, auth: db, claim: "${CLAIM}"}
    spec: {mode: cursor, ${spec}}
  tool: {kind: python, input: {row: "{{ iter.row }}", n: "{{ iter.index }}"}, code: "${code}"}
  next: {arcs: [{step: end, when: "{{ event.name == 'loop.done' }}"}]}
- step: end
  tool:
    kind: python
    input: {r: "{{ start.results }}", s: "{{ start.stats }}"}
    code: "result = {'sum': sum(x or 0 for x in r), 'n': len(r), 'stats': s}"`
}

t.test('cursor: rows are claimed in frames until there are none, each is worked on once', async (t) => {
  await table(50)
  const run = await gateway.run(playbook('cursor/all', "result = row['amount']"))
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.same(run.result, { sum: 12_750, n: 50, stats: { total: 50, success: 50, failed: 0 } })
  const { rows } = await client.query('SELECT count(*)::int AS n FROM work WHERE taken_by = $1', [
    run.execution_id,
  ])
  t.equal(rows[0].n, 50)
  const frames = run.events.filter((event) => event.event_type === 'call.done' && event.node_name === 'start')
  t.ok(
    frames.length >= 9 && frames.length <= 12,
    `50 rows in frames of 7 and an empty one, not ${frames.length}`,
  )
})

t.test('cursor: no rows at all is a loop without iterations', async (t) => {
  await table(0)
  const run = await gateway.run(playbook('cursor/none', 'result = 1'))
  t.match(run, { status: 'COMPLETED', result: { n: 0, stats: { total: 0, success: 0, failed: 0 } } })
})

t.test(
  'cursor: a row that fails is counted and the others go on; nothing caught fails the run',
  async (t) => {
    await table(20)
    const run = await gateway.run(
      playbook(
        'cursor/some',
        "assert row['id'] % 5, 'five'; result = row['id']",
        'frame: {max_rows: 6}',
      ).replace('when: "{{ event.name == \'loop.done\' }}"', 'when: "{{ start.stats.failed == 4 }}"'),
    )
    t.equal(run.status, 'COMPLETED', run.error ?? '')
    t.match(run.result, { sum: 160, stats: { total: 20, success: 16, failed: 4 } })
    await table(5)
    const failed = await gateway.run(
      playbook('cursor/fail', "assert row['id'] != 3, 'three'").replace(/ {2}next:.*\n/, ''),
    )
    t.equal(failed.status, 'FAILED')
    t.match(failed.error, /three/)
  },
)

t.test('cursor: SQL that fails ends the loop with that error', async (t) => {
  await client.query('DROP TABLE work')
  const run = await gateway.run(playbook('cursor/broken', 'result = 1').replace(/ {2}next:.*\n/, ''))
  t.equal(run.status, 'FAILED')
  t.match(run.error, /work.*does not exist/)
})

t.test('cursor: each frame is a claim of its own that can be made exactly once', async (t) => {
  await table(20)
  const source = playbook('cursor/exactly', "result = row['amount']", 'frame: {max_rows: 7}')
  const path = await gateway.register(source.replace('auth: db,', 'auth: db, exactly_once: true,'))
  const run = await gateway.ended(await gateway.execute(path), 20_000)
  t.equal(run.status, 'COMPLETED', run.error ?? '')
  t.match(run.result, { sum: 2100, n: 20 })
  const { rows } = await client.query(
    'SELECT count(*)::int AS n, count(DISTINCT key)::int AS keys FROM noetl_completed',
  )
  t.same(rows, [{ n: 4, keys: 4 }], 'three frames of rows and one that found none')
})

import pg from 'pg'
import t from 'tap'
import { makeInstruments } from '../../../plugins/metrics/instruments.ts'
import { QUEUE, WORKERS } from '../../../plugins/metrics/queue.ts'
import { groupOf } from '../../../plugins/metrics/requests.ts'
import { sampled } from '../../../plugins/metrics/sampled.ts'
import { testDatabase } from '../../support/postgres.ts'

t.test('labels: unknown values are taken up to their bound, then they are others', async (t) => {
  const { count, registry } = makeInstruments('server', ['http'])
  for (let n = 0; n < 100; n++) {
    count('noetl_commands_enqueued_total', { lane: `lane-${n}`, tool_kind: `kind-${n % 3}` })
  }
  const { values } = await registry.getSingleMetric('noetl_commands_enqueued_total')!.get()
  const lanes = new Set(values.map(({ labels }) => labels.lane))
  t.equal(lanes.size, 17)
  t.ok(lanes.has('other') && lanes.has('normal') && lanes.has('lane-14') && !lanes.has('lane-15'))
  t.same(
    new Set(values.map(({ labels }) => labels.tool_kind)),
    new Set(['http', 'kind-0', 'kind-1', 'kind-2']),
  )
  t.equal(
    values.reduce((sum, { value }) => sum + value, 0),
    100,
    'none is lost',
  )
})

t.test('labels: what is not of a closed set is told as other', async (t) => {
  const { count, registry } = makeInstruments('worker', [])
  count('noetl_tool_errors_total', { kind: 'a text that someone made up' })
  const { values } = await registry.getSingleMetric('noetl_tool_errors_total')!.get()
  t.same(
    values.filter(({ value }) => value > 0).map(({ labels }) => labels),
    [{ kind: 'other' }],
  )
})

t.test('requests: routes are told by their group, under every prefix', async (t) => {
  t.same(
    [
      '/api/v2/execute',
      '/api/events',
      '/api/v2/events/batch',
      '/api/v2/commands/claim',
      '/api/v2/commands/renew',
      '/api/v2/executions/:id',
      '/api/catalog/register',
      '/healthz',
      '/openapi.json',
      undefined,
    ].map(groupOf),
    ['execute', 'events', 'events', 'claim', 'renew', 'executions', 'catalog', 'probes', 'other', 'other'],
  )
})

t.test('figures: they are asked for once in a while, however many scrape', async (t) => {
  let asked = 0
  let now = 0
  const figures = sampled(async () => ++asked, { youngMs: 3000, patienceMs: 1000, now: () => now })
  t.same(await Promise.all([figures(), figures(), figures()]), [1, 1, 1])
  now = 2999
  t.equal(await figures(), 1)
  now = 3000
  t.equal(await figures(), 2)
  let fail = true
  const failing = sampled(async () => (fail ? Promise.reject(new Error('away')) : 'back'), {
    youngMs: 3000,
    patienceMs: 1000,
  })
  await t.rejects(failing(), { message: 'away' })
  fail = false
  t.equal(await failing(), 'back', 'a failure is not kept')
  const hung = sampled(() => new Promise(() => undefined), { youngMs: 1, patienceMs: 20 })
  await t.rejects(hung(), { message: 'no figures within 20 ms' })
})

t.test('figures: what is read of Postgres never looks at events or executions', async (t) => {
  const { url } = await testDatabase(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  const read: string[] = []
  const walk = (node: { 'Relation Name'?: string; Plans?: (typeof node)[] }): void => {
    if (node['Relation Name'] !== undefined) read.push(node['Relation Name'])
    for (const inner of node.Plans ?? []) walk(inner)
  }
  for (const { text } of [QUEUE, WORKERS]) {
    const { rows } = await client.query(`EXPLAIN (FORMAT JSON) ${text}`)
    walk(rows[0]['QUERY PLAN'][0].Plan)
  }
  t.same(read, ['queue', 'worker'])
})

import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { request } from 'undici'
import { startServer } from '../../core/server.ts'
import { send as sendTo } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const gateway = await testGateway(t, { worker: false })
const { url } = gateway.server
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())
await gateway.register(`metadata: {path: events/two}
workflow:
- {step: start, tool: {kind: noop}, next: {arcs: [{step: end}]}}
- {step: end, tool: {kind: noop}}`)

const send = <T = Record<string, unknown>>(
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => sendTo<T>(url, method, path, body, headers)
interface Shown {
  event_id: string
  event_type: string
  result: unknown
  node_name: string
}
const eventsOf = async (id: string) =>
  (await send<{ events: Shown[] }>('GET', `/api/executions/${id}/events?page_size=1000`)).body.events
const commandOf = async (id: string) =>
  (await eventsOf(id)).findLast((event) => event.event_type === 'command.issued')!.event_id
/** A started execution and the batch that claims its command, notes something and reports it done. */
async function batchFor(result: unknown = 1) {
  const execution_id = await gateway.execute('events/two')
  const command_id = await commandOf(execution_id)
  const event = (name: string, more: object = {}) => ({
    step: 'start',
    name,
    payload: { command_id, ...more },
  })
  const events = [
    event('command.claimed'),
    event('worker.note', { text: 'hi' }),
    event('call.done', { result }),
  ]
  return { execution_id, command_id, body: { execution_id, worker_id: 'w', events } }
}
const post = (body: object, key?: string, base = url) =>
  sendTo(base, 'POST', '/api/events/batch', body, key === undefined ? {} : { 'idempotency-key': key })

t.test('batch: under a key it is taken once, and answered the same', async (t) => {
  const { execution_id, body } = await batchFor()
  const first = await post(body, 'key-1')
  t.match(first, {
    status: 200,
    body: {
      status: 'ok',
      commands_generated: 1,
      idempotency_key: 'key-1',
      duplicate: false,
      request_id: /^\d+$/,
      results: [{ outcome: 'noted' }, { outcome: 'noted' }, { outcome: 'recorded' }],
    },
  })
  const before = await eventsOf(execution_id)
  const again = await post(body, 'key-1')
  t.same(again.body, { ...first.body, duplicate: true })
  t.same(await eventsOf(execution_id), before)
  t.match(await post({ ...body, worker_id: 'other' }, 'key-1'), {
    status: 422,
    body: { code: 'NOETL_ERR_REQUEST_INVALID', error: /idempotency-key was used before/ },
  })
  t.same(await eventsOf(execution_id), before)
})

t.test('batch: twenty at once on two servers under one key change what one changes', async (t) => {
  const other = await startServer(gateway.config, { log: pino({ level: 'silent' }) })
  t.teardown(() => other.close())
  const { execution_id, body } = await batchFor()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => post(body, 'at once', n % 2 ? other.url : url)),
  )
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  t.equal(new Set(answers.map(({ body }) => body.request_id)).size, 1)
  t.equal(answers.filter(({ body }) => body.duplicate === false).length, 1)
  const types = (await eventsOf(execution_id)).map((event) => event.event_type)
  t.equal(types.filter((type) => type === 'worker.note').length, 1)
  t.equal(types.filter((type) => type === 'call.done').length, 1)
})

t.test('batch: what a dead server left half taken is taken over, each event once', async (t) => {
  const { execution_id, body } = await batchFor()
  const { body: first } = await post(body, 'half')
  await pool.query(
    `UPDATE noetl.event_batch SET answer = NULL, finished_at = NULL, begun_at = now() - interval '2 minutes'
     WHERE key = 'half'`,
  )
  const before = await eventsOf(execution_id)
  const second = await post(body, 'half')
  t.match(second.body, {
    request_id: first.request_id,
    duplicate: false,
    results: [{}, {}, { outcome: 'duplicate' }],
  })
  const ids = (answer: Record<string, unknown>) => (answer.event_ids as string[]).slice(1)
  t.same(ids(second.body), ids(first), 'the events of the first time')
  t.same(await eventsOf(execution_id), before)
})

t.test('batch: without a key as before; one wrong event is its own result alone', async (t) => {
  const { execution_id, body } = await batchFor()
  const wrong = { execution_id: '9999999999999999999', step: 'start', name: 'worker.note' }
  const { status, body: answer } = await post({ ...body, events: [wrong, ...body.events] })
  t.equal(status, 200)
  t.match(answer, {
    commands_generated: 1,
    results: [{ code: 'NOETL_ERR_REQUEST_INVALID', status: 422 }, {}, {}, { outcome: 'recorded' }],
  })
  t.notOk('request_id' in answer)
  t.ok((await eventsOf(execution_id)).some((event) => event.event_type === 'call.done'))
  t.equal((await post(body, 'k'.repeat(401))).status, 422)
  t.equal((await post({ ...body, events: 'x' }, 'bad')).status, 422)
})

t.test('batch status: what became of it, as JSON and as a stream', async (t) => {
  const { body } = await batchFor()
  const { body: taken } = await post(body, 'status')
  const path = `/api/events/batch/${taken.request_id}`
  t.match(await send('GET', `${path}/status`), {
    status: 200,
    body: {
      request_id: taken.request_id,
      status: 'completed',
      idempotency_key: 'status',
      events: 3,
      event_ids: taken.event_ids,
      commands_generated: 1,
      finished_at: /^\d{4}-/,
    },
  })
  const stream = await request(`${url}${path}/stream`)
  t.match(stream.headers['content-type'], /^text\/event-stream/)
  const text = await stream.body.text()
  t.match(text, /^event: status\ndata: \{"request_id":"\d+".*"status":"completed".*\}\n\nevent: end\ndata: /)
  for (const what of ['status', 'stream']) {
    t.match(await send('GET', `/api/events/batch/77/${what}`), {
      status: 404,
      body: { code: 'NOETL_ERR_BATCH_NOT_FOUND' },
    })
    t.equal((await send('GET', `/api/events/batch/x/${what}`)).status, 422)
  }
})

t.test('batch stream: tells of the end when it comes, and lets go of who leaves', async (t) => {
  const { body } = await batchFor()
  const { body: taken } = await post(body, 'watched')
  const answer = (await pool.query(`SELECT answer FROM noetl.event_batch WHERE key = 'watched'`)).rows[0]
    .answer
  await pool.query(`UPDATE noetl.event_batch SET answer = NULL WHERE key = 'watched'`)
  const stream = await request(`${url}/api/events/batch/${taken.request_id}/stream`)
  let text = ''
  for await (const chunk of stream.body) {
    text += chunk
    if (/processing/.test(text) && !/completed/.test(text)) {
      await pool.query(`UPDATE noetl.event_batch SET answer = $1 WHERE key = 'watched'`, [
        JSON.stringify(answer),
      ])
    }
  }
  t.match(text, /"processing"[\s\S]*"completed"[\s\S]*event: end/)
  await pool.query(`UPDATE noetl.event_batch SET answer = NULL WHERE key = 'watched'`)
  const left = new AbortController()
  const leaving = await request(`${url}/api/events/batch/${taken.request_id}/stream`, { signal: left.signal })
  leaving.body.on('error', () => {})
  left.abort()
  const open = await request(`${url}/api/events/batch/${taken.request_id}/stream`)
  const ended = open.body.text()
  const other = startServer(gateway.config, { log: pino({ level: 'silent' }) })
  const closing = await other
  const there = await request(`${closing.url}/api/events/batch/${taken.request_id}/stream`)
  const begun = Date.now()
  await Promise.all([closing.close(), there.body.text().catch(() => '')])
  t.ok(Date.now() - begun < 10_000, 'a server that closes ends its streams')
  await pool.query(`UPDATE noetl.event_batch SET answer = $1 WHERE key = 'watched'`, [JSON.stringify(answer)])
  t.match(await ended, /completed/)
})

t.test('batches of yesterday are forgotten', async (t) => {
  await pool.query(`UPDATE noetl.event_batch SET created_at = now() - interval '2 days'`)
  await post((await batchFor()).body, 'today')
  const { rows } = await pool.query('SELECT key FROM noetl.event_batch')
  t.same(rows, [{ key: 'today' }])
})

t.test('event: by its id alone, and those of an execution as the first clients asked', async (t) => {
  const { execution_id, body } = await batchFor()
  await post(body)
  const all = await eventsOf(execution_id)
  for (const path of ['/api/event/', '/api/event', '/api/v2/event']) {
    t.match(await send('GET', `${path}?execution_id=${execution_id}&page_size=2`), {
      status: 200,
      body: {
        execution_id,
        events: all.slice(0, 2).map(({ event_id }) => ({ event_id })),
        pagination: { total_events: all.length, page_size: 2, has_next: true },
      },
    })
  }
  t.same((await send('GET', `/api/event/${all[1]!.event_id}`)).body, all[1])
  t.match(await send('GET', '/api/event/77'), { status: 404, body: { code: 'NOETL_ERR_EVENT_NOT_FOUND' } })
  t.equal((await send('GET', '/api/event/x')).status, 422)
  t.equal((await send('GET', '/api/event/')).status, 422)
  t.equal((await send('GET', '/api/event/?execution_id=77')).status, 404)
  t.equal((await send('GET', `/api/event/?execution_id=${execution_id}&page_size=100000`)).status, 422)
})

t.test('event: found among many through the index of ids', async (t) => {
  const id = await gateway.execute('events/two')
  await pool.query(
    `INSERT INTO noetl.event (execution_id, event_id, event_type, context)
     SELECT $1, $1::bigint + 1000 + n, 'worker.note', jsonb_build_object('text', repeat('x', 200))
     FROM generate_series(1, 50000) n`,
    [id],
  )
  await pool.query('VACUUM ANALYZE noetl.event')
  const { rows } = await pool.query<{ 'QUERY PLAN': string }>(
    `EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM noetl.event WHERE event_id = ${BigInt(id) + 41_000n} LIMIT 1`,
  )
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
  t.match(plan, /Index/, 'no scan of the whole table')
  t.match(await send('GET', `/api/event/${BigInt(id) + 41_000n}`), {
    status: 200,
    body: { execution_id: id },
  })
})

t.test('reports: flags of later clients are taken, and a result stored before is fetched', async (t) => {
  const { execution_id, command_id } = await batchFor()
  const put = await send('PUT', `/api/result/${execution_id}`, { name: 'start', data: { rows: [1, 2] } })
  const report = (more: object) =>
    send('POST', '/api/events', {
      execution_id,
      step: 'start',
      name: 'call.done',
      worker_id: 'w',
      actionable: true,
      informative: false,
      event_ids: [],
      payload: { command_id },
      ...more,
    })
  await send('POST', `/api/commands/${command_id}/claim`, { worker_id: 'w' })
  const other = await gateway.execute('events/two')
  t.match(await report({ result_uri: String(put.body.ref).replace(execution_id, other) }), {
    status: 422,
    body: { error: /another execution/ },
  })
  t.match(await report({ result_uri: `noetl://execution/${execution_id}/result/start/1` }), {
    status: 404,
    body: { code: 'NOETL_ERR_RESULT_NOT_FOUND' },
  })
  t.match(await report({ result_uri: put.body.ref, result_kind: 'kv' }), {
    status: 200,
    body: { outcome: 'recorded' },
  })
  const done = (await eventsOf(execution_id)).find((event) => event.event_type === 'call.done')
  t.same(done?.result, { rows: [1, 2] })

  const elsewhere = await batchFor()
  await send('POST', `/api/commands/${elsewhere.command_id}/claim`, { worker_id: 'w' })
  await send('POST', '/api/events', {
    execution_id: elsewhere.execution_id,
    step: 'start',
    name: 'call.done',
    worker_id: 'w',
    payload: { command_id: elsewhere.command_id },
    result_uri: 'gs://bucket/x',
    result_kind: 'gcs',
  })
  const told = await until('the report', async () =>
    (await eventsOf(elsewhere.execution_id)).find((event) => event.event_type === 'call.done'),
  )
  t.same(told.result, { _ref: 'gs://bucket/x', _store: 'gcs' })
})

t.test('reports: of those that come too late the first eight of a command are kept', async (t) => {
  const { execution_id, command_id } = await batchFor()
  await send('POST', `/api/executions/${execution_id}/cancel`, {})
  const report = (worker_id: string, command: string) =>
    send('POST', '/api/events', {
      ...{ execution_id, step: 'start', name: 'call.done', worker_id },
      payload: { command_id: command, result: 1 },
    })
  const late = async () =>
    (await eventsOf(execution_id)).filter(({ event_type }) => event_type === 'command.late').length
  for (let i = 0; i < 12; i++) t.equal((await report(`w${i}`, command_id)).status, 409)
  t.equal(await late(), 8)
  for (let i = 0; i < 3; i++)
    t.equal((await report('w', String(i + 1))).status, 409, 'a command that never was')
  t.equal((await report('w', execution_id)).status, 409, 'an id that is of something else')
  t.equal(await late(), 8)
})

t.test('outcomes of one execution that arrive in one batch are committed together', async (t) => {
  await gateway.register(`metadata: {path: events/many}
workflow:
- step: start
  loop: {in: "{{ range(20) }}", iterator: n, spec: {mode: parallel, max_in_flight: 20}}
  tool: {kind: noop}`)
  const execution_id = await gateway.execute('events/many')
  const issued = (await eventsOf(execution_id)).filter((event) => event.event_type === 'command.issued')
  t.equal(issued.length, 20)
  const about = (name: string, command_id: string) => ({
    ...{ execution_id, step: 'start', name, worker_id: 'w', payload: { command_id, result: command_id } },
  })
  for (const { event_id } of issued) await send('POST', '/api/events', about('command.claimed', event_id))
  const revision = async () =>
    (await pool.query('SELECT revision FROM noetl.execution WHERE execution_id = $1', [execution_id])).rows[0]
      .revision
  const before = await revision()
  const { body } = await send<{ results: { outcome: string }[] }>('POST', '/api/events/batch', {
    events: issued.map(({ event_id }) => about('call.done', event_id)),
  })
  t.same(
    body.results.map(({ outcome }) => outcome),
    issued.map(() => 'recorded'),
  )
  t.ok((await revision()) - before <= 2, 'the first may go alone')
  const done = (await eventsOf(execution_id)).filter((event) => event.event_type === 'call.done')
  t.same(
    done.map(({ result }) => result),
    issued.map(({ event_id }) => event_id),
    'in their order',
  )
})

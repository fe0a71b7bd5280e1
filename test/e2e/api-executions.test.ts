import pg from 'pg'
import t from 'tap'
import { request } from 'undici'
import { type Execution, testGateway } from '../support/gateway.ts'

// No worker: what runs here stays as it is until someone reports or cancels.
const gateway = await testGateway(t, { worker: false })
const { url } = gateway.server
const pool = new pg.Pool({ connectionString: gateway.databaseUrl })
t.teardown(() => pool.end())
await gateway.register(`metadata: {path: runs/one}
workload: {n: 1, at: "run {{ execution_id }}"}
workflow:
- {step: start, tool: {kind: noop, result: "{{ n }}"}, set: {ctx.seen: "{{ start }}"}, next: {arcs: [{step: last}]}}
- {step: last, tool: {kind: noop}}`)

async function send<T = Record<string, unknown>>(method: 'GET' | 'POST', path: string, body?: unknown) {
  const answer = await request(url + path, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { status: answer.statusCode, body: (await answer.body.json()) as T }
}
const show = async (id: string, query = '') =>
  (await send<Execution & Record<string, unknown>>('GET', `/api/executions/${id}${query}`)).body

/** Plays the worker of one command: claims and reports. */
async function report(id: string, result: unknown): Promise<void> {
  const { events } = (await show(id, '?event_type=command_issued')) as unknown as {
    events: { event_id: string; node_name: string }[]
  }
  const { event_id: command_id, node_name: step } = events.at(-1)!
  for (const [name, payload] of [
    ['command.claimed', { command_id }],
    ['call.done', { command_id, result }],
  ] as const) {
    const answer = await send('POST', '/api/events', {
      execution_id: id,
      step,
      name,
      payload,
      worker_id: 'w',
    })
    t.equal(answer.status, 200)
  }
}
const child = async (parent: string) =>
  (
    await send<{ execution_id: string }>('POST', '/api/execute', {
      path: 'runs/one',
      parent_execution_id: parent,
    })
  ).body.execution_id

t.test('list: results, errors and counts of events stand in it, large results do not', async (t) => {
  const [done, large, running] = [
    await gateway.execute('runs/one'),
    await gateway.execute('runs/one'),
    await gateway.execute('runs/one'),
  ]
  await report(done, 7)
  await report(done, { answer: 42 })
  await report(large, 'x')
  await report(large, 'x'.repeat(5000))
  const { body } = await send<Record<string, unknown>[]>('GET', '/api/executions?path=runs/one&limit=3')
  t.same(
    body.map((row) => row.execution_id),
    [running, large, done],
  )
  t.match(body[2], {
    status: 'COMPLETED',
    result: { answer: 42 },
    error: null,
    progress: 100,
    progress_percent: 100,
    path: 'runs/one',
    version: 1,
    parent_execution_id: null,
    catalog_id: /^\d+$/,
    start_time: /^\d{4}-/,
    end_time: /^\d{4}-/,
  })
  t.equal(body[2]!.start_time, body[2]!.started_at)
  t.equal(body[2]!.end_time, body[2]!.completed_at)
  t.equal(body[2]!.event_count, (await show(done)).event_count)
  t.match(body[1], { status: 'COMPLETED', result: null })
  t.equal((await show(large)).result, 'x'.repeat(5000))
  t.match(body[0], { status: 'RUNNING', result: null, end_time: null, event_count: Number })
})

t.test('list: filters, pages and their limits', async (t) => {
  const id = await gateway.execute('runs/one')
  const below = [await child(id), await child(id)]
  await send('POST', `/api/executions/${below[0]}/cancel`, { cascade: false })
  const list = async (query: string) =>
    (await send<{ execution_id: string }[]>('GET', `/api/executions?${query}`)).body.map(
      (row) => row.execution_id,
    )
  t.same(await list(`parent_execution_id=${id}`), below.toReversed())
  t.same(await list(`parent_execution_id=${id}&status=cancelled`), [below[0]])
  t.same(await list(`parent_execution_id=${id}&limit=1&offset=1`), [below[0]])
  t.same(await list(`path=runs/one'%20OR%20'1'='1`), [])
  const { catalog_id } = await show(id)
  t.ok((await list(`catalog_id=${catalog_id}`)).includes(id))
  for (const query of [
    'limit=101',
    'limit=0',
    'offset=-1',
    'offset=99999999',
    'limit=x',
    'catalog_id=1;drop',
    'status=x',
    'parent_execution_id=9999999999999999999',
  ]) {
    t.match(await send('GET', `/api/executions?${query}`), {
      status: 422,
      body: { code: 'NOETL_ERR_REQUEST_INVALID' },
    })
  }
})

t.test(
  'events: types are asked for with dots or underscores, and by the names of earlier generations',
  async (t) => {
    const id = await gateway.execute('runs/one')
    const types = async (type: string) =>
      (
        await send<{ events: { event_type: string }[] }>(
          'GET',
          `/api/executions/${id}/events?event_type=${type}`,
        )
      ).body.events.map((event) => event.event_type)
    t.same(await types('command.issued'), ['command.issued'])
    t.same(await types('command_issued'), ['command.issued'])
    t.same(await types('playbook_initialized'), ['playbook.started'])
    t.same(await types('workflow_initialized'), ['playbook.started'])
    t.same(await types('constructor'), [])
    await pool.query(
      `INSERT INTO noetl.event (execution_id, event_id, event_type) VALUES ($1, $1::bigint + 1000, 'command.lease_expired')`,
      [id],
    )
    t.same(await types('command_lease_expired'), ['command.lease_expired'])
    t.same(await types('command.lease_expired'), ['command.lease_expired'])
  },
)

t.test('events: pages, and only what came after an event', async (t) => {
  const id = await gateway.execute('runs/one')
  await report(id, 1)
  const page = async (query: string) =>
    (
      await send<{ events: { event_id: string }[]; pagination: Record<string, unknown> }>(
        'GET',
        `/api/v2/executions/${id}/events?${query}`,
      )
    ).body
  const all = (await page('page_size=1000')).events.map((event) => event.event_id)
  const second = await page('page=2&page_size=2')
  t.same(
    second.events.map((event) => event.event_id),
    all.slice(2, 4),
  )
  t.match(second.pagination, {
    page: 2,
    page_size: 2,
    total_events: all.length,
    total_pages: Math.ceil(all.length / 2),
    has_next: true,
    has_prev: true,
  })
  t.same(
    (await page(`since_event_id=${all[1]}`)).events.map((event) => event.event_id),
    all.slice(2),
  )
  t.equal((await send('GET', `/api/executions/${id}/events?page_size=1001`)).status, 422)
  t.equal((await send('GET', '/api/executions/77/events')).status, 404)
})

t.test('status: an object of steps and a number of percent', async (t) => {
  const id = await gateway.execute('runs/one')
  await report(id, 5)
  t.match((await send('GET', `/api/executions/${id}/status`)).body, {
    execution_id: id,
    status: 'RUNNING',
    current_step: 'last',
    completed_steps: ['start'],
    failed: false,
    completed: false,
    completion_inferred: false,
    is_cancelled: false,
    variables: { seen: 5 },
    progress: { total_steps: 2, completed_steps: 1, running_steps: 1, failed_steps: 0 },
    progress_percent: 50,
    end_time: null,
    duration_seconds: Number,
    duration_human: String,
    error: null,
  })
  t.match(await show(id), { progress: 50, progress_percent: 50, variables: { seen: 5 } })
})

t.test('cancel: with all that it started, however deep, unless asked otherwise', async (t) => {
  const top = await gateway.execute('runs/one')
  const middle = await child(top)
  const deep = [await child(middle), await child(middle)]
  await send('POST', `/api/executions/${middle}/cancel`, { cascade: false })
  t.match(await show(deep[0]!), { status: 'RUNNING' }, 'not asked for')
  const { body } = await send<{ cancelled_executions: string[] }>('POST', `/api/executions/${top}/cancel`)
  t.match(body, { status: 'cancelled', execution_id: top, message: /was cancelled/ })
  t.same(body.cancelled_executions.toSorted(), [top, ...deep].toSorted(), 'past one that has ended')
  for (const id of deep) t.match(await show(id), { status: 'CANCELLED' })
  t.match(await send('POST', `/api/executions/${top}/stop`, { reason: 'again' }), {
    status: 200,
    body: { status: 'already_completed', execution_status: 'CANCELLED', cancelled_executions: [] },
  })
})

t.test(
  'cancel and finalize of what is not there: 404, and not_found in the words of the answer',
  async (t) => {
    for (const act of ['cancel', 'stop', 'finalize']) {
      t.match(await send('POST', `/api/executions/77/${act}`, {}), {
        status: 404,
        body: {
          code: 'NOETL_ERR_EXECUTION_NOT_FOUND',
          status: 404,
          details: { status: 'not_found', execution_id: '77' },
        },
      })
      t.equal((await send('POST', `/api/executions/77/${act}`, { reason: 7 })).status, 422)
    }
    t.equal((await send('POST', '/api/executions/77/cancel', { cascade: 'yes' })).status, 422)
    t.equal((await send('POST', '/api/executions/77/finalize', { status: 'DONE' })).status, 422)
  },
)

t.test('finalize: with an error, without one, with a reason', async (t) => {
  const [completed, failed, reasoned] = [
    await gateway.execute('runs/one'),
    await gateway.execute('runs/one'),
    await gateway.execute('runs/one'),
  ]
  t.match((await send('POST', `/api/executions/${completed}/finalize`, { status: 'COMPLETED' })).body, {
    status: 'finalized',
    execution_status: 'COMPLETED',
    execution_id: completed,
  })
  await send('POST', `/api/executions/${failed}/finalize`, { status: 'FAILED', error: 'lost' })
  await send('POST', `/api/executions/${reasoned}/finalize`, { reason: 'enough' })
  t.match(await show(completed), { status: 'COMPLETED', error: null })
  t.match(await show(failed), { status: 'FAILED', error: 'lost' })
  t.match(await show(reasoned), { status: 'FAILED', error: 'enough' })
})

t.test('rerun: the same version and payload; what was not given is made anew', async (t) => {
  const id = await gateway.execute('runs/one', { n: 9, more: [1] })
  await send('POST', `/api/executions/${id}/cancel`)
  await gateway.register(`metadata: {path: runs/one}
workload: {n: 1, fresh: true}
workflow: [{step: start, tool: {kind: noop}}]`)
  const again = (await send<Record<string, string>>('POST', `/api/executions/${id}/rerun`)).body
  t.match(again, { status: 'started', commands_generated: 1, rerun_of: id, version: 1, path: 'runs/one' })
  t.not(again.execution_id, id)
  t.match(await show(again.execution_id!), {
    version: 1,
    status: 'RUNNING',
    parent_execution_id: null,
    workload: { n: 9, more: [1], at: `run ${again.execution_id}` },
  })
  const third = (await send<Record<string, string>>('POST', `/api/executions/${again.execution_id}/rerun`))
    .body
  t.match((await show(third.execution_id!)).workload, { n: 9, more: [1] }, 'a rerun can be rerun')

  const newer = await send<Record<string, string>>('POST', `/api/executions/${id}/rerun`, {
    version: 'latest',
    payload: { n: 10 },
  })
  t.match(newer.body, { version: 2 })
  t.same((await show(newer.body.execution_id!)).workload, { n: 10, fresh: true, more: [1] })
  t.equal((await send('POST', `/api/executions/${id}/rerun`, { version: 9 })).status, 404)
  t.equal((await send('POST', '/api/executions/77/rerun')).status, 404)
  t.equal((await send('POST', `/api/executions/${id}/rerun`, { payload: 7 })).status, 422)
})

t.test('rerun: of a version that was put away', async (t) => {
  await gateway.register('metadata: {path: runs/away}\nworkflow: [{step: start, tool: {kind: noop}}]')
  const id = await gateway.execute('runs/away')
  await send('POST', '/api/catalog/delete', { path: 'runs/away' })
  t.match(await send('POST', `/api/executions/${id}/rerun`), { status: 200, body: { version: 1 } })
  t.equal((await send('POST', `/api/executions/${id}/rerun`, { version: 'latest' })).status, 404)
})

t.test('cleanup: cancels what began too long ago, and nothing when it only looks', async (t) => {
  const [old, young, ended] = [
    await gateway.execute('runs/one'),
    await gateway.execute('runs/one'),
    await gateway.execute('runs/one'),
  ]
  await send('POST', `/api/executions/${ended}/cancel`)
  await pool.query(
    `UPDATE noetl.execution SET created_at = now() - interval '3 hours' WHERE execution_id = ANY($1)`,
    [[old, ended]],
  )
  const cleanup = (body: object) => send('POST', '/api/executions/cleanup', body)
  t.match(await cleanup({ older_than_minutes: 120, dry_run: true }), {
    status: 200,
    body: { cancelled_count: 1, execution_ids: [old], dry_run: true, message: /1 executions would be/ },
  })
  t.match(await show(old), { status: 'RUNNING' })
  t.same((await cleanup({ older_than_minutes: 240 })).body, {
    cancelled_count: 0,
    execution_ids: [],
    dry_run: false,
    message: '0 executions were cancelled.',
  })
  t.match(await cleanup({ older_than_minutes: 120 }), { body: { cancelled_count: 1, execution_ids: [old] } })
  t.match(await show(old), { status: 'CANCELLED' })
  t.match(await show(young), { status: 'RUNNING' })
  t.match((await send('GET', `/api/executions/${old}/events?event_type=playbook.cancelled`)).body, {
    events: [{ meta: { reason: /more than 120 minutes/ } }],
  })
  for (const body of [
    {},
    { older_than_minutes: 0 },
    { older_than_minutes: '5' },
    { older_than_minutes: -1 },
  ]) {
    t.equal((await cleanup(body)).status, 422)
  }
})

t.test('cleanup: of more than a thousand the oldest go, and it says that there are others', async (t) => {
  const start = async (count: number) => {
    const executions = Array.from({ length: count }, () => ({ path: 'runs/one' }))
    t.match(await send('POST', '/api/execute/batch', { executions }), { body: { started: count, failed: 0 } })
  }
  await pool.query(`UPDATE noetl.execution SET created_at = now() WHERE status = 'RUNNING'`)
  const { rows } = await pool.query('SELECT max(execution_id) AS newest FROM noetl.execution')
  await start(1000)
  await start(3)
  await pool.query(
    `UPDATE noetl.execution SET created_at = now() - interval '1 day' WHERE execution_id > $1`,
    [rows[0].newest],
  )
  const cleanup = async () => (await send('POST', '/api/executions/cleanup', { older_than_minutes: 60 })).body
  t.match(await cleanup(), { cancelled_count: 1000, message: /There are more/ })
  t.match(await cleanup(), { cancelled_count: 3, message: '3 executions were cancelled.' })
})

import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { ServerError } from '../../core/client.ts'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

// A worker of another make: this file speaks to the server as one, over HTTP alone.
const gateway = await testGateway(t, {
  worker: false,
  env: { NOETL_LEASE_SECONDS: '2', NOETL_REANNOUNCE_SECONDS: '0.5' },
})
const { client } = gateway
await gateway.register(`metadata: {path: two}
workload: {n: 1}
workflow:
- {step: start, tool: {kind: noop, result: "{{ n }}"}, input: {a: "{{ n }}"}, next: {arcs: [{step: end}]}}
- {step: end, tool: {kind: noop}}`)

interface Shown {
  status: string
  current_step: string
  running_steps: string[]
  events: {
    event_type: string
    event_id: string
    meta: { command_id?: string; attempt?: number }
    worker_id: string | null
  }[]
}
const post = <T = Record<string, unknown>>(path: string, body: object) =>
  client.request<T>('POST', path, body)
const show = (id: string) => client.request<Shown>('GET', `/api/executions/${id}?page_size=1000`)
const error = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as ServerError,
  )

/** The id of the newest command of an execution. */
async function commandOf(id: string): Promise<string> {
  const { events } = await show(id)
  return events.findLast((event) => event.event_type === 'command.issued')!.event_id
}

t.test('the seed’s start answers with id, status and the number of commands', async (t) => {
  const answer = await post('/api/v2/execute', { path: 'two', payload: { n: 5 } })
  t.match(answer, { execution_id: /^\d{15,19}$/, status: 'started', commands_generated: 1 })
  t.match(await show(String(answer.execution_id)), {
    status: 'RUNNING',
    current_step: 'start',
    running_steps: ['start'],
  })
})

t.test('claim, run and report by event move the run on to its end', async (t) => {
  const id = await gateway.execute('two')
  const command = await commandOf(id)
  t.match(await client.request('GET', `/api/commands/${command}`), {
    action: 'noop',
    node_name: 'start',
    execution_id: id,
  })
  const claimed = await post(`/api/commands/${command}/claim`, { worker_id: 'w1' })
  t.match(claimed, {
    status: 'ok',
    event_id: command,
    action: 'noop',
    context: {
      tool_config: { kind: 'noop', result: '{{ n }}' },
      args: { a: '{{ n }}' },
      render_context: { n: 1 },
    },
    meta: { attempt: 1 },
  })
  t.match(
    await post(`/api/commands/${command}/claim`, { worker_id: 'w1' }),
    { meta: { attempt: 1 } },
    'the same worker may ask again',
  )
  t.match(await error(post(`/api/commands/${command}/claim`, { worker_id: 'w2' })), {
    statusCode: 409,
    code: 'NOETL_ERR_COMMAND_CLAIMED',
    retryAfterSeconds: Number,
  })
  for (const name of ['command.started', 'step.enter']) {
    t.match(
      await post('/api/v2/events', {
        execution_id: id,
        step: 'start',
        name,
        worker_id: 'w1',
        payload: { command_id: command },
      }),
      { status: 'ok', commands_generated: 0 },
    )
  }
  const done = {
    execution_id: Number(id) > Number.MAX_SAFE_INTEGER ? id : Number(id),
    step: 'start',
    name: 'call.done',
    worker_id: 'w1',
    payload: { command_id: `${id}:start:${command}`, result: { x: 1 } },
  }
  t.match(await post('/api/v2/events', done), { status: 'ok', commands_generated: 1, event_id: /^\d+$/ })
  t.match(
    await post('/api/v2/events', done),
    { status: 'ok', outcome: 'duplicate', commands_generated: 0 },
    'sending it twice changes nothing',
  )
  t.match(await post('/api/v2/events', { ...done, name: 'step.exit' }), { status: 'ok' })
  const second = await commandOf(id)
  await post('/api/events', {
    execution_id: id,
    node_name: 'end',
    event_type: 'command.claimed',
    worker_id: 'w2',
    context: { command_id: second },
  })
  t.match(
    await post('/api/events', {
      execution_id: id,
      node_name: 'end',
      event_type: 'call_done',
      worker_id: 'w2',
      context: { command_id: second, response: 7 },
    }),
    { commands_generated: 0 },
  )
  const ended = await gateway.ended(id)
  t.equal(ended.status, 'COMPLETED')
  t.equal(ended.result, 7)
  t.equal(ended.events.filter((event) => event.event_type === 'call.done').length, 2)
})

t.test('a report by who does not hold the lease is kept as late and changes nothing', async (t) => {
  const id = await gateway.execute('two')
  const command = await commandOf(id)
  await post(`/api/commands/${command}/claim`, { worker_id: 'holder' })
  const report = (worker_id: string) =>
    post('/api/v2/events', {
      execution_id: id,
      step: 'start',
      name: 'call.done',
      worker_id,
      payload: { command_id: command, result: worker_id },
    })
  t.match(await error(report('stranger')), { statusCode: 409, code: 'NOETL_ERR_COMMAND_LATE' })
  t.match(await show(id), { status: 'RUNNING', running_steps: ['start'] })
  t.match(await report('holder'), { outcome: 'recorded' })
  const { events } = await show(id)
  t.equal(events.filter((event) => event.event_type === 'command.late').length, 1)
})

t.test('leases: claimed with a token, renewed and handed back with it alone', async (t) => {
  const id = await gateway.execute('two')
  const command_id = await commandOf(id)
  const lease = { execution_id: id, command_id, token: randomUUID() }
  const wrong = { ...lease, token: randomUUID() }
  const ask = (what: string, leases: object[]) =>
    post<Record<string, unknown[]>>(`/api/v2/commands/${what}`, { worker_id: 'w', leases })
  t.match((await ask('claim', [lease])).results, [
    { command: { attempt: 1, token: lease.token, step: 'start', body: { tasks: [{ kind: 'noop' }] } } },
  ])
  t.match((await ask('claim', [wrong])).results, [{ error: { code: 'NOETL_ERR_COMMAND_CLAIMED' } }])
  t.match(
    (await ask('claim', [lease])).results,
    [{ command: { attempt: 1 } }],
    'the same claim again gives the same lease',
  )
  t.same((await ask('renew', [lease, wrong])).renewed, [command_id])
  t.same((await ask('release', [wrong])).released, [])
  t.same((await ask('release', [lease])).released, [command_id])
  t.match(
    (await ask('claim', [wrong])).results,
    [{ command: { attempt: 1 } }],
    'handing back burns no attempt',
  )
  const report = (token: string) =>
    post('/api/v2/events', {
      execution_id: id,
      step: 'start',
      name: 'call.done',
      worker_id: 'w',
      payload: { command_id, result: 1 },
      meta: { token, attempt: 1 },
    })
  t.match(
    await error(report(lease.token)),
    { code: 'NOETL_ERR_COMMAND_LATE' },
    'the name alone does not do where there is a token',
  )
  t.match(await report(wrong.token), { outcome: 'recorded' })
})

t.test(
  'a lease that runs out is taken over, and after three silent attempts a person is asked',
  async (t) => {
    const id = await gateway.execute('two')
    const command_id = await commandOf(id)
    const claim = async (n: number) => {
      for (;;) {
        const { results } = await post<{ results: { command?: { attempt: number }; error?: object }[] }>(
          '/api/v2/commands/claim',
          {
            worker_id: `w${n}`,
            leases: [{ execution_id: id, command_id, token: randomUUID() }],
          },
        )
        if (results[0]?.command !== undefined) return results[0].command.attempt
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    t.same([await claim(1), await claim(2), await claim(3)], [1, 2, 3])
    const letter = await until('a dead letter', async () => {
      const { dead_letters } = await gateway.client.request<{ dead_letters: object[] }>(
        'GET',
        `/api/v2/dead-letters?execution_id=${id}&status=open`,
      )
      return dead_letters[0]
    })
    t.match(letter, { reason: 'attempts', message: /begun 3 times and none was heard of again/ })
    t.match(await gateway.client.request('GET', `/api/executions/${id}/status`), { status: 'RUNNING' })
  },
)

t.test('two hundred claims of one command at once give one lease, in one request and in many', async (t) => {
  const id = await gateway.execute('two')
  const command_id = await commandOf(id)
  const leases = (count: number) =>
    Array.from({ length: count }, () => ({ execution_id: id, command_id, token: randomUUID() }))
  const answers = await Promise.all(
    [...Array.from({ length: 100 }, () => leases(1)), leases(100)].map((leases, n) =>
      post<{ results: { command?: { token: string } }[] }>('/api/v2/commands/claim', {
        worker_id: `w${n}`,
        leases,
      }),
    ),
  )
  t.equal(answers.flatMap(({ results }) => results).filter(({ command }) => command !== undefined).length, 1)
})

t.test('batch: events in order, each with its own result', async (t) => {
  const id = await gateway.execute('two')
  const command = await commandOf(id)
  const answer = await post('/api/v2/events/batch', {
    execution_id: id,
    worker_id: 'w',
    events: [
      { step: 'start', name: 'command.claimed', payload: { command_id: command } },
      { step: 'start', name: 'call.done', payload: { command_id: command, result: 1 } },
      { step: 'start', name: 'no.such.event' },
    ],
  })
  t.match(answer, {
    status: 'ok',
    commands_generated: 1,
    results: [
      { outcome: 'noted' },
      { outcome: 'recorded' },
      { code: 'NOETL_ERR_REQUEST_INVALID', status: 422 },
    ],
  })
})

t.test('events of a client with an id of their own are kept once', async (t) => {
  const id = await gateway.execute('two')
  const event = {
    execution_id: id,
    step: 'start',
    name: 'worker.note',
    worker_id: 'w',
    event_id: 'mine-1',
    payload: { text: 'hi' },
  }
  const first = await post('/api/events', event)
  const second = await post('/api/events', event)
  t.equal(second.event_id, first.event_id)
  t.equal((await show(id)).events.filter((one) => one.event_type === 'worker.note').length, 1)
})

t.test('cancel ends an execution once and for all; finalize does not change it', async (t) => {
  const id = await gateway.execute('two')
  t.match(await post(`/api/executions/${id}/cancel`, { reason: 'enough' }), {
    status: 'cancelled',
    cancelled_executions: [id],
  })
  t.match(await post(`/api/executions/${id}/cancel`, {}), { status: 'already_completed' })
  t.match(await post(`/api/executions/${id}/finalize`, { status: 'COMPLETED' }), {
    status: 'already_completed',
    execution_status: 'CANCELLED',
  })
  t.match(await client.request('GET', `/api/executions/${id}/cancellation-check`), { is_cancelled: true })
  t.match(await client.request('GET', `/api/executions/${id}/status`), {
    status: 'CANCELLED',
    completed: true,
    failed: false,
    progress: { total_steps: 2 },
  })
})

t.test('credentials: stored sealed, listed without data, given with it by name', async (t) => {
  const stored = await post('/api/credentials', {
    name: 'c1',
    type: 'bearer',
    data: { token: 'hush' },
    description: 'd',
  })
  t.match(stored, { name: 'c1', type: 'bearer', id: /^\d+$/ })
  t.notHas(stored, 'data')
  t.notMatch(JSON.stringify(await client.request('GET', '/api/credentials?q=C1')), /hush/)
  t.match(await client.request('GET', '/api/credentials/c1?include_data=true'), { data: { token: 'hush' } })
  await client.request('DELETE', '/api/credentials/c1')
  t.match(await error(client.request('GET', '/api/credentials/c1')), { statusCode: 404 })
})

t.test(
  'catalog: versions count up, base64 is read, the list filters on kind without regard to case',
  async (t) => {
    const content =
      'apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {path: /b64/p}\nworkflow: [{step: start}]'
    t.match(await post('/api/catalog/register', { content: Buffer.from(content).toString('base64') }), {
      status: 'success',
      path: '/b64/p',
      version: 1,
      kind: 'Playbook',
    })
    t.match(await post('/api/catalog/register', { content }), { version: 2 })
    t.match(await post('/api/catalog/resource', { path: '/b64/p', version: 1 }), { version: 1, content })
    t.match(await post('/api/catalog/resource', { path: '/b64/p', version: 'latest' }), { version: 2 })
    const { entries } = await post<{ entries: { path: string }[] }>('/api/catalog/list', {
      resource_type: 'playbook',
    })
    t.ok(entries.some((entry) => entry.path === '/b64/p'))
  },
)

t.test('workers: registered, beating, listed, gone', async (t) => {
  t.match(
    await post('/api/worker/pool/register', { name: 'w9', runtime: 'python', capacity: 3, hostname: 'h' }),
    { status: 'ok', name: 'w9', kind: 'worker_pool' },
  )
  t.match(await post('/api/worker/pool/heartbeat', { name: 'w9' }), { status: 'ok' })
  t.match(await client.request('GET', '/api/worker/pools?runtime=python'), {
    count: 1,
    items: [{ name: 'w9', status: 'ready', capacity: 3 }],
  })
  t.match(await post('/api/worker/pool/deregister', { name: 'w9' }), { status: 'ok' })
})

t.test('health, readiness and the OpenAPI text of the routes', async (t) => {
  t.match(await client.request('GET', '/healthz'), { status: 'ok' })
  t.match(await client.request('GET', '/api/health'), { status: 'ok' })
  t.match(await client.request('GET', '/readyz'), { status: 'ok', postgres: 'ok', nats: 'ok' })
  const openapi = await client.request<{ paths: Record<string, object> }>('GET', '/openapi.json')
  t.match(openapi.paths['/api/v2/execute'], {
    post: {
      summary: String,
      requestBody: { content: { 'application/json': { schema: { properties: { path: {} } } } } },
    },
  })
  t.ok(Object.keys(openapi.paths).length > 30)
})

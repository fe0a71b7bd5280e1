import { randomUUID } from 'node:crypto'
import t from 'tap'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

// Without a worker of its own: this test claims like one, and lets leases run out as if it had died.
const gateway = await testGateway(t, { worker: false, env: { NOETL_LEASE_SECONDS: '1' } })
const { client } = gateway

interface Letter {
  id: string
  execution_id: string
  reason: string
  attempts: number
  fingerprint: string
  status: string
  message: string
  command: { step: string; args: object; body: object } | null
}
const letters = async (query: string) =>
  (await client.request<{ dead_letters: Letter[] }>('GET', `/api/v2/dead-letters?${query}`)).dead_letters
const letterOf = (id: string) =>
  until('a dead letter', async () => (await letters(`execution_id=${id}&status=open`))[0])

async function claim(executionId: string, workerId = 'w') {
  const token = randomUUID()
  const { queue_id } = await until('a command', async () => {
    const { events } = await client.request<{ events: { event_id: string; event_type: string }[] }>(
      'GET',
      `/api/executions/${executionId}/events?event_type=command.issued&page_size=1000`,
    )
    const last = events.at(-1)
    return last && { queue_id: last.event_id }
  })
  const { results } = await client.request<{ results: { command?: { attempt: number } }[] }>(
    'POST',
    '/api/v2/commands/claim',
    { worker_id: workerId, leases: [{ execution_id: executionId, command_id: queue_id, token }] },
  )
  const command = results[0]?.command
  return command && { queue_id, token, workerId, attempt: command.attempt }
}

/** Claims as often as the command may be begun, and is never heard of again. */
async function die(executionId: string, times: number): Promise<void> {
  for (let i = 1; i <= times; i++) {
    const held = await until(`claim ${i}`, () => claim(executionId))
    t.equal(held.attempt, i)
  }
}

async function finish(executionId: string, result: unknown) {
  const held = await until('a claim', () => claim(executionId))
  return client.request<{ outcome: string }>('POST', '/api/v2/events', {
    execution_id: executionId,
    step: 'start',
    name: 'call.done',
    worker_id: held.workerId,
    payload: { command_id: held.queue_id, result },
    meta: { token: held.token, attempt: held.attempt },
  })
}

const playbook = (path: string, more = '', root = '') => `
metadata: {path: ${path}}
${root}
workflow:
- step: start
  ${more}
  tool: {kind: noop, input: {a: 1}}
  next: {arcs: [{step: end}]}
- step: end`

t.test(
  'dead letters: a command that is begun three times and not heard of again waits for a person',
  async (t) => {
    const path = await gateway.register(playbook('dead/attempts'))
    const id = await gateway.execute(path)
    await die(id, 3)
    const letter = await letterOf(id)
    t.match(letter, { reason: 'attempts', attempts: 3, path, step: 'start', message: /begun 3 times/ })
    const { status } = await client.request<{ status: string }>('GET', `/api/executions/${id}/status`)
    t.equal(status, 'RUNNING', 'the execution stands where it stood')
    const shown = await client.request<Letter>('GET', `/api/v2/dead-letters/${letter.id}`)
    t.match(shown.command, { step: 'start', body: { tasks: [{ kind: 'noop', input: { a: 1 } }] } })
    await client.request('POST', '/api/v2/dead-letters/retry', { ids: [letter.id] })
    t.match(await finish(id, 7), { outcome: 'recorded' })
    const run = await gateway.ended(id)
    t.equal(run.status, 'COMPLETED')
    const types = run.events.map((event) => event.event_type)
    t.equal(types.filter((type) => type === 'command.dead').length, 1)
    t.equal(types.filter((type) => type === 'command.retried').length, 1)
    t.match(await letters(`execution_id=${id}`), [{ status: 'retried' }])
    await t.rejects(client.request('POST', '/api/v2/dead-letters/retry', { ids: [letter.id] }), {
      code: 'NOETL_ERR_LETTER_NOT_FOUND',
    })
  },
)

t.test('dead letters: spec.max_attempts says after how many', async (t) => {
  const path = await gateway.register(playbook('dead/once', 'spec: {max_attempts: 1}'))
  const id = await gateway.execute(path)
  await die(id, 1)
  t.match(await letterOf(id), { attempts: 1 })
})

t.test(
  'dead letters: of one cause they have one fingerprint, and are retried or dropped together',
  async (t) => {
    const path = await gateway.register(playbook('dead/many', 'spec: {max_attempts: 1}'))
    const ids = await Promise.all([1, 2, 3].map(() => gateway.execute(path)))
    for (const id of ids) await die(id, 1)
    await Promise.all(ids.map(letterOf))
    const { groups } = await client.request<{ groups: { fingerprint: string; count: number }[] }>(
      'GET',
      `/api/v2/dead-letters/groups?path=${path}`,
    )
    t.match(groups, [{ count: 3, path, step: 'start', reason: 'attempts' }])
    t.match(
      await client.request('POST', '/api/v2/dead-letters/drop', {
        fingerprint: groups[0]?.fingerprint,
        reason: 'no longer wanted',
        rate: 100,
      }),
      { count: 3 },
    )
    for (const id of ids) t.match(await gateway.ended(id), { status: 'FAILED', error: 'no longer wanted' })
    t.same(
      (await client.request<{ groups: [] }>('GET', `/api/v2/dead-letters/groups?path=${path}`)).groups,
      [],
    )
    await t.rejects(client.request('POST', '/api/v2/dead-letters/retry', {}), {
      code: 'NOETL_ERR_REQUEST_INVALID',
    })
  },
)

t.test(
  'effects: what is not safe to repeat is parked in doubt, and a person says what became of it',
  async (t) => {
    const path = await gateway.register(
      playbook('dead/unsafe').replace('kind: noop', 'kind: noop, effect: unsafe'),
    )
    const start = async () => {
      const id = await gateway.execute(path)
      await die(id, 1)
      t.match(await letterOf(id), { reason: 'in_doubt', attempts: 1, message: /may have had its effect/ })
      return id
    }
    const [done, failed, again] = [await start(), await start(), await start()]
    const resolve = (id: string, body: object) =>
      client.request('POST', `/api/v2/executions/${id}/resolve`, body)
    await resolve(done, { as: 'done', result: { paid: true } })
    const run = await gateway.ended(done)
    t.equal(run.status, 'COMPLETED')
    t.match(
      run.events.find((event) => event.event_type === 'call.done'),
      { result: { paid: true }, worker_id: 'operator' },
    )
    await resolve(failed, { as: 'failed', reason: 'it was not paid' })
    t.match(await gateway.ended(failed), { status: 'FAILED', error: 'it was not paid' })
    await resolve(again, { as: 'retry' })
    await finish(again, 1)
    t.equal((await gateway.ended(again)).status, 'COMPLETED')
    await t.rejects(resolve(again, { as: 'retry' }), { code: 'NOETL_ERR_LETTER_NOT_FOUND' })
    await t.rejects(resolve('1', { as: 'retry' }), { code: 'NOETL_ERR_EXECUTION_NOT_FOUND' })
  },
)

t.test('effects: a late report of a parked command changes nothing', async (t) => {
  const path = await gateway.register(
    playbook('dead/late').replace('kind: noop', 'kind: noop, effect: unsafe'),
  )
  const id = await gateway.execute(path)
  const held = await until('a claim', () => claim(id))
  const letter = await letterOf(id)
  await t.rejects(
    client.request('POST', '/api/v2/events', {
      execution_id: id,
      step: 'start',
      name: 'call.done',
      worker_id: held.workerId,
      payload: { command_id: held.queue_id, result: 1 },
      meta: { token: held.token, attempt: held.attempt },
    }),
    { code: 'NOETL_ERR_COMMAND_LATE' },
  )
  t.match(await letterOf(id), { id: letter.id, status: 'open' })
  await client.request('POST', `/api/executions/${id}/cancel`, {})
  t.same(await letters(`execution_id=${id}&status=open`), [], 'the end of its execution closes a letter')
})

import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { LeasedCommand } from '../../core/schemas/command.ts'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const CHAIN = `metadata: {path: chain}
workflow:
- {step: start, set: {ctx.n: 0}, next: {arcs: [{step: work}]}}
- step: work
  tool: {kind: noop}
  set: {ctx.n: "{{ ctx.n + 1 }}"}
  next: {arcs: [{step: work, when: "{{ ctx.n < 40 }}"}]}`

t.test('a worker goes on with what follows: a chain of forty steps is claimed once', async (t) => {
  const gateway = await testGateway(t, { plugins: ['@noetl/tool-http'] })
  let asked = 0
  gateway.server.app.server.on('request', ({ url }) => {
    if (url?.endsWith('/commands/claim')) asked += 1
  })
  const run = await gateway.run(CHAIN)
  t.equal(run.status, 'COMPLETED')
  t.same(run.variables, { n: 40 })
  const of = (type: string) => run.events.filter((event) => event.event_type === type)
  t.same([of('command.issued').length, of('command.claimed').length, of('call.done').length], [40, 40, 40])
  t.equal(asked, 1)
})

t.test('whoever asks to go on again, for its answer was lost, is given the same command', async (t) => {
  const gateway = await testGateway(t, { worker: false })
  const id = await gateway.execute(await gateway.register(CHAIN))
  const post = <T>(path: string, body: object) => gateway.client.request<T>('POST', `/api/v2/${path}`, body)
  const { commands } = await until('a command that waits', async () => {
    const answer = await post<{ commands: { queue_id: string }[] }>('commands/waiting', {
      worker_id: 'w',
      lane: 'normal',
      pool: '',
      limit: 1,
    })
    return answer.commands.length > 0 ? answer : undefined
  })
  const command_id = commands[0]!.queue_id
  const token = randomUUID()
  await post('commands/claim', { worker_id: 'w', leases: [{ execution_id: id, command_id, token }] })
  const report = (next: object) =>
    post<{ results: { outcome: string; next?: LeasedCommand }[] }>('events/batch', {
      worker_id: 'w',
      events: [
        {
          execution_id: id,
          name: 'call.done',
          payload: { command_id, result: {} },
          meta: { command_id, token, attempt: 1 },
          next,
        },
      ],
    }).then(({ results }) => results[0])
  const next = { token: randomUUID(), lane: 'normal', pool: '' }
  const first = await report(next)
  t.match(first, { outcome: 'recorded', next: { step: 'work', attempt: 1, token: next.token } })
  const again = await report(next)
  t.match(again, { outcome: 'duplicate', next: { command_id: first?.next?.command_id ?? '', attempt: 1 } })
  t.equal((await report({ ...next, token: randomUUID() }))?.next, undefined, 'another token is given nothing')
})

t.test('what is of another pool, or may not be begun twice, is left to be claimed', async (t) => {
  const { goOn } = await import('../../core/engine/go-on.ts')
  const command = (queue_id: string, more: object) => ({
    ...{ queue_id, node_id: queue_id, node_name: 's', tool_kind: 'noop', lane: 'normal', pool: '' },
    ...{ max_attempts: 3, effect: 'pure' as const, delay: 0, dead: false, ...more },
  })
  const event = (event_id: string) => ({
    ...{ event_id, execution_id: '1', created_at: '', event_type: 'command.issued' },
  })
  const about = { leaseSeconds: 15, newId: () => '99', now: '' }
  const next = { token: 't', worker_id: 'w', lane: 'normal', pool: '' }
  const given = (more: object, reporters: { next?: typeof next }[] = [{ next }]) =>
    [...goOn({ commands: [command('2', more)], events: [event('2')] }, reporters, about).values()].map(
      ({ command }) => command.queue_id,
    )
  t.same(given({}), ['2'])
  t.same(given({}, [{}]), [], 'nobody asked')
  t.same(given({}, [{ next }, { next }]), ['2'], 'one command goes to one')
  for (const more of [{ effect: 'unsafe' }, { delay: 1 }, { dead: true }, { pool: 'gpu' }, { lane: 'high' }])
    t.same(given(more), [], JSON.stringify(more))
})

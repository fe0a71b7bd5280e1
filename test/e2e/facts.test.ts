import t from 'tap'
import { type Facts, listen } from '../../core/channels.ts'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

t.test('facts: a run tells what was issued, leased, called and ended, and how long it took', async (t) => {
  const heard: { [N in keyof Facts]?: Facts[N][] } = {}
  const hear = <N extends keyof Facts>(name: N) => {
    const list: Facts[N][] = []
    t.teardown(listen(name, (fact) => void list.push(fact)))
    heard[name] = list as never
    return list
  }
  const [events, leased, calls, commands] = [
    hear('noetl:events'),
    hear('noetl:leased'),
    hear('noetl:call'),
    hear('noetl:command'),
  ]
  const gateway = await testGateway(t)
  const run = await gateway.run('metadata: {path: one}\nworkflow: [{step: start, tool: {kind: noop}}]')
  t.equal(run.status, 'COMPLETED')
  await until('the command’s end', () => commands.length === 2)
  const { execution_id } = run
  t.same(
    events.map(({ lane, status, commands }) => ({ lane, status, kinds: commands.map((c) => c.tool_kind) })),
    [
      { lane: 'normal', status: 'RUNNING', kinds: ['noop'] },
      { lane: 'normal', status: 'COMPLETED', kinds: [] },
    ],
  )
  t.equal(events[0]?.seconds, undefined)
  t.ok(events[1]!.seconds! > 0 && events[1]!.seconds! < 30)
  t.match(leased, [
    { execution_id, step: 'start', kind: 'noop', lane: 'normal', pool: '', attempt: 1, cause: 'capacity' },
  ])
  t.ok(leased[0]!.waited < 30)
  t.match(calls, [{ execution_id, step: 'start', kind: 'noop', status: 'ok' }])
  t.match(commands, [{ phase: 'begun' }, { phase: 'ended', status: 'ok' }])
  const { notified } = commands[0]!
  t.ok(notified !== undefined && notified < 30, 'seconds since the bus took the notification')
})

t.test('facts: a refused claim says why', async (t) => {
  const refused: Facts['noetl:claimed'][] = []
  t.teardown(listen('noetl:claimed', (fact) => void refused.push(fact)))
  const { client } = await testGateway(t, { worker: false })
  const lease = { execution_id: '1', command_id: '2', token: '00000000-0000-4000-8000-000000000000' }
  await client.request('POST', '/api/v2/commands/claim', { worker_id: 'w', leases: [lease] })
  t.same(refused, [{ worker_id: 'w', claimed: 0, refused: 1, reason: 'NOETL_ERR_COMMAND_SETTLED' }])
})

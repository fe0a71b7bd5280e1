import { connect, DiscardPolicy } from 'nats'
import { pino } from 'pino'
import t from 'tap'
import { type Bus, connectBus } from '../../core/bus/bus.ts'
import { consumersDuty } from '../../core/upkeep/consumers.ts'
import { testGateway } from '../support/gateway.ts'
import { until } from '../support/wait.ts'

const gateway = await testGateway(t, { plugins: ['@noetl/tool-http'] })
const connection = await connect({ servers: gateway.nats.url })
t.teardown(() => connection.close())
const manager = await connection.jetstreamManager()
const SECOND = 1_000_000_000

t.test('the stream is as clients of this protocol know it', async (t) => {
  const { config } = await manager.streams.info('NOETL_COMMANDS')
  t.match(config, { name: 'NOETL_COMMANDS', storage: 'file', retention: 'workqueue', max_age: 3600 * SECOND })
  t.same(config.subjects, ['noetl.commands', 'noetl.commands.>'])
})

t.test(
  'the consumer is durable, pulls, acknowledges explicitly, three deliveries, thirty seconds',
  async (t) => {
    const { config } = await manager.consumers.info('NOETL_COMMANDS', 'noetl-worker-pool')
    t.match(config, {
      durable_name: 'noetl-worker-pool',
      filter_subject: 'noetl.commands',
      ack_policy: 'explicit',
      deliver_policy: 'all',
      max_deliver: 3,
      ack_wait: 30 * SECOND,
      max_ack_pending: 100_000,
    })
    t.equal(config.deliver_subject, undefined)
  },
)

const PLAYBOOK =
  'metadata: {path: p}\nworkflow:\n- {step: start, tool: {kind: noop}, next: {arcs: [{step: end}]}}\n- {step: end, tool: {kind: noop}}'

t.test(
  'a notification carries ids, step and server, and is gone from the stream when its command is done',
  async (t) => {
    const heard: Record<string, string>[] = []
    const subscription = connection.subscribe('noetl.commands', {
      callback: (_error, message) => heard.push(message.json()),
    })
    await connection.flush()
    const run = await gateway.run(PLAYBOOK)
    t.equal(run.status, 'COMPLETED')
    subscription.unsubscribe()
    // What follows, the worker may have been given with the answer to its report.
    const [first, ...others] = heard
    t.equal(first?.step, 'start')
    t.same(others, others.length === 0 ? [] : [{ ...others[0], step: 'end' }])
    t.equal(first?.execution_id, run.execution_id)
    t.equal(first?.server_url, gateway.server.url)
    t.match(first, { queue_id: /^\d+$/, event_id: first?.queue_id ?? '', command_id: first?.queue_id ?? '' })
    await until(
      'an empty stream',
      async () => (await manager.streams.info('NOETL_COMMANDS')).state.messages === 0,
    )
    const { num_ack_pending, num_redelivered } = await manager.consumers.info(
      'NOETL_COMMANDS',
      'noetl-worker-pool',
    )
    t.same([num_ack_pending, num_redelivered], [0, 0])
  },
)

t.test('notifications that say nothing new or nothing at all do nothing', async (t) => {
  const run = await gateway.run(PLAYBOOK)
  const done = run.events.find((event) => event.event_type === 'call.done') as unknown as {
    meta: { command_id: string }
  }
  const { command_id } = done.meta
  for (const text of [
    JSON.stringify({
      execution_id: run.execution_id,
      queue_id: command_id,
      step: 'start',
      server_url: gateway.server.url,
    }),
    JSON.stringify({ execution_id: '1', queue_id: '2', step: 'start', server_url: '' }),
    JSON.stringify({ execution_id: 'x', queue_id: {}, step: 1 }),
    'no json',
    '',
  ]) {
    connection.publish('noetl.commands', text)
  }
  await connection.flush()
  await until(
    'an empty stream',
    async () => (await manager.streams.info('NOETL_COMMANDS')).state.messages === 0,
  )
  const after = await gateway.ended(run.execution_id)
  t.equal(after.events.length, run.events.length)
  t.equal((await gateway.run(PLAYBOOK)).status, 'COMPLETED', 'the worker goes on')
})

t.test(
  'a notification that was delivered as often as it may be is announced again',
  { timeout: 60_000 },
  async (t) => {
    const lonely = await testGateway(t, { worker: false, env: { NOETL_REANNOUNCE_SECONDS: '3600' } })
    const nats = await connect({ servers: lonely.nats.url })
    t.teardown(() => nats.close())
    const path = await lonely.register(PLAYBOOK)
    const id = await lonely.execute(path)
    const consumer = await nats.jetstream().consumers.get('NOETL_COMMANDS', 'noetl-worker-pool')
    const ids: string[] = []
    for (let times = 1; times <= 4; times++) {
      const message = await consumer.next({ expires: 20_000 })
      ids.push(message?.json<{ execution_id: string }>().execution_id ?? '')
      if (times <= 3) t.equal(message?.info.redeliveryCount, times)
      message?.nak()
    }
    t.same(ids, [id, id, id, id], 'the fourth is a new message: the first was delivered three times')
  },
)

t.test('a consumer that fell silent is made anew', { timeout: 60_000 }, async (t) => {
  const place = { lane: 'normal', pool: '' }
  let rebuilt = 0
  let state = { pending: 5, unacknowledged: 100, waiting: 2, delivered: 7 }
  const bus = {
    connected: () => true,
    consumerState: async () => state,
    rebuildConsumer: async () => void rebuilt++,
  } as unknown as Bus
  let forgotten = 0
  const store = { forgetAnnouncements: async () => ++forgotten }
  const duty = consumersDuty({ bus, store, places: [place], log: pino({ level: 'silent' }) })
  for (let look = 0; look < 3; look++) await duty.run()
  t.same([rebuilt, forgotten], [1, 1], 'and what waits is announced again')
  state = { ...state, pending: 0 }
  for (let look = 0; look < 6; look++) await duty.run()
  t.equal(rebuilt, 1, 'one without work is not silent')
  state = { ...state, pending: 1, waiting: 0 }
  for (let look = 0; look < 6; look++) await duty.run()
  t.equal(rebuilt, 1, 'one for which nobody waits is not silent')
  state = { ...state, unacknowledged: 100_000 }
  for (let look = 0; look < 2; look++) await duty.run()
  t.equal(rebuilt, 2, 'one that has delivered all it may and heard of none is')
  // On the real bus: the new consumer has nothing to deliver.
  const real = await connectBus({
    url: gateway.nats.url,
    name: 't',
    patienceMs: 1000,
    log: pino({ level: 'silent' }),
  })
  t.teardown(() => real.close())
  const before = await real.consumerState(place)
  t.ok(before && before.delivered > 0)
  await real.rebuildConsumer(place)
  t.match(await real.consumerState(place), { delivered: 0, unacknowledged: 0, pending: 0 })
  t.equal((await gateway.run(PLAYBOOK)).status, 'COMPLETED', 'workers pull from the new one')
})

t.test('workers make a deleted consumer or stream anew and go on', { timeout: 60_000 }, async (t) => {
  const made = async () => (await manager.consumers.info('NOETL_COMMANDS', 'noetl-worker-pool')).created
  for (const deleted of ['consumer', 'stream']) {
    const before = await made()
    if (deleted === 'consumer') await manager.consumers.delete('NOETL_COMMANDS', 'noetl-worker-pool')
    else await manager.streams.delete('NOETL_COMMANDS')
    const anew = await until(`a ${deleted} made anew`, () => made().catch(() => undefined))
    t.not(anew, before)
    t.equal((await gateway.run(PLAYBOOK)).status, 'COMPLETED')
  }
})

t.test('a stream that takes no messages any more is made anew', { timeout: 60_000 }, async (t) => {
  const about = {
    execution_id: '1',
    queue_id: '1',
    event_id: '1',
    command_id: '1',
    step: 's',
    server_url: '',
  }
  const place = { lane: 'normal', pool: '' }
  const log = pino({ level: 'silent' })
  const bus = await connectBus({ url: gateway.nats.url, name: 't', patienceMs: 1000, log })
  t.teardown(() => bus.close())
  t.ok(await bus.accepts(place, about))
  // As one whose files vanished, or whose disk is full.
  await manager.streams.update('NOETL_COMMANDS', { discard: DiscardPolicy.New, max_bytes: 1 })
  t.notOk(await bus.accepts(place, about))
  await until('a stream that takes messages', async () => {
    t.equal((await gateway.run(PLAYBOOK)).status, 'COMPLETED', 'work goes on meanwhile')
    return bus.accepts(place, about)
  })
})

t.test('a connection whose server is gone can be closed', { timeout: 60_000 }, async (t) => {
  const { testNats } = await import('../support/nats.ts')
  const nats = await testNats(t)
  const bus = await connectBus({ url: nats.url, name: 't', patienceMs: 5000, log: pino({ level: 'silent' }) })
  await nats.kill()
  await bus.close()
  t.notOk(bus.connected())
})

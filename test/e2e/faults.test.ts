import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import t from 'tap'
import { type Bus, connectBus } from '../../core/bus/bus.ts'
import { STREAM } from '../../core/bus/streams.ts'
import { makeServers } from '../../core/worker/servers.ts'
import { FAULTS } from '../faults/faults.ts'
import { trial } from '../faults/trial.ts'
import { testNats } from '../support/nats.ts'
import type { Teardown } from '../support/teardown.ts'
import { until } from '../support/wait.ts'

// The quick part of `npm run faults`, under a small load.
const QUICK = { NOETL_LEASE_SECONDS: '3', NOETL_REANNOUNCE_SECONDS: '1' }
const CASES = ['chain', 'loop', 'sub', 'http', 'retry'].map((name) => `faults/${name}`)

for (const [name, promise] of [
  ['kill-worker', 'others take over all that it held'],
  ['wipe-jetstream', 'work is delayed and none is lost'],
  ['duplicate', 'nothing runs twice'],
] as const) {
  t.test(`faults: ${name}: ${promise}`, { timeout: 90_000 }, async (t) => {
    const fault = FAULTS.find((one) => one.name === name)!
    const figures = await trial(t, fault, {
      servers: 2,
      workers: 2,
      executions: 40,
      perSecond: 20,
      cases: CASES,
      // Where no worker dies no lease may run out, however busy the machine is.
      env: name === 'kill-worker' ? QUICK : { ...QUICK, NOETL_LEASE_SECONDS: '30' },
      ownPostgres: false,
      patienceMs: 30_000,
    })
    t.match(figures, { executions: 40, lost: 0, doubled: 0, stuck: 0, wrong: 0, notes: [] })
    t.ok(figures.commands > 100, `${figures.commands} commands ran`)
    if (name === 'kill-worker') {
      t.ok(figures.takenOver > 0, 'the worker held commands')
      t.comment(`the last of them was taken over after ${figures.takeover} s`)
    } else {
      t.equal(figures.repeated, 0, 'no tool was called twice')
      t.comment(`what was under way ended after ${figures.recovery} s`)
    }
  })
}

const place = { lane: 'normal', pool: '' }
async function open(t: Teardown, url: string): Promise<Bus> {
  const bus = await connectBus({ url, name: 'test', patienceMs: 5000, log: pino({ level: 'silent' }) })
  t.teardown(() => bus.close())
  return bus
}

t.test('faults: a pull that nats-server forgot as it was killed is sent again at once', async (t) => {
  const nats = await testNats(t)
  const bus = await open(t, nats.url)
  await bus.ensure([place])
  const delivered: string[] = []
  const deliveries = bus.deliveries(place, ({ notification, ack }) => {
    delivered.push(notification.step)
    ack()
  })
  t.teardown(() => deliveries.stop())
  deliveries.want(2)
  await until('the pull to be there', async () => (await bus.consumerState(place))?.waiting === 1)
  await nats.kill()
  await until('the loss to be noticed', () => !bus.connected())
  await nats.start()
  await until('the connection to be back', () => bus.connected())
  const notification = { execution_id: '1', queue_id: '2', event_id: '2', command_id: '2', server_url: '' }
  bus.announce(place, { ...notification, step: 'after' })
  // A pull lasts 20 s; without being told, the worker would believe for as long that it has one.
  await until('the delivery', () => delivered.length > 0, { withinMs: 5000 })
  t.same(delivered, ['after'])
})

t.test('faults: a stream that another made anew is seen as lost, for what it held is gone', async (t) => {
  const nats = await testNats(t)
  const [bus, other] = [await open(t, nats.url), await open(t, nats.url)]
  t.equal(await bus.ensure([place]), true, 'it was missing')
  t.equal(await other.ensure([place]), false)
  await bus.manager.streams.delete(STREAM)
  t.equal(await other.ensure([place]), true, 'it was missing again')
  t.equal(await bus.ensure([place]), true, 'another was faster')
  t.equal(await bus.ensure([place]), false)
})

t.test('faults: a worker whose own server is dead asks another that notifications named', async (t) => {
  const answers = (name: string) =>
    new Promise<{ url: string; stop(): void }>((resolve) => {
      const server = createServer((request, response) => {
        request.resume()
        response.end(JSON.stringify({ name }))
      })
      const stop = () => {
        server.closeAllConnections()
        server.close()
      }
      t.teardown(stop)
      server.listen(0, '127.0.0.1', () =>
        resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }),
      )
    })
  const [home, other] = [await answers('home'), await answers('other')]
  const servers = makeServers({ url: home.url, token: undefined })
  t.teardown(() => servers.close())
  t.same(await servers.post('/', {}), { name: 'home' })
  t.same(await servers.post('/', {}, { hint: other.url }), { name: 'other' })
  home.stop()
  t.same(await servers.post('/renew', {}), { name: 'other' }, 'leases are renewed there')
  t.same(await servers.post('/report', {}, { hint: home.url }), { name: 'other' }, 'reports go there')
  t.same(await servers.get('/credential'), { name: 'other' })
  other.stop()
  await t.rejects(servers.post('/renew', {}), { code: 'NOETL_ERR_SERVER_UNREACHABLE' })
})

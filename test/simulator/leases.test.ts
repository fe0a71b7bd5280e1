import { pino } from 'pino'
import t from 'tap'
import type { LeasedCommand } from '../../core/schemas/command.ts'
import { makeLeases } from '../../core/worker/leases.ts'
import { makeServers } from '../../core/worker/servers.ts'
import { simulateGlobals } from './globals.ts'
import { type Handler, makeNet } from './net.ts'
import { calm } from './weather.ts'
import { makeWorld } from './world.ts'

simulateGlobals()
const LEASE_SECONDS = 15
const notification = {
  ...{ execution_id: '1', queue_id: '2', event_id: '2', command_id: '2' },
  ...{ step: 's', server_url: '' },
}

/** A worker's leases, and a server that gives and renews them in simulated time; `mayAnswer` says which renewals it hears. */
function stage(mayAnswer: (renewal: number) => boolean = () => true, holds: () => boolean = () => true) {
  const world = makeWorld(1)
  const net = makeNet(world, calm)
  let leasedUntil = 0
  let renewals = 0
  const lease = () => {
    leasedUntil = world.now() + LEASE_SECONDS * 1000
  }
  const routes = new Map<string, Handler>([
    [
      'POST /api/v2/commands/claim',
      async (body) => {
        const { leases } = body as { leases: { command_id: string; token: string }[] }
        lease()
        const command = (token: string) => ({
          command_id: '2',
          step: 's',
          token,
          lease_seconds: LEASE_SECONDS,
        })
        return { results: leases.map(({ token }) => ({ command: command(token) as LeasedCommand })) }
      },
    ],
    [
      'POST /api/v2/commands/renew',
      async () => {
        renewals += 1
        if (!mayAnswer(renewals)) return new Promise(() => {})
        if (!holds()) return { renewed: [] }
        lease()
        return { renewed: ['2'] }
      },
    ],
  ])
  net.serve(world.process('server'), 'http://server', routes)
  const worker = world.process('worker')
  const leases = worker.as(() => {
    const servers = makeServers({ url: 'http://server', token: undefined, open: net.open(worker) })
    return makeLeases({ workerId: 'worker', servers, log: pino({ level: 'silent' }) })
  })
  async function claim() {
    let claimed: Awaited<ReturnType<typeof leases.claim>> | undefined
    worker.as(
      () =>
        void leases.claim(notification).then((answer) => {
          claimed = answer
        }),
    )
    await world.run(() => claimed !== undefined, 1000)
    if (claimed === undefined || 'refused' in claimed) throw new Error('the claim was refused')
    return claimed.lease
  }
  return { world, claim, lost: () => leasedUntil < world.now(), renewals: () => renewals }
}

t.test('leases: a lease is renewed for as long as it is held', async (t) => {
  const { world, claim, lost, renewals } = stage()
  await claim()
  t.notOk(await world.run(lost, 120_000), 'it never ran out')
  t.ok(renewals() >= 20)
})

for (const missing of [1, 2]) {
  t.test(
    `leases: ${missing === 1 ? 'a renewal' : 'two renewals in a row'} without an answer cost no lease`,
    async (t) => {
      const { world, claim, lost } = stage((renewal) => renewal > missing)
      const lease = await claim()
      t.notOk(await world.run(lost, 60_000), 'it never ran out')
      t.notOk(lease.signal.aborted)
    },
  )
}

t.test('leases: a lease that the server does not know any more stops its command', async (t) => {
  let taken = false
  const { world, claim } = stage(undefined, () => !taken)
  const lease = await claim()
  await world.run(() => false, 20_000)
  t.notOk(lease.signal.aborted)
  taken = true
  await world.run(() => lease.signal.aborted, 6000)
  t.match(lease.signal.reason, { why: 'lease-lost' })
})

t.test('leases: a command that is leased to its worker anew stops what still runs of it', async (t) => {
  const { claim } = stage()
  const first = await claim()
  const second = await claim()
  t.match(first.signal.reason, { why: 'lease-lost' })
  t.notOk(second.signal.aborted)
})

import { pino } from 'pino'
import t from 'tap'
import { makeError } from '../../core/errors.ts'
import type { LeasedCommand } from '../../core/schemas/command.ts'
import { type Claimed, makeLeases } from '../../core/worker/leases.ts'
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

/**
 * A worker's leases, and a server that gives and renews them in simulated time. `mayAnswer` says which renewals it
 * hears, `onClaim` what becomes of a claim.
 */
function stage(
  mayAnswer: (renewal: number) => boolean = () => true,
  holds: () => boolean = () => true,
  onClaim: (claim: number) => Promise<void> = async () => {},
) {
  const world = makeWorld(1)
  const net = makeNet(world, calm)
  let leasedUntil = 0
  let renewals = 0
  const asked: { token: string; again?: boolean; at: number }[] = []
  const lease = () => {
    leasedUntil = world.now() + LEASE_SECONDS * 1000
  }
  const routes = new Map<string, Handler>([
    [
      'POST /api/v2/commands/claim',
      async (body) => {
        const { leases } = body as { leases: { token: string; again?: boolean }[] }
        for (const { token, again } of leases) asked.push({ token, again: again === true, at: world.now() })
        lease()
        await onClaim(asked.length)
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
  /** Asks for a lease, and for what came of it. */
  function ask(stop?: AbortSignal) {
    const asking: { answer?: Claimed; failure?: Error } = {}
    worker.as(
      () =>
        void leases.claim(notification, stop).then(
          (answer) => {
            asking.answer = answer
          },
          (failure) => {
            asking.failure = failure
          },
        ),
    )
    return asking
  }
  async function claim() {
    const asking = ask()
    await world.run(() => asking.answer !== undefined, 1000)
    if (asking.answer === undefined || 'refused' in asking.answer) throw new Error('the claim was refused')
    return asking.answer.lease
  }
  return { world, claim, ask, asked, lost: () => leasedUntil < world.now(), renewals: () => renewals }
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

t.test(
  'leases: a claim without an answer is made again with its token, before the lease has run out',
  async (t) => {
    const { world, ask, asked } = stage(undefined, undefined, (claim) =>
      claim <= 2 ? new Promise(() => {}) : Promise.resolve(),
    )
    const asking = ask()
    await world.run(() => asking.answer !== undefined, 60_000)
    t.same(new Set(asked.map(({ token }) => token)).size, 1)
    t.match(asking.answer, { lease: { command: { token: asked[0]!.token } } })
    t.same(
      asked.map(({ again }) => again),
      [false, true, true],
    )
    for (const [i, { at }] of asked.entries()) {
      if (i > 0) t.ok(at - asked[i - 1]!.at < LEASE_SECONDS * 1000, 'asked again in time')
    }
  },
)

t.test('leases: a claim that Postgres did not answer is made again with its token', async (t) => {
  const { world, ask, asked } = stage(undefined, undefined, async (claim) => {
    if (claim === 1) throw makeError('NOETL_ERR_STORE_UNREACHABLE', ['its address', 'Connection terminated'])
  })
  const asking = ask()
  await world.run(() => asking.answer !== undefined, 10_000)
  t.match(asking.answer, { lease: { command: { token: asked[0]!.token } } })
  t.same(asked[1], { token: asked[0]!.token, again: true, at: asked[1]!.at })
})

t.test('leases: a claim that breaks its server is not made again', async (t) => {
  const { world, ask, asked } = stage(undefined, undefined, async () => {
    throw makeError('NOETL_ERR_INTERNAL', ['a fault'])
  })
  const asking = ask()
  await world.run(() => asking.failure !== undefined, 10_000)
  t.match(asking.failure, { code: 'NOETL_ERR_INTERNAL' })
  t.equal(asked.length, 1)
})

t.test('leases: a second delivery of a command that is being claimed has nothing to do', async (t) => {
  const { world, ask, asked } = stage(undefined, undefined, () => new Promise(() => {}))
  ask()
  await world.run(() => asked.length === 1, 1000)
  const second = ask()
  await world.run(() => second.answer !== undefined, 1000)
  t.same(second.answer, { refused: 'over' })
  t.equal(asked.length, 1)
})

t.test('leases: a claim is not made again once its worker stops', async (t) => {
  const { world, ask, asked } = stage(undefined, undefined, () => new Promise(() => {}))
  const stop = new AbortController()
  const asking = ask(stop.signal)
  await world.run(() => asked.length === 1, 1000)
  stop.abort()
  await world.run(() => asking.failure !== undefined, 30_000)
  t.match(asking.failure, { code: 'NOETL_ERR_SERVER_UNREACHABLE' })
  t.equal(asked.length, 1)
})

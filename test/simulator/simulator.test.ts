import t from 'tap'
import { simulate } from './run.ts'

/** Schedules that are run with all tests: always the same ones, and one that no one has seen before. */
const SEEDS = 200
/** These notice broken guards that the others do not: see `docs/mutations.md`. */
const NOTICING = [491, 1301, 830, 932]
const fresh = Number(process.env.NOETL_TEST_SEED ?? Math.floor(Date.now() % 1_000_000_000))

/** On a machine that others use too, some seconds may become minutes. */
const options = { timeout: 300_000 }

async function failing(seeds: number[]): Promise<string[]> {
  const faults: string[] = []
  for (const seed of seeds) {
    const simulated = await simulate(seed)
    faults.push(
      ...simulated.faults.slice(0, 5).map((fault) => `npm run simulate -- --seed ${seed}: ${fault}`),
    )
  }
  return faults
}

t.test(`simulator: ${SEEDS} schedules keep all promises`, options, async (t) => {
  t.same(await failing(Array.from({ length: SEEDS }, (_, i) => i + 1)), [])
})

t.test('simulator: schedules that notice what the others do not keep all promises', options, async (t) => {
  t.same(await failing(NOTICING), [])
})

t.test(`simulator: a schedule that is new (seed ${fresh}) keeps all promises`, options, async (t) => {
  t.same(await failing([fresh]), [])
})

t.test('simulator: answers that are lost use up hardly any attempts', options, async (t) => {
  const again: string[] = []
  let claims = 0
  for (let seed = 1; seed <= 30; seed++) {
    const { faults, kept } = await simulate(seed, { only: 'answers lost' })
    t.same(faults, [], `seed ${seed}`)
    for (const { event_type, meta } of kept.flatMap(({ events }) => events)) {
      if (event_type !== 'command.claimed') continue
      claims += 1
      if (meta?.attempt !== 1)
        again.push(`seed ${seed}: command ${meta?.command_id}: attempt ${meta?.attempt}`)
    }
  }
  // A lease that came with a report whose answers were all lost, one after the other, until it ran out.
  t.ok(again.length * 100 < claims, `${again.length} of ${claims} claims: ${again.join(', ')}`)
  t.same(
    again.filter((one) => !one.endsWith('attempt 2')),
    [],
  )
  t.ok(claims > 100)
})

t.test('simulator: a seed gives the same schedule every time, and another gives another', async (t) => {
  const [one, two] = [await simulate(7, { traced: true }), await simulate(7, { traced: true })]
  t.ok(one.trace.length > 50)
  t.same(one.trace, two.trace)
  t.strictNotSame((await simulate(8, { traced: true })).trace, one.trace)
})

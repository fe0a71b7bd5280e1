import t from 'tap'
import { simulate } from './run.ts'

/** Schedules that are run with all tests: always the same ones, and one that no one has seen before. */
const SEEDS = 200
/** Each of these once broke a promise; what was wrong is said in `docs/simulator.md`. */
const REMEMBERED = [2, 70, 1012, 1068, 1955, 2593, 2658, 103_362]
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

t.test('simulator: schedules that once broke a promise keep them', options, async (t) => {
  t.same(await failing(REMEMBERED), [])
})

t.test(`simulator: a schedule that is new (seed ${fresh}) keeps all promises`, options, async (t) => {
  t.same(await failing([fresh]), [])
})

t.test('simulator: a seed gives the same schedule every time, and another gives another', async (t) => {
  const [one, two] = [await simulate(7, { traced: true }), await simulate(7, { traced: true })]
  t.ok(one.trace.length > 50)
  t.same(one.trace, two.trace)
  t.strictNotSame((await simulate(8, { traced: true })).trace, one.trace)
})

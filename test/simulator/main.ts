// npm run simulate -- --runs 10000 [--seed N] [--trace | --brief]
import { parseArgs } from 'node:util'
import { simulate } from './run.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean' },
    brief: { type: 'boolean' },
  },
})
const first = values.seed === undefined ? Math.floor(Math.random() * 1_000_000_000) : Number(values.seed)
const runs = Number(values.runs ?? (values.seed === undefined ? 1000 : 1))
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(runs) || runs < 1) {
  console.error('npm run simulate -- [--runs <number>] [--seed <number>] [--trace | --brief]')
  process.exit(2)
}

const startedAt = performance.now()
const seconds = () => (performance.now() - startedAt) / 1000
let shownAt = 0
let steps = 0
let executions = 0
let still = 0
let done = 0
let failed = false
for (let seed = first; done < runs && !failed; seed++) {
  const run = await simulate(seed)
  done += 1
  steps += run.steps
  executions += run.executions
  still = Math.max(still, run.still)
  failed = run.faults.length > 0
  if ((failed && !values.brief) || values.trace) {
    const { trace } = await simulate(seed, { traced: true })
    console.log(trace.join('\n'))
  }
  for (const fault of run.faults.slice(0, 20)) console.log(`✗ seed ${seed}: ${fault}`)
  if (failed) console.log(`\nAgain: npm run simulate -- --seed ${seed}`)
  if (seconds() - shownAt > 5 || done === runs || failed) {
    shownAt = seconds()
    const rate = (done / seconds()).toFixed(1)
    console.log(
      `${done} of ${runs} runs, ${rate} runs/s, ${executions} executions, ${steps} events, longest still ${still.toFixed(1)} s`,
    )
  }
}
process.exitCode = failed ? 1 : 0

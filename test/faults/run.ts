// Does harm to real processes under load and writes what it cost to docs/fault-matrix.md: `npm run faults`, or
// `npm run faults -- --only kill-worker,duplicate` for some of its rows.
import { parseArgs } from 'node:util'
import { FAULTS } from './faults.ts'
import { EXECUTIONS, forgetMeasured, lineOf, PER_SECOND, writeMatrix } from './matrix.ts'
import { trial } from './trial.ts'

const { values } = parseArgs({ options: { only: { type: 'string' } } })
const names = values.only?.split(',')
const chosen = FAULTS.filter(({ name }) => names?.includes(name) ?? true)
if (chosen.length === 0 || (names !== undefined && chosen.length < names.length))
  throw new Error(`--only names no fault, or one that is not there: ${FAULTS.map(({ name }) => name)}`)

if (names === undefined) await forgetMeasured()
for (const fault of chosen) {
  const teardowns: (() => unknown)[] = []
  try {
    const figures = await trial({ teardown: (fn) => void teardowns.push(fn) }, fault, {
      servers: 2,
      workers: 3,
      executions: EXECUTIONS,
      perSecond: PER_SECOND,
      ownPostgres: true,
      patienceMs: 120_000,
    })
    console.log(lineOf(fault.name, figures))
    for (const note of figures.notes.slice(0, 20)) console.log(`    ${note}`)
    if (figures.lost + figures.stuck + figures.doubled + figures.wrong > 0) process.exitCode = 1
    await writeMatrix({ name: fault.name, figures })
  } finally {
    for (const teardown of teardowns.reverse()) await teardown()
  }
}

// Does harm to real processes under load and writes what it cost to docs/fault-matrix.md: `npm run faults`, or
// `npm run faults -- --only kill-worker,duplicate` for some of it, which writes nothing.
import { parseArgs } from 'node:util'
import { FAULTS } from './faults.ts'
import { lineOf, writeMatrix } from './matrix.ts'
import type { Figures } from './measure.ts'
import { trial } from './trial.ts'

const { values } = parseArgs({ options: { only: { type: 'string' } } })
const names = values.only?.split(',')
const chosen = FAULTS.filter(({ name }) => names?.includes(name) ?? true)
if (chosen.length === 0 || (names !== undefined && chosen.length < names.length))
  throw new Error(`--only names no fault, or one that is not there: ${FAULTS.map(({ name }) => name)}`)

const measured: { title: string; name: string; figures: Figures }[] = []
for (const fault of chosen) {
  const teardowns: (() => unknown)[] = []
  try {
    const figures = await trial({ teardown: (fn) => void teardowns.push(fn) }, fault, {
      servers: 2,
      workers: 3,
      executions: 240,
      perSecond: 16,
      ownPostgres: true,
      patienceMs: 120_000,
    })
    measured.push({ title: fault.title, name: fault.name, figures })
    console.log(lineOf(fault.name, figures))
    for (const note of figures.notes.slice(0, 20)) console.log(`    ${note}`)
    if (figures.lost + figures.stuck + figures.doubled + figures.wrong > 0) process.exitCode = 1
    if (names === undefined) await writeMatrix(measured)
  } finally {
    for (const teardown of teardowns.reverse()) await teardown()
  }
}

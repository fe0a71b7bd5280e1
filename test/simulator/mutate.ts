// npm run mutate [-- <part of a name>]: breaks each guard in a copy of the sources, and shows what notices.
import { spawn } from 'node:child_process'
import { chmod, cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startPostgres } from '../../cli/local/postgres.ts'
import { MUTATIONS, type Mutation } from './mutations.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COPIED = ['core', 'cli', 'test', 'package.json', 'tsconfig.json']
/** Schedules that may pass before a guard counts as not watched. */
const RUNS = 2000

const folder = await mkdtemp(join(tmpdir(), 'noetl-mutate-'))
await chmod(folder, 0o755)
const copy = join(folder, 'sources')
const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
let missed = 0
try {
  const skipped = /node_modules|\/dist(\/|$)/
  for (const name of COPIED) {
    await cp(join(ROOT, name), join(copy, name), {
      recursive: true,
      filter: (source) => !skipped.test(source.slice(ROOT.length)),
    })
  }
  await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  const wanted = MUTATIONS.filter(({ name }) => name.includes(process.argv[2] ?? ''))
  for (const { file, find, name } of wanted) {
    const places = (await readFile(join(copy, file), 'utf8')).split(find).length - 1
    if (places !== 1) throw new Error(`"${name}": ${file} has ${places} times ${JSON.stringify(find)}`)
  }
  for (const by of new Set(wanted.map((mutation) => mutation.by))) {
    const { noticed, how } = await check(by)
    if (noticed) throw new Error(`${by} fails with nothing broken: ${how}`)
  }
  console.log(table(['broken on purpose', 'file', 'noticed by']))
  console.log(table(['---', '---', '---']))
  for (const mutation of wanted) {
    const { noticed, how } = await mutated(mutation)
    if (!noticed) missed += 1
    console.log(table([mutation.name, `\`${mutation.file}\``, noticed ? how : '**nothing**']))
  }
  console.log(`\n${wanted.length - missed} of ${wanted.length} are noticed.`)
} finally {
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
}
process.exitCode = missed > 0 ? 1 : 0

interface Outcome {
  noticed: boolean
  how: string
}

async function mutated({ file, find, replace, by }: Mutation): Promise<Outcome> {
  const path = join(copy, file)
  const before = await readFile(path, 'utf8')
  await writeFile(
    path,
    before.replace(find, () => replace),
  )
  try {
    return await check(by)
  } finally {
    await writeFile(path, before)
  }
}

async function check(by: string): Promise<Outcome> {
  const simulator = by === 'simulator'
  const args = simulator ? ['test/simulator/main.ts', '--seed', '1', '--runs', String(RUNS), '--brief'] : [by]
  const { status, output } = await run(args)
  if (status === 0) return { noticed: false, how: '' }
  const seed = /✗ seed (\d+): (?:at [\d.]+ s: )?([^\n]{0,200})/.exec(output)
  const failed = /^\s*not ok \d+ - (.*?)(?: # time.*)?$/m.exec(output)
  if (seed !== null) return { noticed: true, how: `seed ${seed[1]}: ${cell(seed[2]!)}` }
  if (failed !== null && !simulator) return { noticed: true, how: `\`${by}\`` }
  return { noticed: true, how: `${by} broke off: ${cell(output.trim().split('\n').at(-1) ?? '')}` }
}

function run(args: string[]): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--conditions=@noetl/source', '--import=tsx', ...args], {
      cwd: copy,
      env: { ...process.env, NOETL_TEST_POSTGRES_URL: postgres.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => {
        output = (output + text).slice(-1_000_000)
      })
    }
    child.on('exit', (code) => resolve({ status: code ?? 1, output }))
  })
}

function table(cells: string[]): string {
  return `| ${cells.join(' | ')} |`
}

/** Text as a cell of a table holds it: in one line, and without ids, which say nothing. */
function cell(text: string): string {
  const line = text.replace(/\d{15,}/g, '…').replace(/[|\n]/g, ' ')
  return line.length > 140 ? `${line.slice(0, 140)}…` : line
}

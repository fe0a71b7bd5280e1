// Runs lint, types and all tests, on one Postgres that all test files share, each in a database of its own.
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startPostgres } from '../cli/local/postgres.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const files = process.argv.slice(2)
let passed = 0
let failed = 0

process.chdir(ROOT)
if (files.length === 0) {
  await check('lint', 'node_modules/@biomejs/biome/bin/biome', ['check', '--error-on-warnings', '.'])
  await check('types', 'node_modules/typescript/bin/tsc', ['--noEmit'])
}
await runTests()
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

async function check(name: string, script: string, args: string[]): Promise<void> {
  const { status, output } = await run(script, args)
  if (status === 0) {
    passed += 1
    console.log(`✓ ${name}`)
  } else {
    failed += 1
    console.log(`${output}\n✗ ${name}`)
  }
}

async function runTests(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'noetl-test-shared-'))
  // As root, Postgres runs as another user, who must get through.
  await chmod(dataDir, 0o755)
  const postgres = await startPostgres({ dataDir })
  try {
    const args = ['run', '--reporter=tap', '--disable-coverage', '--allow-empty-coverage', ...files]
    const env = { ...process.env, NOETL_TEST_POSTGRES_URL: postgres.url }
    const { status, output } = await run('node_modules/tap/dist/esm/run.mjs', args, env, report())
    const counts = /# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?/.exec(output)
    passed += Number(counts?.[2] ?? 0)
    failed += Number(counts?.[3] ?? 0)
    if (status !== 0 && !counts?.[3]) {
      console.log(output.slice(-4000))
      failed += 1
    }
  } finally {
    await postgres.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Shows files as they end, and all that a failing one says. */
function report(): (line: string) => void {
  let kept: string[] = []
  return (line) => {
    kept.push(line)
    const file = /^(not ok|ok) \d+ - (\S+)(?: # time=(\S+))?/.exec(line)
    if (file === null) return
    console.log(`${file[1] === 'ok' ? '✓' : '✗'} ${file[2]} ${file[3] ?? ''}`)
    if (file[1] !== 'ok') console.log(failures(kept).join('\n'))
    kept = []
  }
}

/** Of the lines of a file, those of its failing assertions with what they say. */
function failures(lines: string[]): string[] {
  const shown: string[] = []
  let depth = -1
  for (const line of lines) {
    const indent = line.search(/\S/)
    if (/^\s*not ok/.test(line)) depth = indent
    else if (depth >= 0 && indent <= depth && /^\s*(ok|#|\d)/.test(line)) depth = -1
    if (depth >= 0) shown.push(line)
  }
  return shown.slice(0, 200)
}

function run(
  script: string,
  args: string[],
  env: NodeJS.ProcessEnv = process.env,
  onLine?: (line: string) => void,
): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let rest = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => {
        output = (output + text).slice(-4_000_000)
        const lines = (rest + text).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) onLine?.(line)
      })
    }
    child.on('exit', (code) => resolve({ status: code ?? 1, output }))
  })
}

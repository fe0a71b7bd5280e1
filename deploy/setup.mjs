// Sets up a fresh checkout and then runs it or its tests: `node deploy/setup.mjs start|test`. Plain JavaScript
// with nothing but Node's own modules, because it runs before anything is installed, on any Node from 20.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const STATE = join(ROOT, '.noetl')
const NODE = join(ROOT, 'node_modules', 'node', 'bin', 'node')
const SOURCE_FLAGS = ['--conditions=@noetl/source', '--import=tsx']

const [what = 'start', ...rest] = process.argv.slice(2)
process.chdir(ROOT)
if (what !== 'start' && what !== 'test') {
  stop(`"${what}" is unknown`, 'node deploy/setup.mjs start   or   node deploy/setup.mjs test')
}

checkNode()
installPackages()
checkPinnedNode()
checkPython()
getOthers()
if (what === 'start') run(NODE, [...SOURCE_FLAGS, 'cli/bin/dev.js', 'dev', ...rest])
else run(NODE, [...SOURCE_FLAGS, 'test/run.ts', ...rest])

function checkNode() {
  const major = Number(process.versions.node.split('.')[0])
  if (major < 20)
    stop(`this is Node ${process.versions.node}, and 20 or newer is needed`, 'see https://nodejs.org')
}

/** Installs when the lock file is not the one that was installed last. */
function installPackages() {
  const lock = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex')
  const stamp = join('node_modules', '.noetl-installed')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return
  say('installing packages (npm ci); this takes a minute the first time')
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (npm.error) stop(`npm could not be started: ${npm.error.message}`, 'install npm, which comes with Node')
  if (npm.status !== 0) stop('npm ci failed, for the reason above', 'npm ci')
  // tap builds its own class from its configured plugins; without this its first run fails.
  const tap = spawnSync(NODE, ['node_modules/tap/dist/esm/run.mjs', 'build'], {
    stdio: 'pipe',
    encoding: 'utf8',
  })
  if (tap.status !== 0)
    stop(`tap could not be built: ${tap.stderr || tap.error?.message || ''}`, 'npx tap build')
  writeFileSync(stamp, lock)
  done('packages are installed')
}

function checkPinnedNode() {
  const answer = spawnSync(NODE, ['--version'], { encoding: 'utf8' })
  if (answer.status !== 0) {
    stop(
      'the Node that this repository pins is not there: its install script did not run',
      'npm rebuild node --foreground-scripts',
    )
  }
  done(`Node ${answer.stdout.trim()} (pinned)`)
}

function checkPython() {
  const python = process.env.NOETL_PYTHON || 'python3'
  const answer = spawnSync(python, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], {
    encoding: 'utf8',
  })
  const version = answer.stdout?.trim() ?? ''
  const [major, minor] = version.split('.').map(Number)
  if (answer.status !== 0 || !(major > 3 || (major === 3 && minor >= 9))) {
    stop(
      version === ''
        ? `"${python}" does not run`
        : `"${python}" is Python ${version}, and 3.9 or newer is needed`,
      'install Python 3.9 or newer (Debian, Ubuntu: apt-get install python3), or name one with NOETL_PYTHON',
    )
  }
  done(`Python ${version}`)
}

function getOthers() {
  mkdirSync(STATE, { recursive: true })
  const answer = spawnSync(NODE, [...SOURCE_FLAGS, 'deploy/get.ts', STATE], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  if (answer.status !== 0) process.exit(1)
  for (const line of answer.stdout.trim().split('\n')) done(line)
}

/** Runs to the end with our terminal; signals go on to it, and its end is ours. */
function run(command, args) {
  const child = spawn(command, args, { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // Ctrl-C reaches the child from the terminal by itself.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143)
  })
}

function say(line) {
  process.stdout.write(`… ${line}\n`)
}

function done(line) {
  process.stdout.write(`✓ ${line}\n`)
}

function stop(why, next) {
  process.stderr.write(`✗ ${why}\n  Type: ${next}\n`)
  process.exit(1)
}

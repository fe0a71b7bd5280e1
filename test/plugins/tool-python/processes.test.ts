import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Json, Tool } from '@noetl/core'
import t from 'tap'
import { type PythonToolOptions, pythonTool } from '../../../plugins/tool-python/tool.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'

function ownTool(t: { teardown(fn: () => unknown): void }, options: PythonToolOptions = {}): Tool {
  const tool = pythonTool(options)
  t.teardown(() => tool.close?.())
  return tool
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Children of every kind: in the group of the call, in another session, and one that nobody is the parent of. */
const STARTS = `import json, os, subprocess, sys, time
kinds = [
  subprocess.Popen(["sleep", "600"]).pid,
  subprocess.Popen(["sleep", "600"], start_new_session=True).pid,
  int(subprocess.check_output("setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!", shell=True)),
]
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    os.write(write, str(pid).encode())
    os._exit(0)
kinds.append(int(os.read(read, 20)))
kinds.append(os.getpid())
`

t.test('python processes: what a call leaves behind ends with it, wherever it went', async (t) => {
  const tool = ownTool(t)
  for (const ending of [
    'result = kinds',
    'print(json.dumps(kinds))\nos._exit(1)',
    'print(json.dumps(kinds))\nos.kill(os.getpid(), 9)',
  ]) {
    let pids: number[] = []
    const log = {
      debug() {},
      warn() {},
      error() {},
      info: (facts: object) => (pids = JSON.parse((facts as { line: string }).line)),
    }
    const given = await tool.run({ code: STARTS + ending }, toolCall({ log })).catch(() => undefined)
    if (given !== undefined) pids = given as number[]
    t.equal(pids.length, 5, ending)
    await until('all to be gone', () => pids.every((pid) => !alive(pid)))
  }
})

t.test('python processes: a deadline ends all that the code started, and no other call', async (t) => {
  const tool = ownTool(t)
  const other = tool.run(
    { code: `${STARTS}time.sleep(4)\nresult = [os.kill(pid, 0) for pid in kinds]` },
    toolCall(),
  )
  let pids: number[] = []
  const log = {
    debug() {},
    warn() {},
    error() {},
    info: (facts: object) => (pids = JSON.parse((facts as { line: string }).line)),
  }
  const error = await toolFailure(
    tool.run({ code: `${STARTS}print(json.dumps(kinds))\ntime.sleep(600)`, timeout: 2 }, toolCall({ log })),
  )
  t.equal(error.kind, 'timeout')
  t.equal(pids.length, 5)
  await until('all to be gone', () => pids.every((pid) => !alive(pid)))
  t.same(await other, [null, null, null, null, null])
})

t.test('python processes: when the worker is killed, all of its python processes end', async (t) => {
  const worker = spawn(
    process.execPath,
    [
      '--conditions=@noetl/source',
      '--import=tsx',
      fileURLToPath(new URL('./fixtures/worker.ts', import.meta.url)),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = new Promise((resolve) => worker.once('exit', resolve))
  t.teardown(async () => {
    worker.kill('SIGKILL')
    await exited
  })
  const pids: number[] = []
  createInterface(worker.stdout).on('line', (line) => pids.push(...JSON.parse(line)))
  await until('both calls to run', () => pids.length === 8)
  t.ok(pids.every(alive))
  worker.kill('SIGKILL')
  await until('all to be gone', () => pids.every((pid) => !alive(pid)))
})

t.test(
  'python processes: an interpreter that is killed is told, and replaced for the next call',
  async (t) => {
    const tool = ownTool(t)
    let pid = 0
    const log = {
      debug() {},
      warn() {},
      error() {},
      info: (facts: object) => (pid = Number((facts as { line: string }).line)),
    }
    const other = tool.run(
      { code: 'import os, time\nprint(os.getpid())\ntime.sleep(600)' },
      toolCall({ log }),
    )
    other.catch(() => {})
    await until('the other to run', () => pid > 0)
    const error = await toolFailure(
      tool.run({ code: 'import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(600)' }, toolCall()),
    )
    t.match(error.message, /interpreter .* ended by signal SIGKILL/)
    t.equal(error.retryable, true)
    t.match(await toolFailure(other), { retryable: true })
    await until('the other to be gone', () => !alive(pid))
    t.equal(await tool.run({ code: 'result = 1' }, toolCall()), 1)
  },
)

t.test('python processes: a copy that the code makes of its process answers nothing', async (t) => {
  const tool = ownTool(t)
  const code =
    'import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nresult = "original" if pid else "copy"'
  t.equal(await tool.run({ code }, toolCall()), 'original')
  const failing =
    'import os\npid = os.fork()\nif pid == 0: raise SystemExit(3)\nresult = os.waitpid(pid, 0)[0] == pid'
  t.equal(await tool.run({ code: failing }, toolCall()), true)
  const pool = `from concurrent.futures import ProcessPoolExecutor
def double(n): return 2 * n
with ProcessPoolExecutor(2) as pool:
    result = list(pool.map(double, [1, 2, 3]))`
  t.same(await tool.run({ code: pool, timeout: 60 }, toolCall()), [2, 4, 6])
})

t.test('python processes: what code left open is written and what it made for a while removed', async (t) => {
  const folder = await testFolder(t, 'python-left')
  const tool = ownTool(t)
  const code = `import atexit, tempfile
left = open(path, "w")
left.write("all of it")
kept = tempfile.TemporaryDirectory(dir=folder)
atexit.register(print, "the last word")
result = kept.name`
  const lines: string[] = []
  const log = {
    debug() {},
    warn() {},
    error() {},
    info: (facts: object) => lines.push((facts as { line: string }).line),
  }
  const path = join(folder, 'left')
  await tool.run({ code, input: { path, folder } }, toolCall({ log }))
  t.equal(await readFile(path, 'utf8'), 'all of it')
  t.same(await readdir(folder), ['left'])
  t.same(lines, ['the last word'])
})

t.test('python processes: large arguments and results pass while others run', async (t) => {
  const tool = ownTool(t)
  const text = 'é'.repeat(3_000_000)
  const results = await Promise.all(
    [0, 1, 2, 3].map((n) => tool.run({ code: 'result = [n, text]', input: { n, text } }, toolCall())),
  )
  t.same(
    results,
    [0, 1, 2, 3].map((n) => [n, text]),
  )
})

t.test('python preload: modules are imported once, ahead of the calls', async (t) => {
  const folder = await testFolder(t, 'python-preload')
  await mkdir(join(folder, 'numpy'))
  await writeFile(join(folder, 'heavy.py'), 'import os\nprint("imported")\npid = os.getpid()')
  await writeFile(join(folder, 'numpy', '__init__.py'), 'from . import random')
  await writeFile(
    join(folder, 'numpy', 'random.py'),
    'import os\nstate = os.urandom(8)\ndef seed():\n    global state\n    state = os.urandom(8)',
  )
  const { PYTHONPATH } = process.env
  // Before what is installed: the real numpy may be.
  process.env.PYTHONPATH = folder
  const tool = ownTool(t, { preload: ['heavy', 'numpy'] })
  if (PYTHONPATH === undefined) delete process.env.PYTHONPATH
  else process.env.PYTHONPATH = PYTHONPATH
  const code = `import sys
early = "heavy" in sys.modules
import heavy, numpy, os
result = [early, heavy.pid == os.getppid(), numpy.random.state.hex()]`
  const one = (await tool.run({ code }, toolCall())) as Json[]
  const two = (await tool.run({ code }, toolCall())) as Json[]
  t.same(
    [one.slice(0, 2), two.slice(0, 2)],
    [
      [true, true],
      [true, true],
    ],
  )
  t.not(one[2], two[2], 'the random numbers of numpy begin anew')
  const wrong = ownTool(t, { preload: ['no_such_module'] })
  t.match(
    (await toolFailure(wrong.run({ code: 'result = 1' }, toolCall()))).message,
    /"no_such_module" of the option preload .* cannot be imported: ModuleNotFoundError/,
  )
})

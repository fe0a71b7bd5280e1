import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CallAborted, Decimal, type Json, type JsonObject, type Tool } from '@noetl/core'
import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { type PythonToolOptions, pythonTool } from '../../../plugins/tool-python/tool.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'

/** One tool for the plain cases; those that look at processes make their own. */
const shared = pythonTool()
t.teardown(() => shared.close?.())

const run = (code: string, input: JsonObject = {}, more: JsonObject = {}) =>
  shared.run({ code, input, ...more }, toolCall())
const fail = (code: string, input: JsonObject = {}, more: JsonObject = {}) =>
  toolFailure(run(code, input, more))

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

for (const { name, run } of conformanceCases({
  makeTool: () => pythonTool(),
  works: { input: { code: 'result = a + 1', input: { a: 1 } }, check: (result) => t.equal(result, 2) },
  fails: { input: { code: 'raise ValueError("no")' }, kind: 'tool_error' },
  slow: { input: { code: 'import time; time.sleep(60)' } },
  refused: { input: { code: 7 } },
})) {
  t.test(`python conforms: ${name}`, run)
}

const FORMS: [string, string, JsonObject, Json][] = [
  ['statements that assign result', 'result = {"n": n * 2}', { n: 2 }, { n: 4 }],
  ['nothing assigned gives null', 'x = 1', {}, null],
  [
    'a name that is an argument can be assigned from itself',
    "table = table or 'x'\nresult = table",
    { table: null },
    'x',
  ],
  [
    'functions and imports at the top see each other',
    'import json\ndef f(): return json.dumps(g())\ndef g(): return [1]\nresult = f()',
    {},
    '[1]',
  ],
  ['a top-level return', 'if n > 1:\n    return "big"\nreturn "small"', { n: 2 }, 'big'],
  ['a top-level return whose argument is assigned', 'n = n + 1\nreturn n', { n: 2 }, 3],
  [
    'a top-level return that is not reached, with result assigned',
    'if n > 9:\n    return 1\nresult = 5',
    { n: 2 },
    5,
  ],
  ['a top-level return in code that awaits', 'import asyncio\nawait asyncio.sleep(0)\nreturn n', { n: 2 }, 2],
  [
    'a top-level return after an import from the future',
    '"""Text."""\nfrom __future__ import annotations\nimport json\ndef f(x: Unknown) -> None: return x\nreturn [f(n), f.__annotations__["x"]]',
    { n: 2 },
    [2, 'Unknown'],
  ],
  ['main by parameter names', 'def main(b, a): return [a, b]', { a: 1, b: 2 }, [1, 2]],
  ['main with defaults', 'def main(a, c=5): return [a, c]', { a: 1, b: 2 }, [1, 5]],
  [
    'main with **kwargs gets all',
    'def main(a, **rest): return [a, rest]',
    { a: 1, b: 2, c: 3 },
    [1, { b: 2, c: 3 }],
  ],
  [
    'main with one parameter that is no argument gets them all',
    'def main(data): return data',
    { a: 1 },
    { a: 1 },
  ],
  ['main(input_data) gets all arguments', 'def main(input_data): return input_data["a"]', { a: 1 }, 1],
  [
    'main(input_data) gets the argument of that name',
    'def main(input_data): return input_data',
    { input_data: [7], b: 1 },
    [7],
  ],
  ['main may be async', 'async def main(a):\n    return a', { a: 1 }, 1],
  ['main is not called when result was assigned', 'result = 1\ndef main(): return 2', {}, 1],
  [
    'main is called though an argument is named result',
    'def main(result): return result + 1',
    { result: 1 },
    2,
  ],
  ['an argument named result is the result of code that leaves it', 'x = 1', { result: 4 }, 4],
  ['args is the dict of all', 'result = args', { a: 1, 'not a name': 2 }, { a: 1, 'not a name': 2 }],
  ['input_data is all arguments without one of that name', 'result = input_data', { a: 1 }, { a: 1 }],
  ['exit(0) gives what was assigned', 'result = 3\nimport sys\nsys.exit(0)', {}, 3],
  [
    'dataclasses work',
    'from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nresult = P(2)',
    {},
    { x: 2 },
  ],
  ['the main guard runs', 'if __name__ == "__main__":\n    result = 1', {}, 1],
]
for (const [name, code, input, expected] of FORMS) {
  t.test(`python code: ${name}`, async (t) => t.same(await run(code, input), expected))
}

const VALUES: [string, Json][] = [
  ['[None, True, 1, 1.5, "é"]', [null, true, 1, 1.5, 'é']],
  ['2**53', 9007199254740992n],
  ['-(2**70)', -1180591620717411303424n],
  ['[1e18, float(2**60), -1e300]', [1e18, 2 ** 60, -1e300]],
  ['10**1000', `1${'0'.repeat(1000)}`],
  ['__import__("decimal").Decimal("0.1234567890123456789")', new Decimal('0.1234567890123456789')],
  [
    '{"deep": [__import__("decimal").Decimal("12345678901234567890.50")]}',
    { deep: [new Decimal('12345678901234567890.50')] },
  ],
  ['__import__("decimal").Decimal("1E+999999999")', '1E+999999999'],
  ['__import__("decimal").Decimal("1E-999999999")', '1E-999999999'],
  ['__import__("decimal").Decimal("1E+3")', 1000],
  ['[__import__("decimal").Decimal("NaN"), "number-x:5"]', [null, 'number-x:5']],
  ['__import__("decimal").Decimal("1.50")', 1.5],
  ['__import__("decimal").Decimal("3.00")', 3],
  ['__import__("datetime").datetime(2026, 1, 2, 3, 4, 5)', '2026-01-02T03:04:05'],
  ['__import__("datetime").date(2026, 1, 2)', '2026-01-02'],
  ['__import__("uuid").UUID(int=1)', '00000000-0000-0000-0000-000000000001'],
  ['(1, 2)', [1, 2]],
  ['sorted({3, 1})', [1, 3]],
  ['b"hi"', 'aGk='],
  ['[float("nan"), float("inf")]', [null, null]],
  ['{1: "a", None: "b", True: "c"}', { '1': 'c', null: 'b' }],
  ['__import__("pathlib").Path("/a/b")', '/a/b'],
  ['(n for n in range(3))', [0, 1, 2]],
  ['__import__("enum").Enum("E", "A B").B', 2],
]
for (const [expression, expected] of VALUES) {
  t.test(`python result: ${expression}`, async (t) => t.same(await run(`result = ${expression}`), expected))
}

const NUMBERS: [name: string, code: string, input: JsonObject, expected: Json][] = [
  [
    'an integer beyond 2^53 comes as an int',
    'result = [x + 1, type(x).__name__]',
    { x: 2n ** 60n + 1n },
    [2n ** 60n + 2n, 'int'],
  ],
  [
    'a whole float beyond 2^53 comes as a float',
    'result = [x, y, type(x).__name__]',
    { x: 1e18, y: 1e300 },
    [1e18, 1e300, 'float'],
  ],
  [
    'a number with many digits goes through as it is',
    'result = x',
    { x: new Decimal('12345678901234567890.123456789') },
    new Decimal('12345678901234567890.123456789'),
  ],
  [
    'a number with many digits computes as a float and reads as its digits',
    'import decimal, copy, pickle\nresult = [isinstance(x, float), x * 2, x < 1, f"{x}", f"{x:.2f}", decimal.Decimal(str(x)) * 10, copy.deepcopy([x]), pickle.loads(pickle.dumps(x)) == float(x)]',
    { x: new Decimal('0.1234567890123456789') },
    [
      true,
      0.24691357802469135,
      true,
      '0.1234567890123456789',
      '0.12',
      new Decimal('1.2345678901234567890'),
      [new Decimal('0.1234567890123456789')],
      true,
    ],
  ],
]
for (const [name, code, input, expected] of NUMBERS) {
  t.test(`python numbers: ${name}`, async (t) => t.same(await run(code, input), expected))
}

t.test('python numbers: an integer of more digits than Python prints is an error that says so', async (t) => {
  t.match(await fail('result = 10**5000'), { code: 'ValueError', message: /4300/ })
})

t.test('python libs: aliases, from-imports and lists become imports', async (t) => {
  t.equal(await run('result = j.dumps([1])', {}, { libs: { j: 'json' } }), '[1]')
  t.equal(
    await run('result = dt(2026, 1, 1).year', {}, { libs: { dt: { from: 'datetime', import: 'datetime' } } }),
    2026,
  )
  t.equal(await run('result = os.path.join("a", "b")', {}, { libs: ['os', 'json'] }), 'a/b')
  t.match(await fail('result = 1', {}, { libs: { x: 'no_such_module' } }), { code: 'ModuleNotFoundError' })
})

t.test('python script: code from a file or inline runs as the code would', async (t) => {
  const folder = await testFolder(t, 'python-script')
  const uri = join(folder, 'sum.py')
  await writeFile(uri, 'def main(a, b):\n    return [a + b, "{{ not rendered }}"]')
  const go = (fields: JsonObject) => shared.run(fields, toolCall())
  t.same(await go({ script: { uri, source: { type: 'file' } }, input: { a: 1, b: 2 } }), [
    3,
    '{{ not rendered }}',
  ])
  t.equal(await go({ script: { source: { code: 'result = a' } }, input: { a: 1 } }), 1)
  t.equal(await go({ code: 'result = 2', script: { uri: `${uri}.no` } }), 2)
  t.match(await toolFailure(go({ script: { uri: `${uri}.no` } })), { kind: 'not_found' })
  t.match(await toolFailure(go({ script: { source: { code: '\n' } } })), { kind: 'schema' })
  t.match(await toolFailure(go({})), { kind: 'schema', message: /"code", or in what "script" names/ })
})

t.test('python script: one that names the context is given it', async (t) => {
  const call = toolCall({ context: () => ({ execution_id: '42' }) })
  const script = { source: { code: 'result = context["execution_id"]' } }
  t.equal(await shared.run({ script }, call), '42')
})

t.test('python context: given to code that names it, with its values', async (t) => {
  const call = toolCall({ context: () => ({ execution_id: '42', ctx: { a: 1 } }) })
  t.same(await shared.run({ code: 'result = [context.get("execution_id"), variables["a"]]' }, call), [
    '42',
    1,
  ])
})

t.test('python errors: the exception, its line and a traceback of the own code only', async (t) => {
  const error = await fail('def f():\n    return 1 / 0\n\nf()')
  t.equal(error.message, 'ZeroDivisionError: division by zero (line 2)')
  t.equal(error.kind, 'tool_error')
  t.equal(error.retryable, false)
  const { exception, traceback } = error.facets.py as { exception: string; traceback: string }
  t.equal(exception, 'ZeroDivisionError')
  t.match(traceback, /line 2, in f\n {4}return 1 \/ 0/)
  t.notMatch(traceback, /runner\.py/)
})

t.test('python errors: a syntax error names its line, a bare assert its source', async (t) => {
  t.equal((await fail('x = 1\ny = (')).message.slice(0, 11), 'SyntaxError')
  t.match((await fail('x = 1\nz z')).message, /line 2/)
  t.equal((await fail('x = 1\nassert x == 2')).message, 'AssertionError: assert x == 2 (line 2)')
  t.match((await fail('raise SystemExit(3)')).message, /SystemExit: 3/)
  t.match(
    (await fail('def main(a, b): return 1', { a: 1 })).message,
    /main\(\) wants b, .* its arguments are: a/,
  )
  t.match((await fail('a = []\na.append(a)\nresult = a')).message, /nested deeper/)
  t.match((await fail('def f(): return f()\nf()')).message, /RecursionError/)
})

t.test('python: the environment holds no variable of the gateway', async (t) => {
  process.env.NOETL_TEST_SECRET = 'hush'
  t.teardown(() => delete process.env.NOETL_TEST_SECRET)
  const tool = ownTool(t)
  const names = (await tool.run({ code: 'import os\nresult = sorted(os.environ)' }, toolCall())) as string[]
  t.notOk(names.includes('NOETL_TEST_SECRET'))
  t.ok(names.includes('PATH'))
})

t.test('python output: prints, and what child processes write, go to the log', async (t) => {
  const lines: unknown[] = []
  const log = {
    debug() {},
    info: (facts: object) => lines.push(facts),
    warn: (facts: object) => lines.push(facts),
    error() {},
  }
  const tool = ownTool(t)
  await tool.run(
    { code: 'import sys\nprint("one")\nprint("two", end="")\nsys.stderr.write("three")' },
    toolCall({ log }),
  )
  t.same(lines, [
    { stream: 'stdout', line: 'one' },
    { stream: 'stdout', line: 'two' },
    { stream: 'stderr', line: 'three' },
  ])
  lines.length = 0
  await tool.run(
    {
      code: 'import os, subprocess\nprint("first")\nsubprocess.run(["echo", "from below"])\nos.write(1, b"\\xff raw")\nos.write(2, "é".encode())',
    },
    toolCall({ log }),
  )
  t.same(lines, [
    { stream: 'stdout', line: 'first' },
    { stream: 'stdout', line: 'from below' },
    { stream: 'stdout', line: '\ufffd raw' },
    { stream: 'stderr', line: 'é' },
  ])
})

t.test('python output: more than its limit is dropped and said', async (t) => {
  const lines: { line?: string }[] = []
  const log = {
    debug() {},
    info: (facts: object) => lines.push(facts),
    warn: (facts: object) => lines.push({ ...facts, line: 'DROPPED' }),
    error() {},
  }
  const tool = ownTool(t, { maxLogBytes: 1000 })
  for (const code of [
    'for i in range(100000): print("x" * 100)',
    'import subprocess\nsubprocess.run("yes | head -c 10000000", shell=True)',
    'print("é" * 1000000, end="")',
  ]) {
    lines.length = 0
    await tool.run({ code }, toolCall({ log }))
    t.ok(lines.reduce((sum, { line }) => sum + line!.length, 0) <= 1007)
    t.equal(lines.filter(({ line }) => line === 'DROPPED').length, 1)
  }
})

t.test('python result: one beyond the limit is an error that says what to do', async (t) => {
  const tool = ownTool(t, { maxResultBytes: 1000 })
  const fails = (code: string) => toolFailure(tool.run({ code }, toolCall()))
  for (const code of ['"x" * 999', '[1] * 500', '{"a": (1 for _ in range(500))}', '"\\0" * 200'])
    t.match((await fails(`result = ${code}`)).message, /more than 1000 bytes as JSON: store it elsewhere/)
  t.equal(await tool.run({ code: 'result = "x" * 998' }, toolCall()), 'x'.repeat(998))
  t.same(await tool.run({ code: 'result = (1 for _ in range(499))' }, toolCall()), Array(499).fill(1))
})

t.test('python deadline: kills the process with all it started', async (t) => {
  const tool = ownTool(t)
  const pids: number[] = []
  const log = {
    debug() {},
    warn() {},
    error() {},
    info: (facts: object) => pids.push(Number((facts as { line: string }).line)),
  }
  const code = `import os, subprocess, time
child = subprocess.Popen(["sleep", "600"])
print(child.pid)
print(os.getpid())
time.sleep(600)`
  await tool.run({ code: 'import subprocess' }, toolCall())
  const error = await toolFailure(tool.run({ code, timeout: 2 }, toolCall({ log })))
  t.equal(error.kind, 'timeout')
  t.equal(error.retryable, true)
  t.equal(pids.length, 2)
  await until('both processes to be gone', () => pids.every((pid) => !alive(pid)))
  t.equal(await tool.run({ code: 'result = 1' }, toolCall()), 1)
})

t.test('python abort: the reason comes back and the process is gone', async (t) => {
  const tool = ownTool(t)
  const controller = new AbortController()
  let pid = 0
  const log = {
    debug() {},
    warn() {},
    error() {},
    info: (facts: object) => {
      pid = Number((facts as { line: string }).line)
    },
  }
  const running = tool.run(
    { code: 'import os, time\nprint(os.getpid())\ntime.sleep(600)' },
    toolCall({ signal: controller.signal, log }),
  )
  running.catch(() => {})
  await until('the code to run', () => pid > 0)
  const reason = new CallAborted('cancelled', 'enough')
  controller.abort(reason)
  await t.rejects(running, reason)
  await until('the process to be gone', () => !alive(pid))
})

t.test('python: calls run side by side, each in a process of its own', async (t) => {
  const tool = ownTool(t)
  const code = 'import os\nresult = os.getpid()\nopen(fifo, mode).close()'
  const { mkdtempSync, rmSync } = await import('node:fs')
  const { execFileSync } = await import('node:child_process')
  const dir = mkdtempSync('/tmp/noetl-test-python-')
  t.teardown(() => rmSync(dir, { recursive: true }))
  const fifo = `${dir}/fifo`
  execFileSync('mkfifo', [fifo])
  // A reader and a writer of a pipe wait for each other: only together do they end.
  const pids = await Promise.all(
    ['r', 'w'].map((mode) => tool.run({ code, input: { fifo, mode }, timeout: 20 }, toolCall())),
  )
  t.equal(new Set(pids).size, 2)
})

t.test('python: more calls than processes wait for their turn', async (t) => {
  const tool = ownTool(t, { maxProcesses: 2 })
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) => tool.run({ code: 'result = i', input: { i } }, toolCall())),
  )
  t.same(
    results,
    Array.from({ length: 20 }, (_, i) => i),
  )
})

t.test('python: closing ends every process, also busy ones', async (t) => {
  const tool = ownTool(t)
  let pid = 0
  const log = {
    debug() {},
    warn() {},
    error() {},
    info: (facts: object) => {
      pid = Number((facts as { line: string }).line)
    },
  }
  const running = tool.run(
    { code: 'import os, time\nprint(os.getpid())\ntime.sleep(600)' },
    toolCall({ log }),
  )
  running.catch(() => {})
  await until('the code to run', () => pid > 0)
  await tool.close?.()
  t.notOk(alive(pid))
  await t.rejects(running)
})

t.test('python: an interpreter that is not there is told with what to do', async (t) => {
  const tool = ownTool(t, { python: 'no-such-python' })
  const error = await toolFailure(tool.run({ code: 'result = 1' }, toolCall()))
  t.match(error.message, /"no-such-python" could not be started: .*NOETL_PYTHON/)
})

t.test('python: packages of the fallback folder are found after those of the interpreter', async (t) => {
  const folder = await testFolder(t, 'python-packages')
  await writeFile(join(folder, 'only_here.py'), 'n = 7')
  await writeFile(join(folder, 'json.py'), 'raise ImportError("the wrong json")')
  const tool = pythonTool({ fallbackPath: folder })
  t.teardown(() => tool.close?.())
  t.equal(
    await tool.run({ code: 'import json, only_here\nresult = json.loads("1") + only_here.n' }, toolCall()),
    8,
  )
})

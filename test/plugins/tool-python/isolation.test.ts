import type { Json, Tool } from '@noetl/core'
import t from 'tap'
import { type PythonToolOptions, pythonTool } from '../../../plugins/tool-python/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'

function ownTool(t: { teardown(fn: () => unknown): void }, options: PythonToolOptions = {}): Tool {
  const tool = pythonTool(options)
  t.teardown(() => tool.close?.())
  return tool
}

// What the first call does, and what the second, on the same worker, sees of it.
const LEAKS: [string, { damage: string; look: string; sees: Json }][] = [
  ['names of its own', { damage: 'left = 1', look: 'result = "left" in globals()', sees: false }],
  [
    'environment, working directory, sys.path and sys.argv',
    {
      damage:
        'import os, sys\nos.environ["LEFT"] = "1"\nos.chdir("/")\nsys.path.append("/left")\nsys.argv.append("left")',
      look: 'import os, sys\nresult = ["LEFT" in os.environ, os.getcwd() == "/", "/left" in sys.path, "left" in sys.argv]',
      sees: [false, false, false, false],
    },
  ],
  [
    'time zone',
    {
      damage: 'import os, time\nos.environ["TZ"] = "Asia/Kolkata"\ntime.tzset()',
      look: 'import time\nresult = time.timezone == -19800',
      sees: false,
    },
  ],
  [
    'random seed',
    {
      damage: 'import random\nrandom.seed(7)',
      look: 'import random\nseen = random.random()\nrandom.seed(7)\nresult = seen == random.random()',
      sees: false,
    },
  ],
  [
    'umask',
    { damage: 'import os\nos.umask(0o707)', look: 'import os\nresult = os.umask(0) == 0o707', sees: false },
  ],
  [
    'resource limits',
    {
      damage: 'import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))',
      look: 'import resource\nresult = resource.getrlimit(resource.RLIMIT_NOFILE)[1] == 20',
      sees: false,
    },
  ],
  [
    'default timeout of sockets',
    {
      damage: 'import socket\nsocket.setdefaulttimeout(0.001)',
      look: 'import socket\nresult = socket.getdefaulttimeout()',
      sees: null,
    },
  ],
  [
    'warning filters',
    {
      damage: 'import warnings\nwarnings.simplefilter("error")',
      look: 'import warnings\nwarnings.warn("mild")\nresult = "fine"',
      sees: 'fine',
    },
  ],
  [
    'log handlers, decimal context and recursion limit',
    {
      damage:
        'import decimal, logging, sys\nlogging.basicConfig(level=logging.DEBUG)\nlogging.disable(50)\ndecimal.getcontext().prec = 2\nsys.setrecursionlimit(5000)',
      look: 'import decimal, logging, sys\nresult = [len(logging.root.handlers), logging.root.manager.disable, decimal.getcontext().prec, sys.getrecursionlimit()]',
      sees: [0, 0, 28, 1000],
    },
  ],
  [
    'signal handlers and timers',
    {
      damage:
        'import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.alarm(1000)',
      look: 'import signal\nresult = [signal.getsignal(s) == signal.SIG_DFL for s in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD)] + [signal.alarm(0)]',
      sees: [true, true, true, 0],
    },
  ],
  [
    'locale',
    {
      damage: 'import locale\nlocale.setlocale(locale.LC_NUMERIC, "")\nlocale.getlocale = None',
      look: 'import locale\nresult = [locale.setlocale(locale.LC_NUMERIC), callable(locale.getlocale)]',
      sees: ['C', true],
    },
  ],
  [
    'a broken json',
    {
      damage: 'import json\njson.dumps = json.loads = None',
      look: 'import json\nresult = json.dumps(1)',
      sees: '1',
    },
  ],
  [
    'broken builtins',
    {
      damage: 'import builtins\nbuiltins.len = builtins.str = builtins.isinstance = lambda *_: 1 / 0',
      look: 'result = len("abc")',
      sees: 3,
    },
  ],
  [
    'broken os functions',
    {
      damage: 'import os, sys\nos.write = os.getpid = os.read = os._exit = sys.stdout = None',
      look: 'import os\nprint("there")\nresult = callable(os.write)',
      sees: true,
    },
  ],
  [
    'modules that were imported, and their globals',
    {
      damage: 'import sys, json\njson.left = 1\nsys.modules["left"] = json\nimport sched',
      look: 'import json, sys\nresult = [hasattr(json, "left"), "left" in sys.modules, "sched" in sys.modules]',
      sees: [false, false, false],
    },
  ],
  [
    'import hooks and trace functions',
    {
      damage: 'import sys\nsys.meta_path.clear()\nsys.settrace(lambda *_: 1 / 0)\nsys.excepthook = None',
      look: 'import sched, sys\nresult = [sys.gettrace() is None, sys.excepthook is not None]',
      sees: [true, true],
    },
  ],
  [
    'daemon threads',
    {
      damage: 'import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()',
      look: 'import threading\nresult = threading.active_count()',
      sees: 1,
    },
  ],
  [
    'open files',
    {
      damage: 'import os\nfor _ in range(50): os.open("/dev/null", os.O_RDONLY)',
      look: 'import os\nresult = len(os.listdir("/dev/fd")) < 12',
      sees: true,
    },
  ],
  [
    'functions for the end of the process',
    {
      damage: 'import atexit\natexit.register(lambda: None)',
      look: 'import atexit\nresult = atexit._ncallbacks()',
      sees: 1,
    },
  ],
]
for (const [name, { damage, look, sees }] of LEAKS) {
  t.test(`python isolation: the next call sees nothing of ${name}`, async (t) => {
    const tool = ownTool(t, { maxProcesses: 1 })
    // Whether the code can still answer after what it did is its own affair; that it ends is not.
    await tool
      .run({ code: damage, timeout: 20 }, toolCall())
      .catch((error) => t.equal(error.kind, 'tool_error'))
    t.same(await tool.run({ code: look, timeout: 20 }, toolCall()), sees)
  })
}

t.test(
  'python isolation: two calls draw different random numbers, also from modules imported ahead',
  async (t) => {
    const tool = ownTool(t)
    const code = 'import os, random, uuid\nresult = [random.random(), uuid.uuid4(), os.urandom(4)]'
    const [one, two] = (await Promise.all([1, 2].map(() => tool.run({ code }, toolCall())))) as Json[][]
    for (const index of [0, 1, 2]) t.not(one![index], two![index])
  },
)

t.test('python isolation: a call finds nothing of others in the memory of its interpreter', async (t) => {
  const tool = ownTool(t)
  const secret = 'only-the-first-call-knows'
  await tool.run({ code: 'result = secret', input: { secret } }, toolCall())
  const look = `import gc, sys
def reachable():
    seen, todo = set(), [sys._getframe()] + gc.get_objects()
    gc.unfreeze()
    todo += gc.get_objects()
    while todo:
        one = todo.pop()
        if id(one) in seen or one is todo or one is seen: continue
        seen.add(id(one))
        if isinstance(one, (str, bytes)) and len(one) < 100000: yield one
        elif isinstance(one, bytearray): yield bytes(one)
        todo += gc.get_referents(one)
word = "-".join(["only", "the", "first", "call", "knows"])
result = any((word if isinstance(one, str) else word.encode()) in one for one in list(reachable()) if one is not word)`
  t.equal(await tool.run({ code: look, timeout: 60 }, toolCall()), false)
})

// What code may do to its own process, and what its call comes to.
const BREAKS: [string, string, RegExp][] = [
  [
    'closes every file descriptor',
    'import os, time\nos.closerange(0, 4096)\ntime.sleep(600)',
    /closed the file descriptor/,
  ],
  [
    'replaces its process',
    'import os\nos.execv("/bin/sleep", ["sleep", "600"])',
    /closed the file descriptor/,
  ],
  ['ends its process', 'import os\nos._exit(7)', /exit code 7 before/],
  ['ends its process as if all were well', 'import os\nos._exit(0)', /exit code 0 before/],
  ['kills its process', 'import os\nos.kill(os.getpid(), 9)', /signal SIGKILL before/],
  ['aborts', 'import os\nos.abort()', /signal SIGABRT before/],
  ['reads where nothing is', 'import ctypes\nctypes.string_at(0)', /signal SIGSEGV before/],
  ['exits', 'import sys\nsys.exit(3)', /SystemExit: 3/],
  ['exits with a text', 'exit_ = SystemExit("no more")\nraise exit_', /SystemExit: no more/],
  ['is interrupted', 'raise KeyboardInterrupt', /KeyboardInterrupt/],
  [
    'runs out of memory',
    'import resource\nresource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\nx = bytearray(10**10)',
    /MemoryError/,
  ],
  ['calls itself without end', 'def f(): return f()\nf()', /RecursionError/],
  [
    'gives what cannot be told',
    'class A:\n    def __str__(self): raise KeyError("x")\nresult = A()',
    /KeyError/,
  ],
  [
    'raises what cannot be told',
    'class A(Exception):\n    def __str__(self): raise KeyError("x")\nraise A()',
    /A: /,
  ],
  ['has an endless generator', 'import itertools\nresult = itertools.count()', /more than 1000 bytes/],
  [
    'has endless generators within',
    'def f():\n    while True: yield ["x" * 10]\nresult = {"a": f()}',
    /more than 1000 bytes/,
  ],
  ['gives a huge text', 'result = "x" * 500_000_000', /more than 1000 bytes/],
  [
    'writes to every file descriptor',
    'import os\nfor fd in range(3, 64):\n    try: os.write(fd, b"\\0\\0\\0\\4oops")\n    except OSError: pass',
    /did not open/,
  ],
  [
    'says that a result of 4 GB comes',
    'import os\nfor fd in range(3, 64):\n    try: os.write(fd, b"\\xff" * 9)\n    except OSError: pass',
    /did not open/,
  ],
]
for (const [name, code, expected] of BREAKS) {
  t.test(`python isolation: code that ${name} is told so, and the next call works`, async (t) => {
    const tool = ownTool(t, { maxProcesses: 1, maxResultBytes: 1000 })
    const other = tool.run({ code: 'result = 1' }, toolCall())
    const error = await toolFailure(tool.run({ code, timeout: 30 }, toolCall()))
    t.match(error.message, expected)
    t.equal(error.kind, 'tool_error')
    t.equal(await other, 1)
    t.equal(await tool.run({ code: 'result = 1' }, toolCall()), 1)
  })
}

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { capture } from '../../../plugins/tool-shell/captured.ts'
import { type ShellToolOptions, shellTool } from '../../../plugins/tool-shell/tool.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'

function open(t: Test, options: ShellToolOptions = {}) {
  const tool = shellTool(options)
  t.teardown(() => tool.close?.())
  return {
    run: async (fields: JsonObject) => (await tool.run(fields, toolCall())) as JsonObject,
    fail: (fields: JsonObject) => toolFailure(tool.run(fields, toolCall())),
  }
}

t.test('shell: one command gives its exit code and output, and no more', async (t) => {
  const { run } = open(t)
  t.strictSame(await run({ command: 'echo out; echo err >&2' }), {
    exit_code: 0,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

t.test('shell: several commands run in order, joined and each by itself', async (t) => {
  const { run } = open(t)
  const folder = await testFolder(t, 'shell')
  t.strictSame(await run({ cmds: ['echo 1 > f', 'cat f; echo e >&2', 'rm f; echo 3'], cwd: folder }), {
    exit_code: 0,
    stdout: '1\n3\n',
    stderr: 'e\n',
    commands: [
      { exit_code: 0, stdout: '', stderr: '' },
      { exit_code: 0, stdout: '1\n', stderr: 'e\n' },
      { exit_code: 0, stdout: '3\n', stderr: '' },
    ],
  })
})

const spellings: [name: string, fields: JsonObject, stdout: string][] = [
  ['cmds as text', { cmds: 'echo a\necho b' }, 'a\nb\n'],
  ['command as a list', { command: ['echo a', 'echo b'] }, 'a\nb\n'],
  ['cmd', { cmd: 'echo a' }, 'a\n'],
  ['script of many lines', { script: 'for i in 1 2; do\n  echo $i\ndone\n' }, '1\n2\n'],
  ['the first that is not null', { cmds: null, command: 'echo a', cmd: 'echo b' }, 'a\n'],
  ['a blank command among others', { cmds: ['', 'echo a'] }, 'a\n'],
]
for (const [name, fields, stdout] of spellings) {
  t.test(`shell fields: ${name}`, async (t) => {
    t.match(await open(t).run(fields), { exit_code: 0, stdout })
  })
}

const refused: [name: string, fields: JsonObject, message: RegExp][] = [
  ['no command', { cwd: '/' }, /needs "cmds" or "command"/],
  ['a command that rendered to nothing', { cmds: ['', ' \n'] }, /rendered to nothing/],
  ['no commands in the list', { cmds: [] }, /needs "cmds"/],
  ['a NUL', { cmds: ['true', 'echo s3cret\0'] }, /^Command 2 of 2 holds a NUL/],
  ['too long a command', { command: `: ${'s3cret'.repeat(30_000)}` }, /180002 bytes.* at most 131071/],
  ['a name that no variable has', { command: 'true', env: { 'a-b': 's3cret' } }, /"a-b" under env/],
  ['a value with a NUL', { command: 'true', env: { A: 's3cret\0' } }, /value of A under env/],
  [
    'too large a variable',
    { command: 'true', env: { A: 's3cret'.repeat(40_000) } },
    /larger than the system/,
  ],
  ['a folder that is not there', { command: 'true', cwd: '/no/such' }, /"\/no\/such" under cwd .*ENOENT/],
  ['a file as folder', { command: 'true', cwd: '/dev/null' }, /"\/dev\/null" under cwd/],
]
for (const [name, fields, message] of refused) {
  t.test(`shell schema: ${name} is refused, without showing values`, async (t) => {
    const error = await open(t).fail(fields)
    t.match(error, { kind: 'schema', retryable: false, message })
    t.notMatch(error.message, /s3cret/)
  })
}

t.test('shell: a command that exits non-zero fails with its code, its result and its stderr', async (t) => {
  const { fail } = open(t)
  const error = await fail({ command: 'echo out; echo why >&2; exit 3' })
  t.match(error, { kind: 'tool_error', code: '3', retryable: false })
  t.equal(error.message, 'The command ended with exit code 3: why')
  t.strictSame(error.result, { exit_code: 3, stdout: 'out\n', stderr: 'why\n' })
})

t.test('shell: the first command that fails is the last that runs', async (t) => {
  const { fail } = open(t)
  const folder = await testFolder(t, 'shell')
  const error = await fail({ cmds: ['echo 1', 'exit 4', 'touch third'], cwd: folder })
  t.equal(error.message, 'Command 2 of 3 ended with exit code 4; it wrote nothing to stderr.')
  t.strictSame(error.result, {
    exit_code: 4,
    stdout: '1\n',
    stderr: '',
    commands: [
      { exit_code: 0, stdout: '1\n', stderr: '' },
      { exit_code: 4, stdout: '', stderr: '' },
    ],
  })
  t.notOk(existsSync(join(folder, 'third')))
})

t.test('shell: a message shows the last lines of stderr alone', async (t) => {
  const { fail } = open(t)
  const many = await fail({ command: 'for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 1' })
  t.equal(many.message, 'The command ended with exit code 1: line 3\nline 4\nline 5\nline 6\nline 7')
  const long = await fail({ command: `printf '%05000d' 7 >&2; exit 1` })
  t.equal(long.message.length, 'The command ended with exit code 1: …'.length + 1000)
  t.equal((long.result as JsonObject).stderr, '7'.padStart(5000, '0'))
})

t.test('shell: a program that is missing or was killed inside of a command is named as such', async (t) => {
  const { fail } = open(t)
  t.match(
    (await fail({ command: 'no-such-program-at-all' })).message,
    /code 127 \(no such program\): .*not found/,
  )
  const killed = await fail({ command: "sh -c 'kill -KILL $$'; exit $?" })
  t.match(killed, { code: '137', message: /code 137 \(a program in it was ended by signal SIGKILL\)/ })
})

t.test('shell signals: a command that one ends fails, and the signal is named', async (t) => {
  const { fail } = open(t)
  const error = await fail({ command: 'echo before; kill -SEGV $$' })
  t.match(error, {
    kind: 'tool_error',
    code: 'SIGSEGV',
    retryable: false,
    message: /^The command was ended by signal SIGSEGV/,
    result: { exit_code: 139, signal: 'SIGSEGV', stdout: 'before\n' },
  })
  t.match(await fail({ command: 'kill -KILL $$' }), {
    code: 'SIGKILL',
    retryable: true,
    result: { exit_code: 137 },
  })
})

t.test('shell output: bytes that are no UTF-8 are replaced, all others are kept', async (t) => {
  const { run } = open(t)
  const result = await run({ command: String.raw`printf 'a\377\303b\000\357\273\277\303\251'` })
  t.equal(result.stdout, 'a\ufffd\ufffdb\0\ufeffé')
  t.same(JSON.parse(JSON.stringify(result)), result)
})

t.test(
  'shell output: a character in two parts is put together, and what has no room is dropped once',
  async (t) => {
    let full = 0
    const room = { left: 5, onFull: () => full++ }
    const [one, other] = [capture(room), capture(room)]
    one.add(Buffer.from([0xc3]))
    other.add(Buffer.from('x'))
    one.add(Buffer.from([0xa9]))
    t.equal(full, 0)
    one.add(Buffer.from('abcd'))
    t.equal(full, 1)
    t.equal(one.text(), 'éab')
    t.equal(other.text(), 'x')
  },
)

t.test(
  'shell output: as much as the limit is taken, stdout and stderr of all commands together',
  async (t) => {
    const { run, fail } = open(t, { maxOutputBytes: 4000 })
    const write = (stdout: number, stderr: number) => `printf '%0${stdout}d' 1; printf '%0${stderr}d' 1 >&2`
    t.match(await run({ cmds: [write(1000, 1000), write(1000, 1000)] }), { exit_code: 0 })
    const error = await fail({ cmds: [write(1000, 1000), write(1000, 1001)] })
    t.match(error, { kind: 'tool_error', message: /wrote more than 4000 bytes/ })
    const { stdout, stderr } = error.result as { stdout: string; stderr: string }
    t.equal(stdout.length + stderr.length, 4000)
  },
)

t.test('shell output: a command without end is stopped at the default limit', async (t) => {
  const { fail } = open(t)
  const error = await fail({ command: 'yes' })
  t.match(error, { kind: 'tool_error', message: /more than 10485760 bytes/ })
  t.equal((error.result as { stdout: string }).stdout.length, 10_485_760)
})

t.test('shell: a command has nothing to read', async (t) => {
  t.match(await open(t).run({ command: 'cat; readlink /proc/self/fd/0' }), { stdout: '/dev/null\n' })
})

t.test('shell cwd: the step’s, from the folder of the options', async (t) => {
  const folder = await testFolder(t, 'shell')
  mkdirSync(join(folder, 'sub'))
  const { run } = open(t, { cwd: folder })
  t.equal((await run({ command: 'pwd -P' })).stdout, `${folder}\n`)
  t.equal((await run({ command: 'pwd -P', cwd: 'sub' })).stdout, `${folder}/sub\n`)
  t.equal((await run({ command: 'pwd -P', cwd: '/' })).stdout, '/\n')
})

t.test('shell: another shell can be named, by the step or the options', async (t) => {
  const command = 'echo $0'
  t.match((await open(t).run({ command: 'echo $BASH_VERSION', shell: 'bash' })).stdout, /^\d/)
  t.match((await open(t, { shell: 'bash' }).run({ command })).stdout, /bash\n$/)
  t.match((await open(t).run({ command })).stdout, /\/sh\n$/)
})

t.test('shell: one that is not there is told with what to do', async (t) => {
  t.match(await open(t).fail({ command: 'true', shell: 'no-such-shell' }), {
    kind: 'tool_error',
    code: 'ENOENT',
    message: /"no-such-shell" cannot be started .*install it/,
  })
})

t.test('shell: PATH of the step is for its commands, not for finding the shell', async (t) => {
  t.match(await open(t).run({ command: 'echo $PATH', env: { PATH: '/nowhere' } }), { stdout: '/nowhere\n' })
})

t.test('shell environment: nothing of the worker but a short list', async (t) => {
  for (const [name, value] of Object.entries({
    NOETL_TEST_TOKEN: 's3cret',
    LC_TIME: 'C',
    OTHER_TOKEN: 'yes',
  })) {
    process.env[name] = value
    t.teardown(() => delete process.env[name])
  }
  const { run } = open(t, { passEnvironment: ['OTHER_TOKEN'] })
  const { stdout } = (await run({ command: 'cat /proc/$$/environ' })) as { stdout: string }
  const names = stdout.split('\0').map((line) => line.split('=')[0]!)
  t.notMatch(stdout, /s3cret/)
  t.ok(names.includes('PATH') && names.includes('LC_TIME') && names.includes('OTHER_TOKEN'))
  // The test runner adds variables of its own to every child.
  const allowed =
    /^(_TAPJS_.*|NODE_OPTIONS|PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|SSL_CERT_FILE|SSL_CERT_DIR|LC_.*|OTHER_TOKEN|)$/
  t.strictSame(
    names.filter((name) => !allowed.test(name)),
    [],
  )
})

t.test('shell environment: env of the step is laid over, null takes away', async (t) => {
  process.env.TZ ??= 'UTC'
  const env = {
    TEXT: 'a b',
    N: 1.5,
    YES: true,
    LIST: [1, { a: 'x' }],
    EMPTY: '',
    HOME: null,
    TZ: 'Asia/Tokyo',
  }
  const { stdout } = await open(t).run({
    command: 'echo "$TEXT|$N|$YES|$LIST|$TZ"; env | grep -E "^(EMPTY|HOME)="',
    env,
  })
  t.equal(stdout, 'a b|1.5|true|[1,{"a":"x"}]|Asia/Tokyo\nEMPTY=\n')
})

t.test('shell environment: plain arguments are there as INPUT_name, whatever they hold', async (t) => {
  const folder = await testFolder(t, 'shell')
  const nasty = `'; touch hit; echo "$(touch hit)\``
  const { stdout } = (await open(t).run({
    command: 'printf "%s\\n" "$INPUT_name" "$INPUT_n" "$INPUT_yes" "$PATH"; env | grep -a -o "^INPUT_[^=]*"',
    cwd: folder,
    input: {
      name: nasty,
      n: 2,
      yes: false,
      PATH: '/evil',
      none: null,
      rows: [1],
      'a b': 1,
      big: 'x'.repeat(20_000),
    },
  })) as { stdout: string }
  const lines = stdout.trimEnd().split('\n')
  t.strictSame(lines.slice(0, 4), [nasty, '2', 'false', process.env.PATH])
  t.strictSame(lines.slice(4).sort(), ['INPUT_PATH', 'INPUT_n', 'INPUT_name', 'INPUT_yes'])
  t.notOk(existsSync(join(folder, 'hit')))
})

t.test('shell environment: arguments without end do not keep a command from running', async (t) => {
  const input = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`a${i}`, 'x'.repeat(16_000)]))
  const { stdout } = await open(t).run({ command: 'env | grep -c ^INPUT_', input })
  t.equal(stdout, '32\n')
})

t.test('shell: a command can be as long as the system takes', async (t) => {
  const folder = await testFolder(t, 'shell')
  const command = `echo ${'x'.repeat(131_071 - 'echo  > f'.length)} > f`
  await open(t).run({ command, cwd: folder })
  t.equal(readFileSync(join(folder, 'f'), 'utf8').length, 131_071 - 'echo  > f'.length + 1)
})

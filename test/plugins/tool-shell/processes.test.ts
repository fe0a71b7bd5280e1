import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CallAborted, type JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { type ShellToolOptions, shellTool } from '../../../plugins/tool-shell/tool.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { alive, children } from './processes.ts'

async function open(t: Test, options: ShellToolOptions = {}) {
  const cwd = await testFolder(t, 'shell')
  const tool = shellTool({ cwd, ...options })
  t.teardown(() => tool.close?.())
  const at = (name: string) => join(cwd, name)
  /** Numbers that commands wrote to a file, once there are so many. */
  const pids = (name: string, count: number) =>
    until(`${count} numbers in ${name}`, () => {
      const lines = existsSync(at(name)) ? readFileSync(at(name), 'utf8').split('\n').slice(0, -1) : []
      return lines.length === count ? lines.map(Number) : undefined
    })
  return { tool, cwd, at, pids }
}

const ENOUGH = new CallAborted('cancelled', 'enough')

/** Three processes: the shell, one behind it, and one behind that. All write their numbers to `pids`. */
const FAMILY = "echo $$ >> pids; sh -c 'echo $$ >> pids; sleep 600 & echo $! >> pids; wait' & wait"

t.test('shell processes: each command leads a process group of its own', async (t) => {
  const { tool } = await open(t)
  const command = 'echo $$ $(cut -d" " -f5,6 /proc/$$/stat)'
  const { commands } = (await tool.run({ cmds: [command, command] }, toolCall())) as {
    commands: { stdout: string }[]
  }
  const seen = commands.map(({ stdout }) => stdout.trim().split(' '))
  for (const [pid, group, session] of seen) {
    t.equal(group, pid)
    t.equal(session, pid)
  }
  t.not(seen[0]?.[0], seen[1]?.[0])
})

t.test('shell timeout: ends the whole group and gives what was written before', async (t) => {
  const { tool, pids } = await open(t)
  const running = toolFailure(
    tool.run({ cmds: ['echo first', `echo second; ${FAMILY}`, 'echo third'], timeout: 2 }, toolCall()),
  )
  const family = await pids('pids', 3)
  t.ok(family.every(alive))
  const error = await running
  t.match(error, { kind: 'timeout', retryable: true, message: /took longer than 2 s/ })
  t.match(error.result, { stdout: 'first\nsecond\n', commands: [{ exit_code: 0 }, { exit_code: 143 }] })
  t.notOk(family.some(alive), 'all were gone before the call ended')
})

t.test('shell timeout: the one of the options counts where the step names none', async (t) => {
  const { tool } = await open(t, { timeoutSeconds: 0.2 })
  t.match(await toolFailure(tool.run({ command: 'sleep 600' }, toolCall())), { kind: 'timeout' })
})

t.test('shell abort: the reason comes back and no process of the group is left', async (t) => {
  const { tool, pids } = await open(t)
  const controller = new AbortController()
  const running = tool.run({ command: FAMILY }, toolCall({ signal: controller.signal }))
  running.catch(() => {})
  const family = await pids('pids', 3)
  const reason = new CallAborted('lease-lost', 'another has it')
  controller.abort(reason)
  await t.rejects(running, reason)
  t.notOk(family.some(alive))
})

t.test('shell abort: a deadline of the call is a timeout', async (t) => {
  const { tool, pids } = await open(t)
  const controller = new AbortController()
  const running = toolFailure(tool.run({ command: FAMILY }, toolCall({ signal: controller.signal })))
  await pids('pids', 3)
  controller.abort(new CallAborted('deadline', 'time is up'))
  t.match(await running, { kind: 'timeout', message: /the time of the call was up/ })
})

t.test('shell abort: SIGTERM comes first, so that a command can tidy up', async (t) => {
  const { tool, at, pids } = await open(t)
  const controller = new AbortController()
  const command = "trap 'echo tidy > left; exit 0' TERM; echo $$ >> pids; while :; do sleep 600 & wait; done"
  const running = tool.run({ command }, toolCall({ signal: controller.signal }))
  running.catch(() => {})
  await pids('pids', 1)
  controller.abort(ENOUGH)
  await t.rejects(running, ENOUGH)
  t.equal(readFileSync(at('left'), 'utf8'), 'tidy\n')
})

t.test('shell abort: what ignores SIGTERM is killed after the grace', async (t) => {
  const { tool, pids } = await open(t, { graceMs: 50 })
  const controller = new AbortController()
  const command = "trap '' TERM; echo $$ >> pids; sh -c 'echo $$ >> pids; sleep 600; sleep 600'; sleep 600"
  const running = tool.run({ command }, toolCall({ signal: controller.signal }))
  running.catch(() => {})
  const deaf = await pids('pids', 2)
  controller.abort(ENOUGH)
  await t.rejects(running, ENOUGH)
  t.notOk(deaf.some(alive))
})

t.test('shell abort: a stopped command is killed as well', async (t) => {
  const { tool, pids } = await open(t, { graceMs: 50 })
  const controller = new AbortController()
  const running = tool.run(
    { command: 'echo $$ >> pids; kill -STOP $$' },
    toolCall({ signal: controller.signal }),
  )
  running.catch(() => {})
  const [pid = 0] = await pids('pids', 1)
  await until('it to be stopped', () => readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') T '))
  controller.abort(ENOUGH)
  await t.rejects(running, ENOUGH)
  t.notOk(alive(pid))
})

t.test(
  'shell: what a command leaves in the background ends with it and does not hold the call',
  async (t) => {
    const { tool, pids } = await open(t)
    const command = 'sleep 600 & echo $! >> pids; echo done'
    t.match(await tool.run({ cmds: [command, 'true'] }, toolCall()), { exit_code: 0, stdout: 'done\n' })
    t.notOk((await pids('pids', 1)).some(alive))
  },
)

t.test(
  'shell: a process that left its group does not hold the call, though it holds the output',
  async (t) => {
    const { tool, pids } = await open(t)
    const running = tool.run(
      {
        command:
          "setsid sh -c 'echo $$ >> pids; exec sleep 600' & while [ ! -s pids ]; do :; done; echo done",
      },
      toolCall(),
    )
    const [pid = 0] = await pids('pids', 1)
    t.teardown(() => process.kill(pid, 'SIGKILL'))
    t.match(await running, { exit_code: 0, stdout: 'done\n' })
  },
)

t.test('shell limit: a command over it is ended with all behind it', async (t) => {
  const { tool, pids } = await open(t, { maxOutputBytes: 1000 })
  const command = `${FAMILY.replace(/& wait$/, '&')} while [ "$(wc -l < pids)" -lt 3 ]; do :; done; yes`
  const error = await toolFailure(tool.run({ command }, toolCall()))
  t.match(error, { message: /more than 1000 bytes/ })
  t.notOk((await pids('pids', 3)).some(alive))
})

t.test('shell: no child is left after many calls, ended, failed and stopped', async (t) => {
  const { tool } = await open(t)
  const before = children().map(({ pid }) => pid)
  const fields: JsonObject[] = [
    { command: 'true' },
    { command: 'exit 1' },
    { command: 'sleep 600', timeout: 0.1 },
    { command: 'kill -KILL $$' },
    { cmds: ['sleep 600 &', 'true'] },
    { command: 'true', shell: 'no-such-shell' },
  ]
  await Promise.allSettled([...fields, ...fields, ...fields].map((one) => tool.run(one, toolCall())))
  await tool.close?.()
  t.strictSame(
    children().filter(({ pid }) => !before.includes(pid)),
    [],
  )
})

t.test('shell close: ends what runs, waits for it, and refuses what comes later', async (t) => {
  const { tool, pids } = await open(t)
  const running = toolFailure(tool.run({ command: FAMILY }, toolCall()))
  const family = await pids('pids', 3)
  await tool.close?.()
  t.notOk(family.some(alive))
  t.match(await running, { kind: 'cancelled', message: /the shell tool was closed/ })
  t.match(await toolFailure(tool.run({ command: 'true' }, toolCall())), { kind: 'cancelled' })
})

t.test('shell guard: when a worker is killed, what its commands run is killed too', async (t) => {
  const { cwd, at, pids } = await open(t)
  const flags = ['--conditions=@noetl/source', '--import=tsx']
  const program = fileURLToPath(new URL('./worker.ts', import.meta.url))
  const args = [...flags, program, `cd '${cwd}'; ${FAMILY}`, at('pids')]
  const worker = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => worker.kill('SIGKILL'))
  const [said] = await once(worker.stdout, 'data')
  t.equal(String(said), 'ready')
  const family = await pids('pids', 3)
  t.ok(family.every(alive))
  worker.kill('SIGKILL')
  await once(worker, 'exit')
  await until('the processes to be gone', () => !family.some(alive))
})

t.test('shell guard: one that was killed is replaced, and knows the groups that are running', async (t) => {
  const { tool, pids } = await open(t)
  const before = children().map(({ pid }) => pid)
  await tool.run({ command: 'true' }, toolCall())
  const [guard] = children().filter(({ pid }) => !before.includes(pid))
  t.ok(guard, 'there is a guard')
  process.kill(guard?.pid ?? 0, 'SIGKILL')
  await until('the guard to be gone', () => !alive(guard?.pid ?? 0))
  const running = toolFailure(tool.run({ command: FAMILY }, toolCall()))
  await pids('pids', 3)
  t.match(await tool.run({ command: 'echo on' }, toolCall()), { stdout: 'on\n' })
  await tool.close?.()
  t.match(await running, { kind: 'cancelled' })
})

import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Teardown } from './teardown.ts'
import { until } from './wait.ts'

const CLI = fileURLToPath(new URL('../../cli/bin/dev.js', import.meta.url))

/** A real process of `noetlctl`, in a group of its own; whatever is left of it is killed when the test ends. */
export interface Running {
  pid: number
  /** What it wrote to standard output and error so far. */
  output(): string
  /** Waits for a text in its output. */
  says(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray>
  kill(signal: NodeJS.Signals): void
  /** Exit code, or the signal that ended it. */
  exited: Promise<number | NodeJS.Signals>
}

export function noetlctl(t: Teardown, args: string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, ['--conditions=@noetl/source', '--import=tsx', CLI, ...args], {
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  return watch(t, child)
}

/** The environment without what would make a test depend on where it runs. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const own = /^(NOETL_|DATABASE_URL$|NATS_URL$|SERVER_API_URL$|TAP|NODE_OPTIONS$)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)))
}

export function watch(t: Teardown, child: ChildProcess): Running {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8')
    stream?.on('data', (part: string) => {
      text = (text + part).slice(-1_000_000)
    })
  }
  let ended: number | NodeJS.Signals | undefined
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = code ?? signal ?? 1
      resolve(ended)
    })
  })
  t.teardown(async () => {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended, and all that it started.
    }
    if (ended === undefined) await exited
  })
  return {
    pid: child.pid ?? 0,
    output: () => text,
    says: (pattern, withinMs = 30_000) =>
      until(
        `${pattern} in the output`,
        () => {
          const found = pattern.exec(text)
          if (found === null && ended !== undefined)
            throw new Error(`it ended with ${ended} and said:\n${text}`)
          return found ?? undefined
        },
        { withinMs },
      ),
    kill: (signal) => void child.kill(signal),
    exited,
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'

/** A server process of this machine. */
export interface Child {
  pid: number
  /** The last lines it wrote. */
  output(): string
  /** Resolves when it has ended. */
  exited: Promise<void>
  /** Asks it to end, and after a while makes it. Safe twice. */
  stop(): Promise<void>
  kill(signal: NodeJS.Signals): void
}

const KEPT = 8000

/**
 * Starts a process that does not outlive this one: a small shell holds a pipe to us and stops the process
 * when the pipe closes, which it does however we end. It is in a group of its own, so that Ctrl-C
 * reaches us alone and we stop what we started in order.
 */
export function startChild(options: {
  command: string
  args: string[]
  env?: NodeJS.ProcessEnv
  uid?: number
  gid?: number
  stopSignal: NodeJS.Signals
  /** Milliseconds until a stop becomes a kill. */
  patienceMs?: number
  onLine?: (line: string) => void
}): Child {
  const { command, args, stopSignal, onLine } = options
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: options.env ?? process.env,
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  })
  let text = ''
  let rest = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8')
    stream?.on('data', (part: string) => {
      text = (text + part).slice(-KEPT)
      const lines = (rest + part).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine?.(line)
    })
  }
  child.on('error', (error) => {
    text += `${error.message}\n`
  })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const watchdog = child.pid === undefined ? undefined : watch(child.pid, stopSignal)
  void exited.then(() => watchdog?.kill('SIGKILL'))
  let stopped: Promise<void> | undefined
  return {
    pid: child.pid ?? 0,
    output: () => text.trim(),
    exited,
    kill: (signal) => void child.kill(signal),
    stop() {
      stopped ??= (async () => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
        child.kill(stopSignal)
        const timer = setTimeout(() => child.kill('SIGKILL'), options.patienceMs ?? 10_000)
        await exited
        clearTimeout(timer)
      })()
      return stopped
    },
  }
}

function watch(pid: number, signal: NodeJS.Signals): ChildProcess {
  const watchdog = spawn('sh', ['-c', `read _; kill -${signal.slice(3)} ${pid} 2>/dev/null`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watchdog.on('error', () => {})
  watchdog.stdin?.on('error', () => {})
  watchdog.unref()
  return watchdog
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

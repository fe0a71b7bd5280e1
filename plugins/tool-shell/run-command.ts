import { type ChildProcess, spawn } from 'node:child_process'
import { type Captured, capture, type Room } from './captured.ts'
import type { Guard } from './guard.ts'
import { type LineReader, lineReader } from './lines.ts'
import { endGroup } from './process-group.ts'

/** How one command ended. */
export interface Ended {
  /** Null when a signal ended it, or it could not be ended at all. */
  exitCode: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** How long a process that was sent SIGKILL may stay, and its pipes after it, in milliseconds. */
const STUCK_MS = 1000
const PIPES_MS = 500

/**
 * Runs a command in a process group of its own and ends the group with it: whatever the command left running
 * is stopped before this resolves. Rejects only when the shell cannot be started.
 */
export async function runCommand(
  command: string,
  options: {
    shell: string
    cwd: string
    env: Record<string, string>
    room: Room
    graceMs: number
    guard: Guard
    /** Hears what it writes, line by line, as it writes it. */
    onLine(stream: 'stdout' | 'stderr', line: string): void
    /** Stops the command when it aborts. */
    stop: AbortSignal
  },
): Promise<Ended> {
  const { stop, graceMs } = options
  const [stdout, stderr] = [capture(options.room), capture(options.room)]
  options.guard.ready()
  const child = spawn(options.shell, ['-c', command], {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const group = child.pid
  if (group === undefined) throw await failureOf(child)
  const unwatch = options.guard.watch(group)
  // 'exit' and not 'close': a process that left the group may hold a pipe open, which must not hold the call.
  const exited = once(child, 'exit')
  const closed = once(child, 'close')
  const lines = {
    stdout: lineReader((line) => options.onLine('stdout', line)),
    stderr: lineReader((line) => options.onLine('stderr', line)),
  }
  collect(child, { stdout, stderr }, lines)

  let ending: Promise<void> | undefined
  const end = () => {
    ending ??= endGroup(group, graceMs)
    return ending
  }
  let giveUp = () => {}
  const stuck = new Promise<void>((resolve) => {
    giveUp = resolve
  })
  const onStop = async () => {
    await end()
    await within(exited, STUCK_MS)
    giveUp()
  }
  stop.addEventListener('abort', onStop, { once: true })
  if (stop.aborted) void onStop()
  try {
    await Promise.race([exited, stuck])
    await end()
    await within(closed, PIPES_MS)
  } finally {
    stop.removeEventListener('abort', onStop)
    unwatch()
    child.stdout?.destroy()
    child.stderr?.destroy()
    lines.stdout.end()
    lines.stderr.end()
  }
  return {
    exitCode: child.exitCode,
    signal: child.signalCode,
    stdout: stdout.text(),
    stderr: stderr.text(),
  }
}

/** Why a process did not start. */
function failureOf(child: ChildProcess): Promise<Error> {
  return new Promise((resolve) => child.once('error', resolve))
}

function collect(
  child: ChildProcess,
  into: { stdout: Captured; stderr: Captured },
  lines: { stdout: LineReader; stderr: LineReader },
): void {
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (part: Buffer) => {
      into[name].add(part)
      lines[name].read(part)
    })
    child[name]?.on('error', () => {})
  }
}

function once(child: ChildProcess, event: 'exit' | 'close'): Promise<void> {
  return new Promise((resolve) => child.once(event, () => resolve()))
}

/** Waits for a promise, but not for long. */
async function within(waited: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([waited, late])
  clearTimeout(timer)
}

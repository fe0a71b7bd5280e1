import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { encodeFrame, frameReader } from './frames.ts'

/** What the runner answers to a call. */
export type Reply =
  | { result: unknown; retire: boolean }
  | { failure: { exception: string; message: string; traceback: string }; retire: boolean }

/** One python process, which runs one call at a time. */
export interface Interpreter {
  /** Sends a call; rejects with InterpreterGone when the process ends first. */
  call(frame: object, onLine: (stream: string, text: string, dropped: boolean) => void): Promise<Reply>
  /** Kills the process and all it started. */
  kill(): void
  /** Calls answered so far. */
  readonly calls: number
  readonly alive: boolean
  /** Resolves when the process has ended. */
  exited: Promise<void>
}

/** The process ended before it answered. */
export class InterpreterGone extends Error {
  override name = 'InterpreterGone'
  readonly exitCode: number | null
  readonly signal: string | null
  /** It never ran: the command is not there, or no python. */
  readonly neverBegan: boolean

  constructor(about: { exitCode: number | null; signal: string | null; neverBegan: boolean; said: string }) {
    super(about.said)
    this.exitCode = about.exitCode
    this.signal = about.signal
    this.neverBegan = about.neverBegan
  }
}

/** Beside this file in the sources, one folder up from the built ones. */
const RUNNER = [new URL('./runner.py', import.meta.url), new URL('../runner.py', import.meta.url)]
  .map((url) => fileURLToPath(url))
  .find((path) => existsSync(path))!

/** Starts a process in a group of its own, so that whatever the code starts can be ended with it. */
export function startInterpreter(options: {
  python: string
  /** Folders of packages, looked into after the interpreter's own. */
  paths: string[]
  env: NodeJS.ProcessEnv
  maxFrameBytes: number
}): Interpreter {
  const child: ChildProcess = spawn(options.python, ['-X', 'utf8', '-u', RUNNER, ...options.paths], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    detached: true,
    env: options.env,
  })
  const toChild = child.stdio[3] as Writable
  const fromChild = child.stdio[4] as Readable
  let said = ''
  let ready = false
  let calls = 0
  let ended: { exitCode: number | null; signal: string | null } | undefined
  let current:
    | {
        onLine: (stream: string, text: string, dropped: boolean) => void
        resolve(reply: Reply): void
        reject(error: Error): void
      }
    | undefined

  const read = frameReader(options.maxFrameBytes, (text) => {
    const frame = JSON.parse(text)
    if (frame.ready === true) ready = true
    else if (typeof frame.log === 'string') current?.onLine(frame.stream, frame.log, frame.dropped === true)
    else {
      calls += 1
      const call = current
      current = undefined
      call?.resolve(frame as Reply)
    }
  })
  fromChild.on('data', (part: Buffer) => {
    try {
      read(part)
    } catch (error) {
      said = (error as Error).message
      kill()
    }
  })
  // What code writes past sys.stdout: child processes and C libraries.
  for (const [name, stream] of [
    ['stdout', child.stdout],
    ['stderr', child.stderr],
  ] as const) {
    stream?.setEncoding('utf8')
    stream?.on('data', (text: string) => {
      if (!ready) said = (said + text).slice(-4000)
      current?.onLine(name, text.trimEnd(), false)
    })
  }
  for (const stream of [toChild, fromChild, child.stdout, child.stderr]) stream?.on('error', () => {})

  const exited = new Promise<void>((resolve) => {
    const end = (exitCode: number | null, signal: string | null) => {
      if (ended !== undefined) return
      ended = { exitCode, signal }
      current?.reject(gone())
      current = undefined
      resolve()
    }
    child.once('error', (error) => {
      said = error.message
      end(null, null)
    })
    // 'exit' and not 'close': a grandchild that holds a pipe open must not hold the call.
    child.once('exit', (code, signal) => setImmediate(() => end(code, signal)))
  })

  function gone(): InterpreterGone {
    return new InterpreterGone({
      exitCode: ended?.exitCode ?? null,
      signal: ended?.signal ?? null,
      neverBegan: !ready,
      said: said.trim(),
    })
  }

  function kill(): void {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended already.
    }
  }

  return {
    call(frame, onLine) {
      if (ended !== undefined) return Promise.reject(gone())
      return new Promise((resolve, reject) => {
        current = { onLine, resolve, reject }
        toChild.write(encodeFrame(frame))
      })
    },
    kill,
    get calls() {
      return calls
    },
    get alive() {
      return ended === undefined
    },
    exited,
  }
}

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseJson, writeJson } from '@noetl/core'
import { encodeFrame, FRAME, type Frame, frameReader, TOLD } from './frames.ts'
import { lineReader } from './output.ts'

/** What the code of a call came to. */
export type Reply =
  | { result: unknown }
  | { failure: { exception: string; message: string; traceback: string } }

/** Hears what the code of a call prints. */
export interface Listener {
  onLine(stream: Stream, line: string): void
  /** More is printed than may be logged. */
  onDropped(stream: Stream): void
}

export type Stream = 'stdout' | 'stderr'

/** The warm python process: forks a child for every call, any number at once. */
export interface Interpreter {
  /** Sends a call. Its reply rejects with CodeEnded when there comes none; `kill` ends it with all it started. */
  call(frame: object, listener: Listener): { reply: Promise<Reply>; kill(): void }
  /** Ends the process and all calls; safe twice. */
  close(): Promise<void>
  readonly alive: boolean
}

/** How the process of a call ended before it answered. */
interface Ending {
  exitCode?: number | null
  signal?: string | null
  /** The code closed the descriptor over which its result would have come. */
  closed?: boolean
  /** Something else than a result came over it. */
  foreign?: boolean
  /** No process could be had for the call, and why. */
  unable?: string
}

/** The code ended without a reply. */
export class CodeEnded extends Error {
  override name = 'CodeEnded'
  readonly how: Ending & { interpreter?: 'ended' | 'never began' }

  constructor(how: Ending & { interpreter?: 'ended' | 'never began' }, said = '') {
    super(said)
    this.how = how
  }
}

/** Beside this file in the sources, one folder up from the built ones. */
const PARENT = [new URL('./parent.py', import.meta.url), new URL('../parent.py', import.meta.url)]
  .map((url) => fileURLToPath(url))
  .find((path) => existsSync(path))!

/** Milliseconds in which an interpreter that was told to end does so; then it is killed. */
const CLOSE_MS = 5000

interface Call {
  parts: Buffer[]
  streams: { stdout: ReturnType<typeof lineReader>; stderr: ReturnType<typeof lineReader> }
  listener: Listener
  resolve(reply: Reply): void
  reject(error: Error): void
}

export function startInterpreter(options: {
  python: string
  /** Folders of packages, looked into after the interpreter's own. */
  paths: string[]
  /** Modules imported once, before any call. */
  preload: string[]
  env: NodeJS.ProcessEnv
  /** Bytes of one result as JSON. */
  maxResult: number
  /** Bytes of output per call and stream. */
  maxLog: number
}): Interpreter {
  const { python, env, paths, preload, maxResult, maxLog } = options
  const settings = JSON.stringify({ paths, preload, maxResult, maxLog })
  const parent = spawn(python, ['-X', 'utf8', PARENT, settings], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    // Signals of a terminal are for the worker, which ends this by closing its pipe.
    detached: true,
    env,
  })
  const toParent = parent.stdio[3] as Writable
  const fromParent = parent.stdio[4] as Readable
  const calls = new Map<number, Call>()
  let last = 0
  let said = ''
  let ready = false
  let ended: Ending | undefined

  fromParent.on('data', frameReader(onFrame))
  for (const stream of [parent.stdout, parent.stderr]) {
    stream?.setEncoding('utf8')
    stream?.on('data', (text: string) => {
      if (!ready) said = (said + text).slice(-4000)
    })
  }
  for (const stream of [toParent, fromParent, parent.stdout, parent.stderr]) stream?.on('error', () => {})

  function onFrame({ kind, call: number, body }: Frame): void {
    if (kind === TOLD.ready) ready = true
    const call = calls.get(number)
    if (call === undefined) return
    if (kind === TOLD.stdout) call.streams.stdout.read(body)
    else if (kind === TOLD.stderr) call.streams.stderr.read(body)
    else if (kind === TOLD.stdoutDropped) drop(call, 'stdout')
    else if (kind === TOLD.stderrDropped) drop(call, 'stderr')
    else if (kind === TOLD.replyPart) call.parts.push(body)
    else {
      calls.delete(number)
      call.streams.stdout.end()
      call.streams.stderr.end()
      if (kind === TOLD.ended) call.reject(new CodeEnded(JSON.parse(body.toString()) as Ending))
      else settle(call, Buffer.concat([...call.parts, body]).toString())
    }
  }

  function drop(call: Call, stream: Stream): void {
    call.streams[stream].end()
    call.listener.onDropped(stream)
  }

  const exited = new Promise<void>((resolve) => {
    const end = (ending: Ending) => {
      if (ended !== undefined) return
      ended = ending
      for (const call of calls.values()) call.reject(gone())
      calls.clear()
      resolve()
    }
    parent.once('error', (error) => {
      said = error.message
      end({})
    })
    // Not 'close': what the code left behind may hold the pipes. A turn later, what was said has come.
    parent.once('exit', (exitCode, signal) => setImmediate(() => end({ exitCode, signal })))
  })

  function gone(): CodeEnded {
    return new CodeEnded({ ...ended, interpreter: ready ? 'ended' : 'never began' }, said.trim())
  }

  return {
    call(frame, listener) {
      if (ended !== undefined) return { reply: Promise.reject(gone()), kill() {} }
      last = (last % 0xffff_ffff) + 1
      const number = last
      const reply = new Promise<Reply>((resolve, reject) => {
        const streams = {
          stdout: lineReader((line) => listener.onLine('stdout', line)),
          stderr: lineReader((line) => listener.onLine('stderr', line)),
        }
        calls.set(number, { parts: [], streams, listener, resolve, reject })
        toParent.write(encodeFrame(FRAME.call, number, writeJson(frame)))
      })
      return { reply, kill: () => void toParent.write(encodeFrame(FRAME.kill, number)) }
    },
    async close() {
      toParent.end()
      const timer = setTimeout(() => parent.kill('SIGKILL'), CLOSE_MS)
      await exited
      clearTimeout(timer)
    },
    get alive() {
      return ended === undefined
    },
  }
}

/** The code had the pipe of its reply in hand: what came over it may be anything. */
function settle(call: Call, text: string): void {
  const reply = readReply(text)
  if (reply === undefined) call.reject(new CodeEnded({ foreign: true }))
  else call.resolve(reply)
}

function readReply(text: string): Reply | undefined {
  try {
    const reply = parseJson(text) as unknown as Reply
    return 'result' in reply || typeof reply.failure.message === 'string' ? reply : undefined
  } catch {
    return undefined
  }
}

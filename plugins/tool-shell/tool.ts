import {
  CallAborted,
  CONTRACT,
  defineTool,
  type JsonObject,
  type Tool,
  type ToolCall,
  ToolError,
} from '@noetl/core'
import { environmentOf } from './environment.ts'
import { failureOf, resultOf, startFailure } from './failures.ts'
import { makeGuard } from './guard.ts'
import { commandsOf, input, output, type ShellInput, textFields } from './input.ts'
import { folderOf, programOf } from './places.ts'
import { type Ended, runCommand } from './run-command.ts'

export interface ShellToolOptions {
  /** The shell of steps that name none. Default `sh`. */
  shell?: string
  /** Folder that commands run in, and that a relative `cwd` starts from. Default: the worker's. */
  cwd?: string
  /** Bytes that all commands of one call may write, stdout and stderr together. Default 10 MiB. */
  maxOutputBytes?: number
  /** Seconds a call may take when the step names no `timeout`. Default: no limit but the lease's. */
  timeoutSeconds?: number
  /** Milliseconds between SIGTERM and SIGKILL. Default 2,000. */
  graceMs?: number
  /** Further names of the worker's environment that commands may see. */
  passEnvironment?: string[]
}

/** Why commands were stopped before their end. */
type Stopped = 'aborted' | 'late' | 'full' | 'closed'

/** The shell tool: runs commands in order, each in a process group of its own, up to the first that fails. */
export function shellTool(options: ShellToolOptions = {}): Tool<typeof input, typeof output> {
  const { maxOutputBytes = 10 * 1024 * 1024, graceMs = 2000 } = options
  const guard = makeGuard()
  const running = new Set<{ stop(why: Stopped): void; ended: Promise<unknown> }>()
  let closed: Promise<void> | undefined

  async function run(fields: ShellInput, call: ToolCall): Promise<JsonObject> {
    call.signal.throwIfAborted()
    if (closed !== undefined) throw stopFailure('closed', { limit: 0, maxOutputBytes })
    const commands = commandsOf(fields)
    const shell = fields.shell ?? options.shell ?? 'sh'
    const env = environmentOf({
      worker: process.env,
      passed: options.passEnvironment ?? [],
      args: fields.input ?? {},
      env: { ...(call.traceparent === undefined ? {} : { TRACEPARENT: call.traceparent }), ...fields.env },
    })
    const limit = Number(fields.timeout ?? fields.timeout_seconds ?? options.timeoutSeconds ?? 0)
    const stopping = stoppable(call, limit)
    const room = { left: maxOutputBytes, onFull: () => stopping.stop('full') }
    const ended: Ended[] = []
    const onLine = (stream: string, line: string) => call.log.info({ stream, line }, 'output of a command')

    async function runAll(): Promise<JsonObject> {
      const cwd = await folderOf(fields.cwd, options.cwd ?? process.cwd())
      const program = await programOf(shell, process.env.PATH)
      for (const command of commands) {
        if (stopping.why() === undefined) {
          const around = { shell: program, cwd, env, room, graceMs, guard, stop: stopping.signal, onLine }
          ended.push(
            await runCommand(command, around).catch((error: unknown) => {
              throw startFailure(error, shell)
            }),
          )
        }
        const why = stopping.why()
        if (why === 'aborted') throw abortFailure(call, resultOf(ended, commands.length))
        if (why !== undefined)
          throw stopFailure(why, { limit, maxOutputBytes, result: resultOf(ended, commands.length) })
        const failure = failureOf(ended, commands.length)
        if (failure !== undefined) throw failure
      }
      return resultOf(ended, commands.length)
    }

    const one = { stop: stopping.stop, ended: runAll() }
    running.add(one)
    try {
      return await one.ended
    } finally {
      running.delete(one)
      stopping.release()
    }
  }

  async function close(): Promise<void> {
    for (const one of running) one.stop('closed')
    await Promise.allSettled([...running].map((one) => one.ended))
    await guard.close()
  }

  return defineTool({
    kind: 'shell',
    contract: CONTRACT,
    input,
    output,
    textFields,
    effect: 'idempotent',
    run,
    close() {
      closed ??= close()
      return closed
    },
  })
}

/** One signal for all that stops commands: the call's signal, the time limit, and what the tool itself finds. */
function stoppable(call: ToolCall, limit: number) {
  const controller = new AbortController()
  let stopped: Stopped | undefined
  const stop = (why: Stopped) => {
    stopped ??= why
    controller.abort()
  }
  const onAbort = () => stop('aborted')
  call.signal.addEventListener('abort', onAbort, { once: true })
  const ms = Math.min(limit * 1000, 2 ** 31 - 1)
  const timer = limit > 0 ? setTimeout(() => stop('late'), ms) : undefined
  return {
    signal: controller.signal,
    stop,
    why: () => stopped,
    release() {
      clearTimeout(timer)
      call.signal.removeEventListener('abort', onAbort)
    },
  }
}

/** What an aborted call ends with: the signal's reason, or a timeout where that is what the reason says. */
function abortFailure(call: ToolCall, result: JsonObject): unknown {
  const { reason } = call.signal
  if (!(reason instanceof CallAborted) || reason.why !== 'deadline') return reason
  return new ToolError('timeout', 'The commands were stopped: the time of the call was up.', {
    cause: reason,
    result,
  })
}

function stopFailure(
  why: Exclude<Stopped, 'aborted'>,
  about: { limit: number; maxOutputBytes: number; result?: JsonObject },
): ToolError {
  const result = about.result === undefined ? {} : { result: about.result }
  switch (why) {
    case 'late':
      return new ToolError(
        'timeout',
        `The commands were stopped: they took longer than ${about.limit} s.`,
        result,
      )
    case 'full':
      return new ToolError(
        'tool_error',
        `The commands were stopped: they wrote more than ${about.maxOutputBytes} bytes, the limit for stdout and stderr of one call. Write to a file, or less.`,
        result,
      )
    case 'closed':
      return new ToolError('cancelled', 'The commands were stopped: the shell tool was closed.', result)
  }
}

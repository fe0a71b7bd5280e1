import {
  CallAborted,
  CONTRACT,
  defineTool,
  type Json,
  type JsonObject,
  loadScript,
  type Tool,
  type ToolCall,
  ToolError,
} from '@noetl/core'
import { environmentOf } from './environment.ts'
import { input, output, type PythonInput } from './input.ts'
import { type Interpreter, InterpreterGone, type Reply, startInterpreter } from './interpreter.ts'
import { makePool } from './pool.ts'

export interface PythonToolOptions {
  /** The interpreter. Default `python3`, from PATH. */
  python?: string
  /** A folder of packages that code may import where the interpreter has none of that name. */
  fallbackPath?: string
  /** Processes at once, busy and idle. Default 64. */
  maxProcesses?: number
  /** Calls after which a process is replaced. Default 1,000. */
  maxCalls?: number
  /** Milliseconds after which idle processes are ended; one stays. Default 60,000. */
  idleMs?: number
  /** Bytes of one result as JSON. Default 32 MiB. */
  maxResultBytes?: number
  /** Characters of output that one call may log, per stream. Default 1 MiB. */
  maxLogCharacters?: number
  /** Seconds a call may take when the step names no `timeout`. Default: no limit but the lease's. */
  timeoutSeconds?: number
  /** Further names of the worker's environment that code may see. */
  passEnvironment?: string[]
}

/** The python tool: runs code in warm child processes, one call at a time each. */
export function pythonTool(options: PythonToolOptions = {}): Tool<typeof input, typeof output> {
  const { python = 'python3', maxResultBytes = 32 * 1024 * 1024, maxLogCharacters = 1024 * 1024 } = options
  const paths = options.fallbackPath === undefined ? [] : [options.fallbackPath]
  const env = environmentOf(process.env, options.passEnvironment ?? [])
  const pool = makePool({
    // Room around the result for the frame that carries it, and for a line of output.
    start: () =>
      startInterpreter({ python, paths, env, maxFrameBytes: maxResultBytes + 8 * maxLogCharacters + 4096 }),
    maxProcesses: options.maxProcesses ?? 64,
    maxCalls: options.maxCalls ?? 1000,
    idleMs: options.idleMs ?? 60_000,
  })

  async function run(fields: PythonInput, call: ToolCall): Promise<Json> {
    call.signal.throwIfAborted()
    const code = await codeOf(fields, call)
    const interpreter = await pool.take(call.signal)
    const frame = {
      code,
      args: fields.input ?? {},
      libs: fields.libs ?? null,
      context: /\b(context|variables)\b/.test(code) ? call.context() : null,
      maxResult: maxResultBytes,
      maxLog: maxLogCharacters,
    }
    const limit = Number(fields.timeout ?? fields.timeout_seconds ?? options.timeoutSeconds ?? 0)
    let fit = false
    try {
      const reply = await withinTime(interpreter, { frame, limit, call })
      fit = !reply.retire
      if ('failure' in reply) throw raised(reply.failure)
      return reply.result as Json
    } catch (error) {
      throw error instanceof InterpreterGone ? goneError(error, python) : error
    } finally {
      pool.give(interpreter, fit)
    }
  }

  return defineTool({
    kind: 'python',
    contract: CONTRACT,
    input,
    output,
    textFields: ['code'],
    effect: 'idempotent',
    run,
    close: () => pool.close(),
  })
}

/** The code itself, or read from where `script` says. */
async function codeOf({ code, script }: PythonInput, call: ToolCall): Promise<string> {
  const text = code ?? (script ? await loadScript(script, call) : '')
  if (text.trim() !== '') return text
  throw new ToolError('schema', 'The python tool needs code in "code", or in what "script" names.')
}

/** Sends the call; when its time is up or its signal aborts, kills the process with all that it started. */
async function withinTime(
  interpreter: Interpreter,
  { frame, limit, call }: { frame: object; limit: number; call: ToolCall },
): Promise<Reply> {
  let late = false
  const stop = () => interpreter.kill()
  call.signal.addEventListener('abort', stop, { once: true })
  const timer =
    limit > 0
      ? setTimeout(
          () => {
            late = true
            stop()
          },
          Math.min(limit * 1000, 2 ** 31 - 1),
        )
      : undefined
  try {
    call.signal.throwIfAborted()
    return await interpreter.call(frame, (stream, text, dropped) =>
      logOutput(call, { stream, text, dropped }),
    )
  } catch (error) {
    if (call.signal.aborted) {
      const { reason } = call.signal
      if (!(reason instanceof CallAborted) || reason.why !== 'deadline') throw reason
      throw new ToolError('timeout', 'The code was stopped: the time of the call was up.', { cause: reason })
    }
    if (late) throw new ToolError('timeout', `The code was stopped: it took longer than ${limit} s.`)
    throw error
  } finally {
    clearTimeout(timer)
    call.signal.removeEventListener('abort', stop)
  }
}

function logOutput(
  call: ToolCall,
  { stream, text, dropped }: { stream: string; text: string; dropped: boolean },
): void {
  for (const line of text.split('\n')) call.log.info({ stream, line }, 'output of python code')
  if (dropped) call.log.warn({ stream }, 'more output of this call is dropped')
}

function raised({
  exception,
  message,
  traceback,
}: {
  exception: string
  message: string
  traceback: string
}): ToolError {
  const py: JsonObject = { exception, traceback }
  return new ToolError('tool_error', message, { code: exception, facets: { py } })
}

function goneError(error: InterpreterGone, python: string): ToolError {
  if (error.neverBegan) {
    return new ToolError(
      'tool_error',
      `"${python}" could not be started: ${error.message || `it ended with code ${error.exitCode}`}. Install Python 3.9 or newer, or name one with NOETL_PYTHON.`,
      { cause: error },
    )
  }
  const how = error.signal === null ? `with exit code ${error.exitCode}` : `by signal ${error.signal}`
  const why = error.message === '' ? '' : ` (${error.message})`
  return new ToolError('tool_error', `The python process ended ${how} before the code did${why}.`, {
    retryable: error.signal !== null,
    cause: error,
  })
}

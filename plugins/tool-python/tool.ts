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
import { CodeEnded, type Interpreter, type Listener, type Reply, startInterpreter } from './interpreter.ts'
import { makeTurns } from './turns.ts'

export interface PythonToolOptions {
  /** The interpreter. Default `python3`, from PATH. */
  python?: string
  /** A folder of packages that code may import where the interpreter has none of that name. */
  fallbackPath?: string
  /** Modules to import once, ahead of all calls: large ones, such as pandas. */
  preload?: string[]
  /** Calls at once. Default 64. */
  maxProcesses?: number
  /** Bytes of one result as JSON. Default 32 MiB. */
  maxResultBytes?: number
  /** Bytes of output that one call may log, per stream. Default 1 MiB. */
  maxLogBytes?: number
  /** Seconds a call may take when the step names no `timeout`. Default: no limit but the lease's. */
  timeoutSeconds?: number
  /** Further names of the worker's environment that code may see. */
  passEnvironment?: string[]
}

/** The python tool: runs code in a child process of its own per call, forked from a warm interpreter. */
export function pythonTool(options: PythonToolOptions = {}): Tool<typeof input, typeof output> {
  const { python = 'python3' } = options
  const settings = {
    python,
    paths: options.fallbackPath === undefined ? [] : [options.fallbackPath],
    preload: options.preload ?? [],
    env: environmentOf(process.env, options.passEnvironment ?? []),
    maxResult: options.maxResultBytes ?? 32 * 1024 * 1024,
    maxLog: options.maxLogBytes ?? 1024 * 1024,
  }
  const turns = makeTurns(options.maxProcesses ?? 64)
  let interpreter: Interpreter | undefined
  let closed = false

  /** Started at the first call, and again when it has died. */
  function running(): Interpreter {
    if (closed) throw new Error('the python tool is closed')
    if (interpreter?.alive !== true) interpreter = startInterpreter(settings)
    return interpreter
  }

  async function run(fields: PythonInput, call: ToolCall): Promise<Json> {
    call.signal.throwIfAborted()
    const code = await codeOf(fields, call)
    const frame = {
      code,
      args: fields.input ?? {},
      libs: fields.libs ?? null,
      ...(call.traceparent === undefined ? {} : { traceparent: call.traceparent }),
      context: /\b(context|variables)\b/.test(code) ? call.context() : null,
    }
    const limit = Number(fields.timeout ?? fields.timeout_seconds ?? options.timeoutSeconds ?? 0)
    const release = await turns.take(call.signal)
    try {
      const reply = await withinTime(running(), { frame, limit, call })
      if ('failure' in reply) throw raised(reply.failure)
      return reply.result as Json
    } catch (error) {
      throw error instanceof CodeEnded ? endedError(error, python) : error
    } finally {
      release()
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
    async close() {
      closed = true
      await interpreter?.close()
    },
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
  const { reply, kill } = interpreter.call(frame, logOf(call))
  call.signal.addEventListener('abort', kill, { once: true })
  const timer =
    limit > 0
      ? setTimeout(
          () => {
            late = true
            kill()
          },
          Math.min(limit * 1000, 2 ** 31 - 1),
        )
      : undefined
  try {
    return await reply
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
    call.signal.removeEventListener('abort', kill)
  }
}

function logOf(call: ToolCall): Listener {
  return {
    onLine: (stream, line) => call.log.info({ stream, line }, 'output of python code'),
    onDropped: (stream) => call.log.warn({ stream }, 'more output of this call is dropped'),
  }
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

function endedError(error: CodeEnded, python: string): ToolError {
  const { interpreter, exitCode, signal, closed, foreign, unable } = error.how
  const told = (message: string, retryable: boolean) =>
    new ToolError('tool_error', message, { retryable, cause: error })
  const how = signal ? `by signal ${signal}` : `with exit code ${exitCode}`
  if (interpreter === 'never began') {
    const why = error.message || `it ended ${how}`
    return told(
      `"${python}" could not be started: ${why}. Install Python 3.9 or newer, or name one with NOETL_PYTHON.`,
      false,
    )
  }
  if (interpreter === 'ended')
    return told(
      `The python interpreter from which the code was forked ended ${how} before the code did.`,
      true,
    )
  if (unable !== undefined) return told(`The code was not run: ${unable}.`, true)
  if (foreign === true)
    return told(
      'Something else came where the result of the code was expected: it wrote to a file descriptor that it did not open.',
      false,
    )
  if (closed === true)
    return told(
      'The code closed the file descriptor over which its result would have come (as os.closerange and os.execv do). It may close only what it opened; run other programs with subprocess.',
      false,
    )
  return told(`The python process ended ${how} before the code did.`, signal != null)
}

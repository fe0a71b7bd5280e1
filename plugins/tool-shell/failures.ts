import { constants } from 'node:os'
import { type JsonObject, ToolError } from '@noetl/core'
import { nameOf } from './input.ts'
import type { Ended } from './run-command.ts'

/** Lines and characters of stderr that a message shows. */
const TAIL_LINES = 5
const TAIL_CHARACTERS = 1000

/** Codes of the system that say "not now". */
const PASSING = new Set(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM'])

/** The result of commands that ran: outputs joined, the code of the last, and each one's own when several were asked for. */
export function resultOf(ended: readonly Ended[], asked: number): JsonObject {
  return {
    exit_code: codeOf(ended.at(-1)),
    stdout: ended.map(({ stdout }) => stdout).join(''),
    stderr: ended.map(({ stderr }) => stderr).join(''),
    ...(asked === 1
      ? {}
      : {
          commands: ended.map((one) => ({
            exit_code: codeOf(one),
            stdout: one.stdout,
            stderr: one.stderr,
          })),
        }),
  }
}

/** As shells count: a signal is 128 and its number. */
function codeOf(ended: Ended | undefined): number | null {
  if (ended === undefined || ended.signal === null) return ended?.exitCode ?? null
  return 128 + constants.signals[ended.signal]
}

/** The failure that the last command is, or undefined when it ended well. */
export function failureOf(ended: readonly Ended[], asked: number): ToolError | undefined {
  const last = ended.at(-1)
  if (last === undefined || last.exitCode === 0) return undefined
  const what = nameOf(ended.length - 1, asked)
  const result = resultOf(ended, asked)
  if (last.signal !== null) {
    return new ToolError('tool_error', `${what} was ended by signal ${last.signal}${tail(last.stderr)}`, {
      code: last.signal,
      // Somebody else ended it: a kernel out of memory, a machine that shuts down.
      retryable: last.signal === 'SIGKILL' || last.signal === 'SIGTERM',
      result: { ...result, signal: last.signal },
    })
  }
  return new ToolError(
    'tool_error',
    `${what} ended with exit code ${last.exitCode}${meaning(last.exitCode)}${tail(last.stderr)}`,
    { code: String(last.exitCode), result },
  )
}

function meaning(code: number | null): string {
  if (code === 126) return ' (found, but it cannot be run)'
  if (code === 127) return ' (no such program)'
  const signal = Object.entries(constants.signals).find(([, number]) => code === 128 + number)?.[0]
  return signal === undefined ? '' : ` (a program in it was ended by signal ${signal})`
}

/** The end of stderr, where programs say why. */
function tail(stderr: string): string {
  const text = stderr.trim().split('\n').slice(-TAIL_LINES).join('\n')
  if (text === '') return '; it wrote nothing to stderr.'
  return `: ${text.length > TAIL_CHARACTERS ? `…${text.slice(-TAIL_CHARACTERS)}` : text}`
}

/** The failure of a shell that did not start. */
export function startFailure(error: unknown, shell: string): ToolError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const options = { cause: error, ...(code === '' ? {} : { code }) }
  if (code === 'E2BIG') {
    return new ToolError(
      'schema',
      'A command with its environment is larger than the system takes (128 KiB for one text, some MiB in all): keep large values in a file.',
      options,
    )
  }
  if (code === 'ENOENT' || code === 'EACCES') {
    return new ToolError(
      'tool_error',
      `The shell "${shell}" cannot be started (${code}): install it, or name another under "shell".`,
      options,
    )
  }
  const why = error instanceof Error ? error.message : String(error)
  return new ToolError('tool_error', `The shell "${shell}" cannot be started: ${why}`, {
    ...options,
    retryable: PASSING.has(code),
  })
}

import { isObject, ToolError, writeJson } from '@noetl/core'

/** What commands may see of the worker's environment. Anything else may be a secret of the gateway. */
const PASSED = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TMPDIR',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
]

/** Before the names of arguments: no argument can then stand for PATH, LD_PRELOAD or the like. */
const ARGUMENT_PREFIX = 'INPUT_'
const MAX_ARGUMENT_BYTES = 16 * 1024
/** Of all arguments together; the system refuses a process whose environment is too large. */
const MAX_ARGUMENTS_BYTES = 512 * 1024

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/**
 * The environment of a command: names above, `LC_*`, those that the options add; then the step's plain
 * arguments as `INPUT_<name>`; then `env` of the step, where null takes a name away.
 */
export function environmentOf(from: {
  worker: NodeJS.ProcessEnv
  passed: readonly string[]
  args: Record<string, unknown>
  env: Record<string, unknown>
}): Record<string, string> {
  const chosen = new Map<string, string>()
  const locale = Object.keys(from.worker).filter((name) => name.startsWith('LC_'))
  for (const name of [...PASSED, ...locale, ...from.passed]) {
    const value = from.worker[name]
    if (value !== undefined) chosen.set(name, value)
  }
  for (const [name, value] of plainArguments(from.args)) chosen.set(name, value)
  for (const [name, value] of Object.entries(from.env)) {
    if (!NAME.test(name)) {
      throw new ToolError(
        'schema',
        `"${name}" under env cannot be the name of a variable: letters, digits and _ were expected.`,
      )
    }
    if (value === null || value === undefined) chosen.delete(name)
    else chosen.set(name, variable(name, value))
  }
  return Object.fromEntries(chosen)
}

/** Arguments that fit in a variable; others are for the templates only. */
function plainArguments(args: Record<string, unknown>): [string, string][] {
  const fitting: [string, string][] = []
  let room = MAX_ARGUMENTS_BYTES
  for (const [name, value] of Object.entries(args)) {
    if (!NAME.test(name) || value === null || value === undefined || isObject(value) || Array.isArray(value))
      continue
    const text = String(value)
    const bytes = Buffer.byteLength(text)
    if (bytes > MAX_ARGUMENT_BYTES || bytes + name.length > room || text.includes('\0')) continue
    room -= bytes + name.length
    fitting.push([ARGUMENT_PREFIX + name, text])
  }
  return fitting
}

function variable(name: string, value: unknown): string {
  const text = typeof value === 'object' ? writeJson(value) : String(value)
  // The value may be a secret: it is never shown.
  if (text.includes('\0'))
    throw new ToolError(
      'schema',
      `The value of ${name} under env holds a NUL character, which no variable can.`,
    )
  return text
}

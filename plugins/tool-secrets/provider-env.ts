import { ToolError } from '@noetl/core'
import type { Provider } from './provider.ts'
import { nameOf } from './references.ts'

/** Variables of the worker's environment whose names are allowed; `PREFIX_*` stands for all that begin so. */
export function envProvider(options: { allowed: readonly string[]; env: NodeJS.ProcessEnv }): Provider {
  const { allowed, env } = options
  return {
    open: async () => async (name) => {
      if (!allowed.some((pattern) => fits(name, pattern))) {
        throw new ToolError(
          'auth',
          `${nameOf(name)} may not be read from the environment: the names allowed are ${allowed.join(', ') || '(none)'}. Name the variable so, or add it to the option envNames.`,
        )
      }
      const value = Object.hasOwn(env, name) ? env[name] : undefined
      if (value === undefined)
        throw new ToolError('not_found', `${nameOf(name)} is not in the worker's environment.`)
      return { bytes: Buffer.from(value), isJson: false }
    },
  }
}

function fits(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}

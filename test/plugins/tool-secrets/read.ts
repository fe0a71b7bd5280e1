import type { Credential, JsonObject, ToolError, ToolLog } from '@noetl/core'
import type { Test } from 'tap'
import { type SecretsToolOptions, secretsTool } from '../../../plugins/tool-secrets/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'

/** A text that stands in secrets, and must not be in what is told of them. */
export const SECRET = 's3cret'

type Stored = Record<string, Pick<Credential, 'type' | 'data'>>

/** A tool of the test's own. After each call, what it logged and what its error holds is looked through. */
export function open(t: Test, options: SecretsToolOptions = {}, stored: Stored = {}) {
  const tool = secretsTool(options)
  t.teardown(() => tool.close?.())
  const logged: unknown[] = []
  const keep = (...said: unknown[]) => void logged.push(said)
  const log: ToolLog = { debug: keep, info: keep, warn: keep, error: keep }
  const call = (fields: JsonObject, signal = new AbortController().signal) =>
    tool.run({ provider: '', ...fields }, toolCall({ stored, log, signal }))
  return {
    async run(fields: JsonObject): Promise<JsonObject> {
      const result = await call(fields)
      t.notMatch(JSON.stringify(logged), SECRET, 'no secret is logged')
      return result as JsonObject
    },
    async fail(fields: JsonObject, signal?: AbortSignal): Promise<ToolError> {
      const error = await toolFailure(call(fields, signal))
      t.notMatch(everything(error) + JSON.stringify(logged), SECRET, 'no secret is shown')
      return error
    },
  }
}

/** All that an error holds, its causes and stacks included. */
function everything(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error) ?? ''
  const own = JSON.stringify(Object.fromEntries(Object.entries(error)))
  return [error.stack, error.message, own, everything(error.cause)].join('\n')
}

/** Sets variables for the length of a test. */
export function withVariables(t: Test, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) {
    process.env[name] = value
    t.teardown(() => delete process.env[name])
  }
}

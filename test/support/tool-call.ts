import { type Credential, type JsonObject, type ToolCall, ToolError } from '@noetl/core'

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** What a tool is given in a test: credentials by alias, and whatever else the test wants to be otherwise. */
export function toolCall(
  options: Partial<ToolCall> & { stored?: Record<string, { type: string; data: JsonObject }> } = {},
): ToolCall {
  const { stored = {}, ...rest } = options
  return {
    signal: new AbortController().signal,
    log: silent,
    attempt: 1,
    idempotencyKey: 'key-1',
    executionId: '100',
    step: 'fetch',
    async credentials(alias): Promise<Credential> {
      const found = stored[alias]
      if (found === undefined) throw new ToolError('auth', `No credential is stored as ${alias}.`)
      return { name: alias, ...found }
    },
    context: () => ({}),
    ...rest,
  }
}

/** The ToolError that `running` ends with; anything else is passed on. */
export async function toolFailure(running: Promise<unknown>): Promise<ToolError> {
  try {
    await running
  } catch (error) {
    if (error instanceof ToolError) return error
    throw error
  }
  throw new Error('the tool was expected to fail and did not')
}

import type { Logger } from 'pino'
import { type ErrorCode, makeError } from '../errors.ts'
import { type CallError, makeCallError } from '../schemas/command.ts'
import type { Json, JsonObject } from '../schemas/json.ts'
import { CallAborted, type ToolCall, type ToolError } from '../tools/define.ts'
import type { LoadedTool } from '../tools/registry.ts'

/** What one call of a tool came to. */
export interface CallOutcome {
  result: Json
  error: CallError | null
  facets: JsonObject
  durationMs: number
}

/**
 * Calls a tool with its rendered fields. What the tool throws as expected becomes an error of the call;
 * anything else is a bug of the tool, told as such. An abort goes on up.
 */
export async function callTool(
  loaded: LoadedTool,
  fields: JsonObject,
  call: ToolCall,
  log: Logger,
): Promise<CallOutcome> {
  const { tool } = loaded
  const misfit = loaded.checkInput(fields)
  if (misfit !== undefined) return failed(fault('NOETL_ERR_TOOL_INPUT', [tool.kind, misfit], 'schema'), 0)
  const startedAt = performance.now()
  try {
    const result = (await tool.run(fields, call)) ?? null
    const durationMs = performance.now() - startedAt
    if (isDeep(result)) {
      const why = `it is nested deeper than ${MAX_DEPTH} levels`
      return failed(fault('NOETL_ERR_TOOL_OUTPUT', [tool.kind, why], 'schema'), durationMs)
    }
    const wrong = loaded.checkOutput(result)
    if (wrong !== undefined)
      return failed(fault('NOETL_ERR_TOOL_OUTPUT', [tool.kind, wrong], 'schema'), durationMs)
    return { result, error: null, facets: tool.facets?.(result) ?? {}, durationMs }
  } catch (error) {
    const durationMs = performance.now() - startedAt
    if (call.signal.aborted && (error === call.signal.reason || error instanceof CallAborted))
      throw call.signal.reason
    if (isToolError(error)) {
      return { result: error.result, error: error.toCallError(), facets: error.facets, durationMs }
    }
    log.error({ err: error, kind: tool.kind, plugin: loaded.plugin }, 'a tool threw what is no ToolError')
    const message = error instanceof Error ? error.message : String(error)
    return failed(fault('NOETL_ERR_TOOL_BUG', [tool.kind, message], 'unknown'), durationMs)
  }
}

/** Levels of a result; a server takes what is nested a little deeper. */
const MAX_DEPTH = 200

/** Looked at level by level: a value may be nested deeper than calls may be. */
function isDeep(value: Json): boolean {
  let level: Json[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true
    level = level.flatMap((part) =>
      typeof part === 'object' && part !== null ? Object.values(part).filter(isHolder) : [],
    )
  }
  return false
}

function isHolder(value: Json): boolean {
  return typeof value === 'object' && value !== null
}

/** An error of the table as an error of a call. */
export function fault(
  code: ErrorCode,
  values: readonly (string | number)[],
  kind: CallError['kind'],
): CallError {
  return makeCallError({ kind, code, message: makeError(code, values).message })
}

function failed(error: CallError, durationMs: number): CallOutcome {
  return { result: null, error, facets: {}, durationMs }
}

/** Also one made by another copy of the core that a plugin brought along. */
function isToolError(error: unknown): error is ToolError {
  return error instanceof Error && error.name === 'ToolError' && 'toCallError' in error
}

import type { CallError, Child } from '../schemas/command.ts'
import { isObject, type JsonObject } from '../schemas/json.ts'
import { fault } from './call-tool.ts'

/** How long a step waits for the playbook it calls unless it says otherwise: a day. In seconds. */
const DEFAULT_TIMEOUT_SECONDS = 86_400

/** The execution that the rendered fields of a `playbook` tool ask for, or what is wrong with them. */
export function readChild(fields: JsonObject): { child: Child } | { error: CallError } {
  const { path, version, return_step, input, payload } = fields
  const wrong = (why: string) => ({ error: fault('NOETL_ERR_TOOL_INPUT', ['playbook', why], 'schema') })
  if (typeof path !== 'string' || path.trim() === '') return wrong('path must be the path of a playbook')
  if (return_step !== undefined && return_step !== null && typeof return_step !== 'string') {
    return wrong('return_step must be the name of a step')
  }
  const number = version === undefined || version === null || version === 'latest' ? null : Number(version)
  if (number !== null && !(Number.isInteger(number) && number > 0)) {
    return wrong('version must be a whole number or "latest"')
  }
  const timeout = Number(fields.timeout ?? fields.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS)
  if (!(timeout > 0)) return wrong('timeout must be a number of seconds above 0')
  const given = isObject(input) && Object.keys(input).length > 0 ? input : payload
  if (given !== undefined && given !== null && !isObject(given)) {
    return wrong('payload must be a mapping (key: value)')
  }
  return {
    child: {
      path,
      version: number,
      payload: given ?? {},
      return_step: return_step ?? null,
      timeout_seconds: Math.min(timeout, 365 * 86_400),
    },
  }
}

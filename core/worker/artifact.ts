import { type Static, Type } from 'typebox'
import { ServerError } from '../client.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { CONTRACT, defineTool, type Tool, ToolError } from '../tools/define.ts'
import type { Servers } from './servers.ts'

const input = Type.Object(
  {
    action: Type.Optional(Type.Union([Type.Literal('get'), Type.Literal('put')])),
    result_ref: Type.Optional(Type.String()),
    input: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: true },
)

/**
 * The built-in tool that reads and writes values stored aside: `get` gives the whole that a `_ref` stands for,
 * `put` stores `data` under `name` and gives its reference.
 */
export function artifactTool(servers: Servers): Tool<typeof input> {
  return defineTool({
    kind: 'artifact',
    contract: CONTRACT,
    input,
    output: Type.Unknown(),
    effect: 'idempotent',
    async run(fields, call) {
      const args = (isObject(fields.input) ? fields.input : {}) as JsonObject
      return fields.action === 'put'
        ? put(servers, call.executionId, call.step, { ...args, ...ownFields(fields) })
        : get(servers, { ...args, ...ownFields(fields) })
    },
  })
}

function ownFields({ action: _action, input: _input, ...own }: Static<typeof input>): JsonObject {
  return own as JsonObject
}

async function get(servers: Servers, args: JsonObject): Promise<Json> {
  const ref = args.result_ref ?? args.ref
  if (typeof ref !== 'string' || ref === '') {
    throw new ToolError('schema', 'artifact get needs result_ref, such as "{{ step._ref }}"; seen: nothing.')
  }
  return asked(() => servers.get<Json>(`/api/result/resolve?ref=${encodeURIComponent(ref)}`))
}

async function put(servers: Servers, executionId: string, step: string, args: JsonObject): Promise<Json> {
  const { data, name = step } = args
  if (data === undefined) throw new ToolError('schema', 'artifact put needs data; seen: nothing.')
  const path = `/api/result/${executionId}`
  const stored = await asked(() => servers.put<JsonObject>(path, { name, data, source_step: step }))
  return { ...stored, _ref: stored.ref ?? null }
}

async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (cause) {
    const { message } = cause as Error
    if (!(cause instanceof ServerError)) throw new ToolError('connection', message, { cause })
    const kind =
      cause.statusCode === 404 ? 'not_found' : cause.statusCode >= 500 ? 'server_error' : 'client_error'
    throw new ToolError(kind, message, { code: cause.code, status: cause.statusCode, cause })
  }
}

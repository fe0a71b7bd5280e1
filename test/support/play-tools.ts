import { isDeepStrictEqual } from 'node:util'
import { readReference } from '../../core/engine/aside.ts'
import { ERROR_KINDS, type ErrorKind } from '../../core/schemas/command.ts'
import { isObject, type Json, type JsonObject, parseJson, writeJson } from '../../core/schemas/json.ts'
import { type Tool, type ToolCall, ToolError } from '../../core/tools/define.ts'
import { noopTool } from '../../core/tools/noop.ts'
import { type LoadedTool, makeToolRegistry, type ToolRegistry } from '../../core/tools/registry.ts'
import { artifactTool } from '../../core/worker/artifact.ts'
import { makeKeychain } from '../../core/worker/keychain.ts'
import type { Servers } from '../../core/worker/servers.ts'
import { duckdbTool, ducklakeTool } from '../../plugins/tool-duckdb/tool.ts'
import { httpTool } from '../../plugins/tool-http/tool.ts'
import { postgresTool } from '../../plugins/tool-postgres/tool.ts'
import { pythonTool } from '../../plugins/tool-python/tool.ts'
import type { PlayStore } from './play-store.ts'

/**
 * What a tool that is stood in for gives: a value for every call; `{error: {kind, message, …}}`; or a list
 * with one of these for each call in turn (a value that is a list stands in such a list).
 */
export type Given = Json

/** One call of a tool that is stood in for, with its fields as it got them. */
export interface Called {
  step: string
  kind: string
  fields: JsonObject
}

/** These are made once, for it takes long to compile their schemas; the real ones never run. */
const LOADED = makeToolRegistry()
for (const tool of [noopTool, pythonTool(), httpTool(), postgresTool(), duckdbTool(), ducklakeTool()]) {
  LOADED.register(tool as unknown as Tool, { name: 'play', version: '1.0.0' })
}

/**
 * The tools of a run: `noop` and `artifact` as they are, and stand-ins with the faces of python, http,
 * postgres and duckdb that check their input as the real ones do and give what the run's table says.
 */
export function makePlayTools({
  gives,
  calls,
  store,
}: {
  gives: Record<string, Given>
  calls: Called[]
  store: PlayStore
}): { registry: ToolRegistry; keychain: ReturnType<typeof makeKeychain>; checkAllGiven(): void } {
  const turns = new Map<string, number>()
  const faults: string[] = []
  const artifact: LoadedTool = {
    ...LOADED.get('noop')!,
    tool: artifactTool(serversOver(store)) as unknown as Tool,
  }
  const registry: ToolRegistry = {
    register: () => wrong('play takes no more tools'),
    get(kind) {
      if (kind === 'artifact') return artifact
      const loaded = LOADED.get(kind)
      if (loaded === undefined || kind === 'noop') return loaded
      return { ...loaded, tool: standIn(loaded.tool), checkOutput: () => undefined }
    },
    kinds: () => ['artifact', ...LOADED.kinds()],
    close: async () => {},
  }

  function standIn(real: Tool): Tool {
    return {
      ...real,
      async run(fields, call) {
        calls.push({ step: call.step, kind: real.kind, fields: parseJson(writeJson(fields)) as JsonObject })
        return given(real, call)
      },
    }
  }

  function given(real: Tool, { step, idempotencyKey }: ToolCall): Json {
    // `<command>-<label>-<visit>`: the one place where a tool sees its label.
    const label = idempotencyKey.replace(/^\d+(-\d+)*-/, '').replace(/-\d+$/, '')
    const key = [`${step}.${label}`, label, step].find((name) => Object.hasOwn(gives, name))
    if (key === undefined) return wrong(`nothing is given for ${step}.${label} of kind ${real.kind}`)
    const turn = turns.get(key) ?? 0
    turns.set(key, turn + 1)
    const entry = gives[key]!
    if (Array.isArray(entry) && turn >= entry.length)
      return wrong(`${key} is called more often than it gives`)
    const value = Array.isArray(entry) ? entry[turn]! : entry
    if (isError(value)) throw errorOf(real, value.error)
    return parseJson(writeJson(value))
  }

  /** A mistake of the case, told at the end: a playbook may well take it for an error of its own. */
  function wrong(fault: string): never {
    faults.push(fault)
    throw new Error(fault)
  }

  return {
    registry,
    keychain: makeKeychain(),
    checkAllGiven() {
      for (const [key, entry] of Object.entries(gives)) {
        const used = turns.get(key) ?? 0
        const wanted = Array.isArray(entry) ? entry.length : 1
        if (used < wanted) faults.push(`${key} gives ${wanted} results and was asked for ${used}`)
      }
      if (faults.length > 0) throw new Error(faults.join('; '))
    },
  }
}

function isError(value: Json): value is { error: JsonObject } {
  return isObject(value) && isObject(value.error) && isDeepStrictEqual(Object.keys(value), ['error'])
}

function errorOf(real: Tool, told: JsonObject): ToolError {
  const kind = ERROR_KINDS.find((known) => known === told.kind) satisfies ErrorKind | undefined
  if (kind === undefined) throw new Error(`there is no kind of error ${JSON.stringify(told.kind)}`)
  const result = told.result ?? null
  return new ToolError(kind, String(told.message), {
    result,
    facets: { ...real.facets?.(result), ...(isObject(told.facets) ? told.facets : {}) },
    ...(typeof told.code === 'string' ? { code: told.code } : {}),
    ...(typeof told.status === 'number' ? { status: told.status } : {}),
    ...(typeof told.retryable === 'boolean' ? { retryable: told.retryable } : {}),
    ...(typeof told.retry_after === 'number' ? { retryAfterSeconds: told.retry_after } : {}),
  })
}

/** The two requests that the artifact tool makes of a server. */
function serversOver(store: PlayStore): Servers {
  const refuse = () => Promise.reject(new Error('play has no server for this request'))
  return {
    async get<T>(path: string) {
      const ref = new URL(path, 'http://play').searchParams.get('ref') ?? ''
      const place = readReference(ref)
      const whole = place && (await store.loadWhole(place.executionId, place.resultId))
      if (whole === undefined) throw new Error(`there is no result ${ref}`)
      return whole as T
    },
    async put<T>(path: string, body: unknown) {
      const executionId = path.split('/').at(-1)!
      const { name, data } = body as { name: string; data: Json }
      const result_id = store.newId()
      const bytes = JSON.stringify(data).length
      store.putResult(executionId, { result_id, name, store: 'kv', bytes, data })
      return { ref: `noetl://execution/${executionId}/result/${name}/${result_id}`, store: 'kv', bytes } as T
    },
    post: refuse,
    close: async () => {},
  }
}

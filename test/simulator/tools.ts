import { setTimeout as wait } from 'node:timers/promises'
import { Type } from 'typebox'
import type { ErrorKind } from '../../core/schemas/command.ts'
import type { Json } from '../../core/schemas/json.ts'
import type { Effect } from '../../core/schemas/playbook.ts'
import { CONTRACT, defineTool, type Tool, type ToolCall, ToolError } from '../../core/tools/define.ts'
import { noopTool } from '../../core/tools/noop.ts'
import { makeToolRegistry } from '../../core/tools/registry.ts'
import { currentProcess } from './world.ts'

/** Tools that take simulated time. What they give follows from their fields alone, however often they run. */
const input = Type.Object(
  {
    /** How long it takes. */
    ms: Type.Optional(Type.Number()),
    value: Type.Optional(Type.Unknown()),
    /** How many calls under one key fail before one does not. */
    fails: Type.Optional(Type.Integer()),
    kind_of_error: Type.Optional(Type.String()),
    /** Characters that the result has beside its value. */
    size: Type.Optional(Type.Integer()),
  },
  { additionalProperties: true },
)

/** What tools tell of their runs. */
export interface ToolWatch {
  begun(kind: string, call: ToolCall): void
}

const watches = new WeakMap<object, ToolWatch>()
const failures = new WeakMap<object, Map<string, number>>()

/** Has the tools of one world tell of their runs. */
export function watchTools(world: object, watch: ToolWatch): void {
  watches.set(world, watch)
  failures.set(world, new Map())
}

function workTool(kind: string, effect: Effect) {
  return defineTool({
    kind,
    contract: CONTRACT,
    input,
    output: Type.Unknown(),
    effect,
    async run({ ms = 0, value = null, fails = 0, kind_of_error = 'tool_error', size = 0 }, call) {
      const { world } = currentProcess()!
      watches.get(world)?.begun(kind, call)
      if (ms > 0) await wait(ms, undefined, { signal: call.signal })
      const failed = failures.get(world)!
      const before = failed.get(call.idempotencyKey) ?? 0
      if (before < fails) {
        failed.set(call.idempotencyKey, before + 1)
        throw new ToolError(kind_of_error as ErrorKind, `it fails ${fails} times`)
      }
      return { value: value as Json, step: call.step, ...(size > 0 ? { text: 'x'.repeat(size) } : {}) }
    },
  })
}

/** Gives rows for loops over a cursor: some for each step of each execution, and those that were taken never again. */
const rowsTool = defineTool({
  kind: 'duckdb',
  contract: CONTRACT,
  input: Type.Object(
    { input: Type.Optional(Type.Object({ __frame_max_rows: Type.Optional(Type.Number()) })) },
    { additionalProperties: true },
  ),
  output: Type.Unknown(),
  effect: 'idempotent',
  async run({ input: { __frame_max_rows: most = ROWS } = {} }, { executionId, step, signal }) {
    const { world } = currentProcess()!
    await wait(1, undefined, { signal })
    const taken = failures.get(world)!
    const key = `rows ${executionId} ${step}`
    const from = taken.get(key) ?? 0
    const until = Math.min(ROWS, from + most)
    taken.set(key, until)
    return { rows: Array.from({ length: until - from }, (_, i) => ({ id: from + i })) }
  },
})
const ROWS = 5

export const EFFECTS: Record<string, Effect> = { work: 'idempotent', once: 'unsafe', noop: 'pure' }

/** Made once: compiling schemas takes longer than a run. */
export const tools = makeToolRegistry()
for (const tool of [noopTool, rowsTool, workTool('work', EFFECTS.work!), workTool('once', EFFECTS.once!)]) {
  tools.register(tool as unknown as Tool, { name: 'simulator', version: '1.0.0' })
}

import { type TSchema, Type } from 'typebox'
import type { JsonObject } from '../schemas/json.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { CONTRACT } from './define.ts'
import { noopTool } from './noop.ts'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
const named = Type.Record(Type.String(), Type.Unknown())
const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

const playbook = Type.Object(
  {
    path: Type.String({ minLength: 1, description: 'Path of the playbook in the catalog' }),
    version: maybe(Type.Union([Type.Integer({ minimum: 1 }), Type.String()])),
    payload: maybe(Type.Object({}, { additionalProperties: true, description: 'Its payload; input wins' })),
    return_step: maybe(Type.String({ description: 'Step of it whose result this step has' })),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    // Some playbooks name the entry of a workbook beside it; it says nothing here.
    task: Type.Optional(Type.Unknown()),
    input: maybe(named),
  },
  { additionalProperties: true },
)

const artifact = Type.Object(
  {
    action: maybe(Type.Union([Type.Literal('get'), Type.Literal('put')], { description: 'Default get' })),
    result_ref: maybe(Type.String({ description: 'get: a reference such as {{ step._ref }}' })),
    ref: maybe(Type.String({ description: 'As result_ref' })),
    name: maybe(Type.String({ description: 'put: default the name of the step' })),
    data: Type.Optional(Type.Unknown({ description: 'put: what is stored' })),
    input: maybe(named),
  },
  { additionalProperties: true },
)

/** Stands for a tool of the playbook's own `workbook`, whose fields it may lay over: so any field is one. */
const workbook = Type.Object(
  {
    task: maybe(Type.String({ description: 'Entry of workbook; default: name' })),
    input: maybe(named),
  },
  { additionalProperties: true },
)

/** The tools that need no plugin. */
export const BUILT_IN_TOOLS: readonly ToolDescription[] = [
  builtIn('artifact', artifact, 'idempotent'),
  builtIn('noop', noopTool.input, noopTool.effect),
  builtIn('playbook', playbook, 'unsafe'),
  builtIn('workbook', workbook, 'unsafe'),
]

function builtIn(kind: string, input: TSchema, effect: ToolDescription['effect']): ToolDescription {
  return {
    kind,
    input: JSON.parse(JSON.stringify(input)) as JsonObject,
    output: {},
    effect,
    textFields: [],
    plugin: '@noetl/core',
    version: String(CONTRACT),
  }
}

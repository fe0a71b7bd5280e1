import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { orTemplate } from './json-schema-template.ts'
import {
  about,
  anyOf,
  list,
  MAPPING,
  NAME,
  oneOrMore,
  orNull,
  PROSE,
  ref,
  withThen,
} from './json-schema-words.ts'
import { TASK_KEYS } from './tasks.ts'

/** Kinds of the first dialect that are loops of their own. */
const UNFOLDED = ['iterator', 'playbooks']

/** Keys of a tool that say something of the call, not to the tool. */
const TASK: JsonObject = {
  kind: about('Which tool.', { type: 'string' }),
  name: about('Its label in a list.', NAME),
  desc: PROSE,
  description: PROSE,
  input: ref('arguments'),
  args: about('Old spelling of input.', anyOf(MAPPING, { type: ['array', 'string'] })),
  set: ref('set'),
  retry: ref('retry'),
  sink: ref('sink'),
  output: {},
  output_select: {},
  effect: about('What repeating the call does; default: what the tool says.', {
    enum: ['pure', 'idempotent', 'keyed', 'unsafe', null],
  }),
  probe: about('A call that tells whether an earlier run of this one was done.', orNull(ref('tool'))),
  spec: {
    description: 'Rules for how the call ended; fields of the tool may stand here as well.',
    type: ['object', 'null'],
    properties: {
      policy: ref('policy'),
      when: ref('condition'),
      aside: { type: 'boolean' },
      rows: { type: 'boolean' },
    },
  },
}

/** One branch per tool, with the fields that the tool itself says it has. */
export function toolDefinitions(
  tools: readonly ToolDescription[],
  otherKinds: readonly string[],
): JsonObject {
  const kinds = [...tools.map(({ kind }) => kind), ...otherKinds, ...UNFOLDED]
  const branches = tools.map(({ kind }) =>
    when({ properties: { kind: { const: kind } }, required: ['kind'] }, ref(`tool-${kind}`)),
  )
  const labelled = { type: 'object', minProperties: 1, maxProperties: 1, additionalProperties: ref('tool') }
  return {
    tool: {
      description: 'A call of a tool.',
      type: 'object',
      required: ['kind'],
      properties: { kind: about('Which tool.', { enum: [...new Set(kinds)].sort() }) },
      ...(branches.length > 0 ? { allOf: branches } : {}),
    },
    listedTool: {
      description: 'A tool of a list, or one under its label: {label: {kind, …}}.',
      ...when({ required: ['kind'] }, ref('tool'), labelled),
    },
    tools: anyOf({ type: 'null' }, list(ref('listedTool')), ref('tool')),
    aside: about('Tools that run after it for their effect.', orNull(oneOrMore(ref('tool')))),
    ...Object.fromEntries(tools.map((tool) => [`tool-${tool.kind}`, toolDefinition(tool)])),
  }
}

function toolDefinition({ kind, plugin, version, input }: ToolDescription): JsonObject {
  const fields = Object.entries(isObject(input.properties) ? input.properties : {})
  const own = fields.filter(([name]) => !TASK_KEYS.includes(name) || name === 'args')
  const required = Array.isArray(input.required) ? input.required : []
  const needed = required.flatMap((name) =>
    typeof name !== 'string' || name === 'input' ? [] : [given(name)],
  )
  const open = own.length === 0 || isObject(input.additionalProperties) || kind === 'workbook'
  return {
    title: kind,
    description: `${plugin} ${version}`,
    type: 'object',
    properties: {
      ...TASK,
      ...Object.fromEntries(own.map(([name, schema]) => [name, fieldOf(name, schema)])),
      ...(own.some(([name]) => name === 'auth') ? { credential: about('Old spelling of auth.', {}) } : {}),
      kind: { const: kind },
    },
    ...(open ? {} : { additionalProperties: false }),
    ...(needed.length > 0 ? { allOf: needed } : {}),
  }
}

function fieldOf(name: string, schema: Json): Json {
  const field = orTemplate(schema)
  return name === 'args' && isObject(field) ? anyOf(field, MAPPING) : field
}

/** It stands among the fields, or under `spec`, which lies below them. */
function given(name: string): JsonObject {
  const spec = { properties: { spec: { required: [name] } }, required: ['spec'] }
  const old = name === 'auth' ? [{ required: ['credential'] }] : []
  return anyOf({ required: [name] }, spec, ...old)
}

function when(condition: JsonObject, then: JsonObject, otherwise?: JsonObject): JsonObject {
  return withThen({ if: condition }, then, otherwise === undefined ? {} : { else: otherwise })
}

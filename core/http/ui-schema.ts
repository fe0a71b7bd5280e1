import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { isNumber } from '../schemas/numbers.ts'
import type { CatalogEntry } from '../store/catalog.ts'
import { findEntry } from './catalog.ts'
import type { Parts } from './parts.ts'

const Below = Type.Object({ '*': Type.String() })
const Wanted = Type.Object({ version: Type.Optional(Type.String({ maxLength: 100 })) })

const ENDING = '/ui_schema'

/** `GET /api/catalog/{path}/ui_schema`; the path is written with its slashes as they are. */
export function uiSchemaRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.get<{ Params: Static<typeof Below>; Querystring: Static<typeof Wanted> }>(
    `${prefix}/catalog/*`,
    {
      schema: {
        params: Below,
        querystring: Wanted,
        summary: 'The workload of a playbook as a JSON Schema, for a form (…/{path}/ui_schema)',
      },
    },
    async (request) => {
      const below = request.params['*']
      if (!below.endsWith(ENDING)) {
        throw makeError('NOETL_ERR_ROUTE_NOT_FOUND', ['GET', `${prefix}/catalog/${below}`.slice(0, 500)])
      }
      const path = below.slice(0, -ENDING.length)
      const { version } = request.query
      const entry = await findEntry(
        parts,
        { path, ...(version === undefined ? {} : { version }) },
        { archived: version !== undefined && version !== 'latest' },
      )
      const { playbook } = await parts.plans.byId(entry.catalog_id)
      return uiSchema(entry, playbook)
    },
  )
}

/** The schema. What the defaults are is what the fields are: nothing else says. */
export function uiSchema(
  entry: Pick<CatalogEntry, 'path' | 'version' | 'catalog_id'>,
  playbook: { name: string; description?: string; workload: JsonObject },
): JsonObject {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: playbook.name,
    ...(playbook.description === undefined ? {} : { description: playbook.description }),
    ...objectSchema(playbook.workload, 0),
    path: entry.path,
    version: entry.version,
    catalog_id: entry.catalog_id,
  }
}

/** Deeper than this a form shows the value as it is. */
const MAX_DEPTH = 10

function objectSchema(values: JsonObject, depth: number): JsonObject {
  return {
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        name,
        { title: titleOf(name), ...fieldSchema(value, depth) },
      ]),
    ),
    additionalProperties: true,
  }
}

function fieldSchema(value: Json, depth: number): JsonObject {
  // A default of null says nothing about what may stand there.
  if (value === null) return { default: null }
  if (Array.isArray(value)) {
    const types = [...new Set(value.map(typeOf))]
    return { type: 'array', ...(types.length === 1 ? { items: { type: types[0]! } } : {}), default: value }
  }
  if (isObject(value)) {
    return { ...(depth < MAX_DEPTH ? objectSchema(value, depth + 1) : { type: 'object' }), default: value }
  }
  const template = typeof value === 'string' && /\{\{|\{%/.test(value)
  return {
    type: typeOf(value),
    ...(template ? { description: 'The default is a template, evaluated when the execution starts.' } : {}),
    default: value,
  }
}

function typeOf(value: Json): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (isNumber(value)) return typeof value === 'bigint' || Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}

/** `pg_auth` → `Pg auth`, `maxItems` → `Max items`. */
function titleOf(name: string): string {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/[_\-.]+/g, ' ')
    .trim()
    .toLowerCase()
  return words === '' ? name : words[0]!.toUpperCase() + words.slice(1)
}

import { Script } from '@noetl/core'
import { type Static, type TSchema, Type } from 'typebox'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

const sql = Type.Union([Type.String(), Type.Array(Type.String())], {
  description: 'SQL, of any number of statements',
})

const values = Type.Union([Type.Array(Type.Unknown(), { description: 'Values of $1, $2, ...' }), named], {
  description: 'Values of a single statement, by place or by name',
})

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

/** The fields of a duckdb step. A field that renders to null counts as not given. */
export const input = Type.Object(
  {
    database: maybe(Type.String({ description: 'Path of a file; without it, in memory and fresh' })),
    command: maybe(sql),
    query: maybe(sql),
    commands: maybe(sql),
    script: maybe(Script),
    params: maybe(values),
    parameters: maybe(values),
    auth: maybe(Type.Union([Type.String({ description: 'Alias of a postgres credential' }), named])),
    credential: maybe(Type.String({ description: 'Old spelling of auth' })),
    catalog_connection: maybe(
      Type.String({ description: 'ducklake: its catalog, such as postgres:dbname=lake, or a file' }),
    ),
    catalog_name: maybe(Type.String({ description: 'ducklake: what the catalog is called. Default: lake' })),
    data_path: maybe(Type.String({ description: 'ducklake: where its files are' })),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    input: maybe(named),
  },
  { additionalProperties: true },
)

const statementFields = {
  rows: Type.Array(Type.Record(Type.String(), Type.Unknown())),
  columns: Type.Array(Type.String()),
  row_count: Type.Integer({ description: 'Rows given, or rows changed where none are given' }),
}

/** What a duckdb step gives: `command_0`, `command_1`, ... and, beside them, the last one's own fields. */
export const output = Type.Object(
  { ...statementFields, affected_rows: Type.Integer() },
  { additionalProperties: Type.Object({ status: Type.Literal('success'), ...statementFields }) },
)

export type DuckdbInput = Static<typeof input>

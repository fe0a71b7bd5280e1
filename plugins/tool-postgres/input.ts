import { Script } from '@noetl/core'
import { type Static, type TSchema, Type } from 'typebox'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

const sql = Type.Union([Type.String(), Type.Array(Type.String())], {
  description: 'SQL, of any number of statements',
})

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

/** The fields of a postgres step. A field that renders to null counts as not given. */
export const input = Type.Object(
  {
    auth: maybe(Type.Union([Type.String({ description: 'Alias of a credential' }), named])),
    credential: maybe(Type.String({ description: 'Old spelling of auth' })),
    command: maybe(sql),
    query: maybe(sql),
    commands: maybe(sql),
    script: maybe(Script),
    params: maybe(Type.Union([Type.Array(Type.Unknown(), { description: 'Values of $1, $2, ...' }), named])),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    exactly_once: maybe(
      Type.Boolean({
        description:
          'All statements commit in one transaction, together with a marker: a repeat of the call runs none of them',
      }),
    ),
    pool: maybe(named),
    input: maybe(named),
  },
  { additionalProperties: true },
)

const statementFields = {
  rows: Type.Array(Type.Record(Type.String(), Type.Unknown())),
  columns: Type.Array(Type.String()),
  row_count: Type.Integer({ description: 'Rows given, or rows changed where none are given' }),
}

/** What a postgres step gives: `command_0`, `command_1`, ... and, beside them, the last one's own fields. */
export const output = Type.Object(
  { ...statementFields, affected_rows: Type.Integer() },
  { additionalProperties: Type.Object({ status: Type.Literal('success'), ...statementFields }) },
)

export type PostgresInput = Static<typeof input>

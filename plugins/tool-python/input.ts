import { Script } from '@noetl/core'
import { type Static, Type } from 'typebox'

const maybe = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]))

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

/** The fields of a python step. A field that renders to null counts as not given. */
export const input = Type.Object(
  {
    code: maybe(
      Type.String({ minLength: 1, description: 'Statements, a body with return, or def main(...)' }),
    ),
    script: maybe(Script),
    libs: maybe(
      Type.Union([
        Type.Record(
          Type.String(),
          Type.Union([
            Type.String(),
            Type.Object({ from: Type.Optional(Type.String()), import: Type.Optional(Type.String()) }),
          ]),
        ),
        Type.Array(Type.String()),
      ]),
    ),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    input: maybe(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: true },
)

/** Whatever the code gives, through JSON. */
export const output = Type.Unknown()

export type PythonInput = Static<typeof input>

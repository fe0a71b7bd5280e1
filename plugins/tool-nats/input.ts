import { type Static, type TSchema, Type } from 'typebox'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

const sequence = Type.Union([Type.Integer({ minimum: 1 }), Type.String({ pattern: '^[1-9][0-9]*$' })])

/** The fields of a nats step. A field that renders to null counts as not given, the value alone may be null. */
export const input = Type.Object(
  {
    operation: Type.String({ description: 'kv_…, object_… or js_…: see the README' }),
    auth: maybe(Type.Union([Type.String({ description: 'Alias of a credential' }), named])),
    credential: maybe(Type.String({ description: 'Old spelling of auth' })),
    bucket: maybe(Type.String({ description: 'Key-value bucket or object store' })),
    stream: maybe(Type.String()),
    subject: maybe(Type.String()),
    key: maybe(
      Type.Union([Type.String(), Type.Number()], {
        description: 'Key, name of an object, or for kv_keys a filter with wildcards',
      }),
    ),
    seq: maybe(sequence),
    value: Type.Optional(Type.Unknown({ description: 'Text as it is, anything else as JSON' })),
    data: Type.Optional(Type.Unknown({ description: 'As value' })),
    payload: Type.Optional(Type.Unknown({ description: 'As value' })),
    encoding: maybe(Type.String({ description: 'base64: the value is bytes in base64' })),
    headers: maybe(named),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    input: maybe(named),
  },
  { additionalProperties: true },
)

/** What a nats step gives: a status, where it was, and what the operation is about. */
export const output = Type.Object(
  {
    status: Type.Union([Type.Literal('success'), Type.Literal('not_found')]),
    bucket: Type.Optional(Type.String()),
    stream: Type.Optional(Type.String()),
    key: Type.Optional(Type.String()),
    found: Type.Optional(Type.Boolean()),
    value: Type.Optional(Type.Unknown()),
    encoding: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    revision: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  },
  { additionalProperties: true },
)

export type NatsInput = Static<typeof input>

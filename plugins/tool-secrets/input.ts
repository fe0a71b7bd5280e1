import { type Static, Type } from 'typebox'

const maybe = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

/** A secret's name, with `#field` behind it for one field of a secret that is JSON. */
const reference = Type.String({ maxLength: 2048 })

/** Secrets of one call. */
const MAX_SECRETS = 100

/** The fields of a secrets step. A field that renders to null counts as not given. */
export const input = Type.Object(
  {
    provider: Type.String({ minLength: 1, description: 'env, file, http, gcp or vault' }),
    secret: maybe(reference),
    name: maybe(reference),
    names: maybe(Type.Array(reference, { minItems: 1, maxItems: MAX_SECRETS })),
    map: maybe(Type.Record(Type.String(), reference, { minProperties: 1, maxProperties: MAX_SECRETS })),
    field: maybe(Type.String({ description: 'Field of a secret that is JSON, with dots for deeper ones' })),
    path: maybe(Type.String({ description: 'As field' })),
    encoding: maybe(Type.Union([Type.Literal('utf8'), Type.Literal('base64')])),
    auth: maybe(Type.Union([Type.String({ description: 'Alias of a credential' }), named])),
    credential: maybe(Type.String({ description: 'Old spelling of auth' })),
    url: maybe(Type.String({ description: 'Of the server; for http, of the secret, with {name} in it' })),
    project: maybe(Type.Union([Type.String(), Type.Integer()])),
    version: maybe(Type.Union([Type.String(), Type.Integer()])),
    mount: maybe(Type.String({ description: 'vault: where the engine is mounted; default secret' })),
    namespace: maybe(Type.String({ description: 'vault: the namespace' })),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    input: maybe(named),
  },
  { additionalProperties: true },
)

/** Fields whose templates give text. */
export const textFields = ['secret', 'name', 'names'] as const

/** One secret gives `value`; several give `values` and each under its own name. */
export const output = Type.Union([
  Type.Object({ value: Type.Unknown() }, { additionalProperties: false }),
  Type.Object({ values: named }, { additionalProperties: true }),
])

export type SecretsInput = Static<typeof input>

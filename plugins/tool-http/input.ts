import { type Static, Type } from 'typebox'

const maybe = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

/** The fields of an http step. A field that renders to null counts as not given. */
export const input = Type.Object(
  {
    url: maybe(Type.String({ description: 'An http or https URL' })),
    endpoint: maybe(Type.String({ description: 'Old spelling of url' })),
    method: maybe(Type.String({ pattern: '^[A-Za-z]+$', description: 'Default GET' })),
    headers: maybe(named),
    params: maybe(Type.Object({}, { additionalProperties: true, description: 'Query parameters' })),
    json: Type.Optional(Type.Unknown({ description: 'Body, always sent as JSON' })),
    body: Type.Optional(Type.Unknown({ description: 'Body: objects and lists as JSON, text as it is' })),
    payload: Type.Optional(Type.Unknown({ description: 'As body' })),
    data: Type.Optional(Type.Unknown({ description: 'As body' })),
    form: maybe(Type.Object({}, { additionalProperties: true, description: 'Body as form fields' })),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    follow_redirects: maybe(Type.Boolean({ description: 'Default true' })),
    verify_ssl: maybe(Type.Boolean({ description: 'Default true' })),
    auth: maybe(Type.Union([Type.String({ description: 'Alias of a credential' }), named])),
    credential: maybe(Type.String({ description: 'Old spelling of auth' })),
    input: maybe(named),
  },
  { additionalProperties: true },
)

/** What an http step gives. `data` and `body` are the same: parsed JSON, text, or bytes in base64. */
export const output = Type.Object(
  {
    status_code: Type.Integer(),
    headers: Type.Record(Type.String(), Type.String()),
    url: Type.String({ description: 'Where the answer came from, after redirects' }),
    elapsed: Type.Number({ description: 'Seconds until the whole answer was read' }),
    data: Type.Unknown(),
    body: Type.Unknown(),
  },
  { additionalProperties: false },
)

export type HttpInput = Static<typeof input>

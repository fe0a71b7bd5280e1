import { type Static, type TSchema, Type } from 'typebox'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

/** A workload given on a command line holds text. */
const count = Type.Union([
  Type.Integer({ minimum: 1, maximum: 100_000 }),
  Type.String({ pattern: '^[1-9][0-9]{0,4}$' }),
])

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

const auth = {
  auth: maybe(Type.Union([Type.String({ description: 'Alias of a credential' }), named])),
  credential: maybe(Type.String({ description: 'Old spelling of auth' })),
  database: maybe(Type.String({ description: 'Path of a DuckDB file' })),
}

const mapping = maybe(
  Type.Record(Type.String({ minLength: 1 }), Type.String({ minLength: 1 }), {
    description: 'target column: source field',
  }),
)

/** The fields of a transfer step. A field that renders to null counts as not given. */
export const input = Type.Object(
  {
    source: Type.Object(
      {
        type: Type.String({ description: 'http, postgres or duckdb' }),
        ...auth,
        url: maybe(Type.String({ description: 'http: where the rows are' })),
        endpoint: maybe(Type.String({ description: 'Old spelling of url' })),
        method: maybe(Type.String({ pattern: '^[A-Za-z]+$', description: 'http: default GET' })),
        headers: maybe(named),
        params: maybe(
          Type.Union([named, Type.Array(Type.Unknown())], {
            description: 'http: query parameters by name; SQL: values of $1, $2, ...',
          }),
        ),
        json: Type.Optional(Type.Unknown({ description: 'http: body, sent as JSON' })),
        data_path: maybe(Type.String({ description: 'http: where in the answer the list is, as a.b.c' })),
        format: maybe(Type.String({ description: 'http: json or ndjson; by default what the answer says' })),
        query: maybe(Type.String({ description: 'SQL: one statement that gives the rows' })),
        command: maybe(Type.String({ description: 'As query' })),
      },
      { additionalProperties: true },
    ),
    target: Type.Object(
      {
        type: Type.String({ description: 'postgres or duckdb' }),
        ...auth,
        table: maybe(Type.String({ description: 'table or schema.table' })),
        mode: maybe(Type.String({ description: 'append (default), replace or upsert' })),
        key: maybe(Type.Union([Type.String(), Type.Array(Type.String())], { description: 'Of an upsert' })),
        create: maybe(Type.Boolean({ description: 'Create the table if it is not there' })),
        mapping,
      },
      { additionalProperties: true },
    ),
    mapping,
    batch_size: maybe(count),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    input: maybe(named),
  },
  { additionalProperties: true },
)

/** What a transfer step gives. */
export const output = Type.Object(
  {
    status: Type.Literal('success'),
    rows_transferred: Type.Integer(),
    columns: Type.Array(Type.String(), { description: 'Of the target, in the order of the transfer' }),
    batches: Type.Integer(),
    source: Type.Record(Type.String(), Type.String()),
    target: Type.Record(Type.String(), Type.String()),
    elapsed: Type.Number({ description: 'Seconds' }),
  },
  { additionalProperties: false },
)

export type TransferInput = Static<typeof input>

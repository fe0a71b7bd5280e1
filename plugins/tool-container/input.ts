import { Script } from '@noetl/core'
import { type Static, type TSchema, Type } from 'typebox'

const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

const number = Type.Union([
  Type.Number({ minimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

const words = Type.Union([Type.String(), Type.Array(Type.Unknown(), { maxItems: 1000 })])

/**
 * The fields of a Job. Each is also taken in the spelling of Kubernetes (`backoffLimit`), and one that
 * renders to null counts as not given.
 */
const jobFields = {
  image: maybe(Type.String({ description: 'Image of the container' })),
  command: maybe(words),
  args: maybe(words),
  env: maybe(Type.Union([named, Type.Array(named, { maxItems: 1000 })])),
  namespace: maybe(Type.String()),
  resources: maybe(named),
  service_account: maybe(Type.String()),
  image_pull_policy: maybe(Type.String({ description: 'Always, IfNotPresent or Never' })),
  image_pull_secrets: maybe(Type.Union([Type.String(), Type.Array(Type.Unknown(), { maxItems: 100 })])),
  labels: maybe(named),
  node_selector: maybe(named),
  volumes: maybe(Type.Array(named, { maxItems: 100 })),
  backoff_limit: maybe(number),
  ttl_seconds_after_finished: maybe(number),
  active_deadline_seconds: maybe(number),
  timeout: maybe(number),
  timeout_seconds: maybe(number),
  start_timeout: maybe(number),
}

const common = {
  auth: maybe(Type.Union([Type.String({ description: 'Alias of a credential' }), named])),
  credential: maybe(Type.String({ description: 'Old spelling of auth' })),
  input: maybe(named),
}

export const containerInput = Type.Object({ ...jobFields, ...common }, { additionalProperties: true })

/** The fields of the Job stand under `job`; they are taken beside it as well. */
export const scriptInput = Type.Object(
  {
    ...jobFields,
    ...common,
    job: maybe(named),
    script: Type.Union([Type.String({ description: 'The text itself' }), Script]),
  },
  { additionalProperties: true },
)

/** What a step gives. `data` is there where the last line of the logs is a JSON object. */
export const output = Type.Object(
  {
    status: Type.Literal('success'),
    job: Type.String(),
    namespace: Type.String(),
    pod: Type.Union([Type.String(), Type.Null()]),
    exit_code: Type.Union([Type.Integer(), Type.Null()]),
    logs: Type.Union([Type.String(), Type.Null()], { description: 'Null where the pod is gone already' }),
    logs_truncated: Type.Boolean({ description: 'The logs are longer; what is here is their end' }),
    adopted: Type.Boolean({ description: 'An earlier run of this call had made the Job' }),
    started_at: Type.Union([Type.String(), Type.Null()]),
    finished_at: Type.Union([Type.String(), Type.Null()]),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: false },
)

export type ContainerInput = Static<typeof containerInput>
export type ScriptInput = Static<typeof scriptInput>

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { readPublicKey } from '../store/sealing-to.ts'
import { beatWorker, listWorkers, putWorker, removeWorker } from '../store/workers.ts'
import type { Parts } from './parts.ts'
import { Name } from './shapes.ts'

const Register = Type.Object(
  {
    name: Name,
    kind: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    component_type: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    runtime: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    status: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    capacity: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
  },
  { additionalProperties: true },
)
const Beat = Type.Object({ name: Name }, { additionalProperties: true })
const Filter = Type.Object({ runtime: Type.Optional(Type.String()), status: Type.Optional(Type.String()) })

/** Where workers are made known, and the names that earlier generations have for it. */
const PLACES = [
  { at: 'worker/pool', kind: 'worker_pool' },
  { at: 'runtime', kind: 'worker_pool' },
  { at: 'broker', kind: 'broker' },
] as const
const LISTS = [
  { at: 'worker/pools', brokers: false },
  { at: 'brokers', brokers: true },
] as const

/** `/api/worker/pool/…`: who can run commands, and which kinds. */
export function workerRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  const pool = parts.pools.durable

  for (const { at, kind } of PLACES) {
    app.post<{ Body: Static<typeof Register> }>(
      `${prefix}/${at}/register`,
      { schema: { body: Register, summary: `Makes a ${kind === 'broker' ? kind : 'worker'} known` } },
      async (request) => register(request.body, kind),
    )

    app.post<{ Body: Static<typeof Beat> }>(
      `${prefix}/${at}/heartbeat`,
      { schema: { body: Beat, summary: 'Says that it is there' } },
      async (request) => {
        const { name } = request.body
        if (await beatWorker(pool, name)) return { status: 'ok', name }
        const { registration } = request.body as { registration?: unknown }
        if (isObject(registration)) return register({ ...registration, name }, kind)
        throw makeError('NOETL_ERR_WORKER_NOT_FOUND', [name])
      },
    )

    for (const method of ['POST', 'DELETE'] as const) {
      app.route<{ Body: Static<typeof Beat> }>({
        method,
        url: `${prefix}/${at}/deregister`,
        schema: { body: Beat, summary: 'Says that it has gone' },
        handler: async (request) => {
          const { name } = request.body
          if (!(await removeWorker(pool, name))) throw makeError('NOETL_ERR_WORKER_NOT_FOUND', [name])
          return { status: 'ok', name }
        },
      })
    }
  }

  // Executions are not bound to servers: whichever is asked takes any of them.
  app.get(
    `${prefix}/runtime/shard-info`,
    { schema: { summary: 'Which executions this server takes: all' } },
    () => ({ status: 'ok', sharded: false, shard_index: 0, shard_count: 1 }),
  )

  for (const { at, brokers } of LISTS) {
    app.get<{ Querystring: Static<typeof Filter> }>(
      `${prefix}/${at}`,
      {
        schema: {
          querystring: Filter,
          summary: `${brokers ? 'Brokers' : 'Workers'} and when they were last heard of`,
        },
      },
      async (request) => {
        const { runtime, status } = request.query
        const items = await listWorkers(pool, {
          brokers,
          ...(runtime === undefined ? {} : { runtime }),
          ...(status === undefined ? {} : { status }),
        })
        return { items, count: items.length, runtime: runtime ?? null, status: status ?? null }
      },
    )
  }

  async function register(body: Static<typeof Register>, usual: string): Promise<object> {
    const { name, runtime, status, capacity, labels, kinds, meta, hostname, pid, uri, public_key } =
      body as Record<string, Json>
    if (public_key !== undefined && public_key !== null && readPublicKey(public_key) === undefined) {
      throw makeError('NOETL_ERR_REQUEST_INVALID', [
        'body/public_key is no X25519 public key; 32 bytes in base64 were expected',
      ])
    }
    const kind = [body.kind, body.component_type].find((word) => typeof word === 'string') ?? usual
    const runtime_id = await putWorker(pool, {
      name: body.name,
      runtime_id: parts.newId(),
      runtime: typeof runtime === 'string' ? runtime : null,
      status: typeof status === 'string' ? status : 'ready',
      capacity: typeof capacity === 'number' ? capacity : null,
      labels: isObject(labels) ? labels : {},
      kinds: Array.isArray(kinds) ? kinds.filter((word) => typeof word === 'string') : [],
      meta: { ...(isObject(meta) ? meta : {}), kind, ...present({ hostname, pid, uri, public_key }) },
    })
    return { status: 'ok', name, runtime_id, kind, runtime: runtime ?? null }
  }
}

function present(values: Record<string, Json | undefined>): JsonObject {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as JsonObject
}

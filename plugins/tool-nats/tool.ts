import { CONTRACT, defineTool, type JsonObject, type Tool, type ToolCall, ToolError } from '@noetl/core'
import type { NatsConnection } from 'nats'
import { openConnections } from './connections.ts'
import {
  brokenFailure,
  isMissingStream,
  isUnanswered,
  missingFailure,
  operationFailure,
  type Place,
  withoutJetStream,
} from './failures.ts'
import { input, type NatsInput, output } from './input.ts'
import { kvDelete, kvGet, kvKeys, kvPurge, kvPut } from './kv.ts'
import { objectDelete, objectGet, objectInfo, objectList, objectPut } from './objects.ts'
import type { Bus, Operation, Prepare } from './operation.ts'
import { findSettings, type Settings } from './settings.ts'
import { millisecondsOf, withinTime } from './stop.ts'
import { getMessage, publish, streamInfo } from './streams.ts'

export interface NatsToolOptions {
  /** Bytes of one value of a bucket, or of one message. Default 1 MiB, which servers have as well. */
  maxValueBytes?: number
  /** Bytes of one object. Default 64 MiB. */
  maxObjectBytes?: number
  /** Keys or objects of one list. Default 10,000. */
  maxKeys?: number
  /** Credentials with an open connection at a time. Default 32. */
  maxConnections?: number
  /** Milliseconds a connection is kept open unused. Default 30,000. */
  idleMs?: number
  /** Milliseconds a new connection may take. Default 10,000. */
  connectMs?: number
}

const DEFAULT_TIMEOUT_SECONDS = 30
/** The client's own limit comes later than ours and only ends what nobody waits for any more. */
const CLIENT_GRACE_MS = 1_000

const OPERATIONS: Readonly<Record<string, Prepare>> = {
  kv_get: kvGet,
  kv_put: kvPut,
  kv_delete: kvDelete,
  kv_keys: kvKeys,
  kv_purge: kvPurge,
  object_get: objectGet,
  object_put: objectPut,
  object_delete: objectDelete,
  object_list: objectList,
  object_info: objectInfo,
  js_publish: publish,
  js_get_msg: getMessage,
  js_stream_info: streamInfo,
}

/** The nats tool: one operation on a key-value bucket, an object store or a stream. */
export function natsTool(options: NatsToolOptions = {}): Tool<typeof input, typeof output> {
  const { maxValueBytes = 1024 * 1024, maxObjectBytes = 64 * 1024 * 1024, maxKeys = 10_000 } = options
  const { maxConnections = 32, idleMs = 30_000, connectMs = 10_000 } = options
  const limits = { maxValueBytes, maxObjectBytes, maxKeys }
  const connections = openConnections({ maxConnections, idleMs, connectMs })
  return defineTool({
    kind: 'nats',
    contract: CONTRACT,
    input,
    output,
    // Buckets hold the last value however often it is put; a stream drops a message whose id it has seen.
    effect: 'keyed',
    async run(fields, call) {
      call.signal.throwIfAborted()
      const { operation, prepare } = operationOf(fields)
      const prepared = prepare(fields, { limits, idempotencyKey: call.idempotencyKey })
      const seconds = Number(fields.timeout ?? fields.timeout_seconds ?? DEFAULT_TIMEOUT_SECONDS)
      return withinTime(call, { seconds, what: `${operation} of ${prepared.place.name}` }, async (signal) => {
        const settings = await findSettings(fields, (alias) => call.credentials(alias))
        return connections.within(settings, (connection) =>
          runOn(connection, { operation, prepared, settings, signal, seconds, call }),
        )
      })
    },
    close: () => connections.close(),
  })
}

function operationOf(fields: NatsInput): { operation: string; prepare: Prepare } {
  const operation = fields.operation.trim().toLowerCase()
  const prepare = Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined
  if (prepare === undefined) {
    throw new ToolError(
      'schema',
      `The nats tool has no operation "${fields.operation}", only ${Object.keys(OPERATIONS).join(', ')}.`,
    )
  }
  return { operation, prepare }
}

async function runOn(
  connection: NatsConnection,
  about: {
    operation: string
    prepared: Operation
    settings: Settings
    signal: AbortSignal
    seconds: number
    call: ToolCall
  },
): Promise<JsonObject> {
  const { operation, prepared, settings, signal, seconds, call } = about
  const timeout = millisecondsOf(seconds + CLIENT_GRACE_MS / 1000)
  const bus: Bus = {
    js: connection.jetstream({ timeout }),
    jsm: await connection.jetstreamManager({ checkAPI: false, timeout }),
    maxPayload: connection.info?.max_payload ?? 1024 * 1024,
    signal,
    log: call.log,
  }
  try {
    return await prepared.run(bus)
  } catch (error) {
    // The client tells requests that a broken connection left unanswered as late ones.
    if (connection.isClosed()) throw brokenFailure(settings)
    const { place } = prepared
    if (isUnanswered(error)) throw await unanswered(bus, { place, settings })
    throw operationFailure(error, { operation, place, settings })
  }
}

/** Nobody took the message: is there no such stream, or no JetStream at all? */
async function unanswered(
  { jsm }: Bus,
  { place, settings }: { place: Place; settings: Settings },
): Promise<ToolError> {
  try {
    if (place.kind === 'subject') {
      await jsm.getAccountInfo()
      return missingFailure(place, settings)
    }
    await jsm.streams.info(`${STREAM_PREFIX[place.kind]}${place.name}`)
  } catch (error) {
    if (isMissingStream(error)) return missingFailure(place, settings)
  }
  return withoutJetStream(settings)
}

const STREAM_PREFIX = { bucket: 'KV_', store: 'OBJ_', stream: '' } as const

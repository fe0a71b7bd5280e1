import { createHash } from 'node:crypto'
import type { V1Job, V1ResourceRequirements } from '@kubernetes/client-node'
import { isObject, type JsonObject, type ToolCall, ToolError } from '@noetl/core'
import { environmentOf } from './environment.ts'
import { field, misfit, numberField, textField, textMap } from './fields.ts'
import { volumesOf } from './volumes.ts'

/** The container of every Job that is made here. */
export const CONTAINER = 'main'
/** Tells which call a Job is of, and which run of it looks after it now. */
export const KEY_ANNOTATION = 'noetl.io/idempotency-key'
export const HOLDER_ANNOTATION = 'noetl.io/holder'

/** A cluster stores up to about 1.5 MiB of one thing, its own notes included. */
const MAX_MANIFEST_BYTES = 1_000_000

export interface JobPlan {
  name: string
  /** Null: that of the credential or context. */
  namespace: string | null
  /** Seconds the Job may be active. */
  seconds: number
  /** Seconds a pod may take to start; null: by what keeps it. */
  startSeconds: number | null
  /** The Job as it is sent, but for its namespace and holder. */
  job: V1Job
}

export interface PlanDefaults {
  timeoutSeconds: number
  ttlSeconds: number
}

/**
 * The Job that a step stands for. Its name follows from the key of the call and the attempt: a repeat of
 * the same call, on this worker or another, finds the Job that is there, and a retry by rule makes a new one.
 */
export function planJob(
  given: JsonObject,
  about: {
    kind: string
    call: Pick<ToolCall, 'idempotencyKey' | 'attempt' | 'executionId' | 'step'>
    input: JsonObject
    command: string[] | undefined
    args: string[]
    defaults: PlanDefaults
  },
): JobPlan {
  const { kind, call, command, args, defaults } = about
  const image = imageOf(given, kind)
  const seconds = secondsOf(given, defaults.timeoutSeconds)
  const labels = { ...textMap(given, 'labels'), ...ownLabels(kind, call) }
  const { volumes, mounts } = volumesOf(given)
  const env = environmentOf(given, about.input)
  const pullPolicy = textField(given, 'image_pull_policy')
  const serviceAccountName = textField(given, 'service_account', 'service_account_name')
  const secrets = pullSecrets(given)
  const nodeSelector = textMap(given, 'node_selector')
  const resources = resourcesOf(given)
  const job: V1Job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: nameOf(call),
      labels,
      annotations: { [KEY_ANNOTATION]: `${call.idempotencyKey}/${call.attempt}` },
    },
    spec: {
      backoffLimit: Math.floor(numberField(given, 'backoff_limit') ?? 0),
      ttlSecondsAfterFinished: Math.floor(
        numberField(given, 'ttl_seconds_after_finished') ?? defaults.ttlSeconds,
      ),
      activeDeadlineSeconds: seconds,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never',
          containers: [
            {
              name: CONTAINER,
              image,
              ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
              ...(command === undefined ? {} : { command }),
              ...(args.length === 0 ? {} : { args }),
              ...(env.length === 0 ? {} : { env }),
              ...(resources === undefined ? {} : { resources }),
              ...(mounts.length === 0 ? {} : { volumeMounts: mounts }),
            },
          ],
          ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
          ...(secrets.length === 0 ? {} : { imagePullSecrets: secrets }),
          ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
          ...(volumes.length === 0 ? {} : { volumes }),
        },
      },
    },
  }
  const bytes = Buffer.byteLength(JSON.stringify(job))
  if (bytes > MAX_MANIFEST_BYTES) {
    throw new ToolError(
      'schema',
      `The Job of this step has ${bytes} bytes, more than the ${MAX_MANIFEST_BYTES} that a cluster takes: hand large values over in a ConfigMap, a Secret or a volume.`,
    )
  }
  const startSeconds = numberField(given, 'start_timeout') ?? null
  return { name: nameOf(call), namespace: namespaceOf(given), seconds, startSeconds, job }
}

export function imageOf(given: JsonObject, kind: string): string {
  const image = textField(given, 'image')?.trim()
  if (image !== undefined && image !== '' && !/\s/.test(image)) return image
  const where = kind === 'script' ? '"job.image"' : '"image"'
  throw new ToolError(
    'schema',
    `The ${kind} tool needs ${where}, the name of an image; it is missing, rendered to nothing or holds spaces.`,
  )
}

/** Up to 55 characters: names of pods and values of labels are made of it and end at 63. */
function nameOf(call: Pick<ToolCall, 'idempotencyKey' | 'attempt' | 'executionId' | 'step'>): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([call.executionId, call.idempotencyKey, call.attempt]))
    .digest('hex')
    .slice(0, 16)
  const step = call.step
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 32)
    .replace(/^-+|-+$/g, '')
  return ['noetl', step, hash].filter((part) => part !== '').join('-')
}

function namespaceOf(given: JsonObject): string | null {
  const namespace = textField(given, 'namespace')
  if (namespace === undefined) return null
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace)) return namespace
  throw new ToolError(
    'schema',
    `${JSON.stringify(namespace)} cannot be a namespace: lower-case letters, digits and "-" were expected.`,
  )
}

function secondsOf(given: JsonObject, otherwise: number): number {
  const seconds = numberField(given, 'timeout', 'timeout_seconds', 'active_deadline_seconds') ?? otherwise
  if (seconds === 0) throw new ToolError('schema', '"timeout" must be more than 0 seconds.')
  return Math.ceil(seconds)
}

function ownLabels(kind: string, call: Pick<ToolCall, 'executionId' | 'step'>): Record<string, string> {
  return {
    'app.kubernetes.io/managed-by': 'noetl',
    'noetl.io/kind': kind,
    'noetl.io/execution': labelValue(call.executionId),
    'noetl.io/step': labelValue(call.step),
  }
}

function labelValue(text: string): string {
  return text
    .replace(/[^A-Za-z0-9_.-]+/g, '-')
    .slice(0, 63)
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '')
}

function pullSecrets(given: JsonObject): { name: string }[] {
  const secrets = field(given, 'image_pull_secrets') ?? []
  return (Array.isArray(secrets) ? secrets : [secrets]).map((item) => {
    const name = isObject(item) ? item.name : item
    if (typeof name === 'string' && name !== '') return { name }
    throw misfit('image_pull_secrets', 'a list of names', item)
  })
}

/** `{requests, limits}`, or `{cpu, memory}` for both at once. */
function resourcesOf(given: JsonObject): V1ResourceRequirements | undefined {
  const resources = field(given, 'resources')
  if (resources === undefined) return undefined
  if (!isObject(resources)) throw misfit('resources', 'a mapping', resources)
  const { requests: _requests, limits: _limits, ...flat } = resources
  const both = textMap({ flat }, 'flat')
  const requests = { ...both, ...textMap(resources, 'requests') }
  const limits = { ...both, ...textMap(resources, 'limits') }
  return { requests, limits }
}

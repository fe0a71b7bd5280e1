import { randomUUID } from 'node:crypto'
import { type JsonObject, type ToolCall, ToolError } from '@noetl/core'
import { openCluster } from './cluster.ts'
import { findCluster, type KubernetesClient, SERVICE_ACCOUNT_DIR } from './cluster-settings.ts'
import { field } from './fields.ts'
import { holdJob, removeJob } from './hold-job.ts'
import { type JobPlan, planJob } from './manifest.ts'
import { type Stop, stopOf } from './stop.ts'
import { awaitJob, type Patience } from './wait-job.ts'

export interface ContainerToolOptions {
  /** Seconds a Job may take when the step names no `timeout`. Default 3,600. */
  timeoutSeconds?: number
  /** Seconds an ended Job is kept, for a repeat of the call to find it. Default 3,600. */
  ttlSeconds?: number
  /** Seconds a pod may wait for its image, or for a Secret or ConfigMap. Default 120. */
  imageSeconds?: number
  /** Seconds a pod may wait for a node that has room for it. Default 300. */
  scheduleSeconds?: number
  /** Milliseconds between looks at a Job that is not watched, at first and at most. Default 500 and 3,000. */
  pollMs?: number
  maxPollMs?: number
  /** Milliseconds beyond its limit after which a Job that the cluster did not stop is removed. Default 30,000. */
  graceMs?: number
  /** Milliseconds one request to the API may take. Default 15,000. */
  requestMs?: number
  /** Milliseconds the API may be away while a Job runs. Default 60,000. */
  outageMs?: number
  /** Bytes of logs in a result; of longer logs it has the end. Default 1 MiB. */
  maxLogBytes?: number
  /** Folder in which a pod finds the token of its service account. */
  serviceAccountDir?: string
}

/** How long removing a Job may take when a call is stopped. */
const REMOVE_MS = 3_000

/** What a tool makes of its fields for the runner. */
export interface Wanted {
  kind: string
  /** The fields of the Job. */
  job: JsonObject
  command: string[] | undefined
  args: string[]
}

/** Runs Jobs for the tools, each to its end or until its call is stopped. */
export function makeRunner(options: ContainerToolOptions): {
  run(fields: JsonObject, call: ToolCall, wanted: Wanted): Promise<JsonObject>
  close(): Promise<void>
} {
  const { timeoutSeconds = 3600, ttlSeconds = 3600, requestMs = 15_000 } = options
  const { graceMs = 30_000, serviceAccountDir = SERVICE_ACCOUNT_DIR } = options
  const patience = patienceOf(options)
  const running = new Set<Promise<unknown>>()
  const closing = new AbortController()

  async function runPlan(
    plan: JobPlan,
    { fields, call, stop }: { fields: JsonObject; call: ToolCall; stop: Stop },
  ): Promise<JsonObject> {
    stop.signal.throwIfAborted()
    const client = await loadClient()
    const { config, namespace } = await findCluster(field(fields, 'auth', 'credential'), {
      client,
      credentials: (alias) => call.credentials(alias),
      surroundings: { env: process.env, serviceAccountDir },
    })
    const cluster = openCluster(client, config, { namespace, requestMs })
    const { log } = call
    const holder = randomUUID()
    const at = { namespace: plan.namespace ?? cluster.namespace, name: plan.name, signal: stop.signal }
    let held = false
    try {
      const { job, adopted } = await holdJob(cluster, { plan, holder, at, log })
      held = true
      return await awaitJob(cluster, job, { at, plan, adopted, patience, log })
    } catch (error) {
      if (!stop.handsOver() && (held || mayBeThere(error))) {
        await removeJob(cluster, { holder, at: { ...at, signal: AbortSignal.timeout(REMOVE_MS) }, log })
      }
      throw error
    } finally {
      await cluster.close()
    }
  }

  return {
    async run(fields, call, wanted) {
      const input = (fields.input ?? {}) as JsonObject
      const defaults = { timeoutSeconds, ttlSeconds }
      const plan = planJob(wanted.job, { ...wanted, call, input, defaults })
      const stop = stopOf(call, {
        what: `Job ${plan.name}`,
        seconds: plan.seconds,
        graceMs,
        closing: closing.signal,
      })
      const work = runPlan(plan, { fields, call, stop })
      running.add(work)
      work.catch(() => {}).finally(() => running.delete(work))
      try {
        return await Promise.race([work, stop.gaveUp])
      } finally {
        stop.dispose()
      }
    },
    async close() {
      closing.abort()
      await Promise.allSettled(running)
    },
  }
}

/** False where the cluster refused to make the Job: there is nothing to remove. */
function mayBeThere(error: unknown): boolean {
  return !(error instanceof ToolError && error.status !== null && error.status < 500)
}

let client: Promise<KubernetesClient> | undefined

/** The client is big and slow to load: a worker that runs no Job never loads it. */
function loadClient(): Promise<KubernetesClient> {
  client ??= import('@kubernetes/client-node')
  return client
}

function patienceOf(options: ContainerToolOptions): Patience {
  const { imageSeconds = 120, scheduleSeconds = 300, pollMs = 500, maxPollMs = 3_000 } = options
  const { outageMs = 60_000, maxLogBytes = 1024 * 1024 } = options
  const startSeconds = {
    image: imageSeconds,
    config: imageSeconds,
    'no-pod': imageSeconds,
    schedule: scheduleSeconds,
  }
  return { pollMs, maxPollMs, startSeconds, outageMs, maxLogBytes }
}

import { setTimeout as wait } from 'node:timers/promises'
import type { V1Job } from '@kubernetes/client-node'
import { type JsonObject, ToolError } from '@noetl/core'
import type { At, Cluster } from './cluster.ts'
import { mayPass } from './failures.ts'
import { readLogs } from './logs.ts'
import { CONTAINER, type JobPlan } from './manifest.ts'
import { endOfJob, outcome, startFailure } from './outcome.ts'
import { endOfPods, hasStarted, type Trouble, troubleOf } from './pods.ts'

export interface Patience {
  /** Milliseconds between looks at the Job, at first and at most. */
  pollMs: number
  maxPollMs: number
  /** Seconds that a pod may be kept from starting, by what keeps it. */
  startSeconds: Readonly<Record<Trouble['kind'], number>>
  /** Milliseconds for which the API may be away while a Job runs. */
  outageMs: number
  /** Bytes of logs in a result. */
  maxLogBytes: number
}

/** Waits until the Job has ended, and gives what came of it or throws why it failed. */
export async function awaitJob(
  cluster: Cluster,
  first: V1Job,
  about: { at: At; plan: JobPlan; adopted: boolean; patience: Patience },
): Promise<JsonObject> {
  const { at, plan, adopted, patience } = about
  const patiently = patientAsking(patience.outageMs, at.signal)
  const watch = watchStart(plan, patience, at)
  let job = first
  for (let pause = patience.pollMs; ; pause = Math.min(pause * 1.5, patience.maxPollMs)) {
    const end = endOfJob(job)
    if (end !== null) {
      const ended = endOfPods(await patiently(() => cluster.listPods(at)))
      const read = async (limits: { bytes: number; lines?: number }) =>
        ended === null ? null : cluster.podLog(ended.pod, { container: CONTAINER, ...limits }, at)
      const logs = await readLogs((limits) => patiently(() => read(limits)), { bytes: patience.maxLogBytes })
      return outcome(job, { end, ended, logs, at, plan, adopted })
    }
    if (!watch.started()) watch.look(await patiently(() => cluster.listPods(at)))
    await wait(pause, undefined, { signal: at.signal }).catch(() => at.signal.throwIfAborted())
    const now = await patiently(() => cluster.readJob(at))
    if (now === null) throw vanished(at)
    job = now
  }
}

/** Asks again while the API is away, for as long as it may be: the Job goes on without us. */
function patientAsking(outageMs: number, signal: AbortSignal) {
  return async <T>(asking: () => Promise<T>): Promise<T> => {
    const until = performance.now() + outageMs
    for (let pause = 100; ; pause = Math.min(pause * 2, 5_000)) {
      try {
        return await asking()
      } catch (error) {
        if (!mayPass(error) || performance.now() + pause > until) throw error
      }
      await wait(pause, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }
}

/** Gives up a Job whose pod does not start. */
function watchStart(plan: JobPlan, patience: Patience, at: At) {
  let started = false
  let since: { kind: Trouble['kind']; at: number } | undefined
  return {
    started: () => started,
    look(pods: Parameters<typeof troubleOf>[0]): void {
      started = hasStarted(pods)
      const trouble = troubleOf(pods)
      if (trouble === null) {
        since = undefined
        return
      }
      if (since?.kind !== trouble.kind) since = { kind: trouble.kind, at: performance.now() }
      const seconds = plan.startSeconds ?? patience.startSeconds[trouble.kind]
      if (trouble.final || performance.now() - since.at >= seconds * 1000) {
        throw startFailure(trouble, { plan, at, seconds })
      }
    },
  }
}

function vanished({ namespace, name }: At): ToolError {
  return new ToolError(
    'tool_error',
    `Job ${namespace}/${name} was removed before it had ended, by someone else or by its time to live.`,
    { retryable: true },
  )
}

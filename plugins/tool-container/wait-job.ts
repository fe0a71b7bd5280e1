import { setTimeout as wait } from 'node:timers/promises'
import type { V1Job } from '@kubernetes/client-node'
import { type JsonObject, ToolError, type ToolLog } from '@noetl/core'
import type { At, Cluster } from './cluster.ts'
import { mayPass } from './failures.ts'
import { readLogs } from './logs.ts'
import { CONTAINER, type JobPlan } from './manifest.ts'
import { endOfJob, outcome, startFailure } from './outcome.ts'
import { endOfPods, hasStarted, type Trouble, troubleOf } from './pods.ts'

export interface Patience {
  /** Milliseconds between looks at a Job that cannot be watched, or has not begun, at first and at most. */
  pollMs: number
  maxPollMs: number
  /** Seconds that a pod may be kept from starting, by what keeps it. */
  startSeconds: Readonly<Record<Trouble['kind'], number>>
  /** Milliseconds for which the API may be away while a Job runs. */
  outageMs: number
  /** Bytes of logs in a result. */
  maxLogBytes: number
}

/**
 * Waits until the Job has ended, and gives what came of it or throws why it failed. Until its container runs,
 * it is the pods that tell of trouble: they and the Job are looked at. From then on the Job is watched, and read
 * again whenever the watch is over, for whatever reason; without the right to watch it is looked at all along.
 */
export async function awaitJob(
  cluster: Cluster,
  first: V1Job,
  about: { at: At; plan: JobPlan; adopted: boolean; patience: Patience; log: ToolLog },
): Promise<JsonObject> {
  const { at, plan, adopted, patience, log } = about
  const patiently = patientAsking(patience.outageMs, at.signal)
  const start = watchStart(plan, patience, at)
  let job = first
  let mayWatch = true
  for (let pause = patience.pollMs; ; ) {
    const end = endOfJob(job)
    if (end !== null) {
      const ended = endOfPods(await patiently(() => cluster.listPods(at)))
      const read = async (limits: { bytes: number; lines?: number }) =>
        ended === null ? null : cluster.podLog(ended.pod, { container: CONTAINER, ...limits }, at)
      const logs = await readLogs((limits) => patiently(() => read(limits)), { bytes: patience.maxLogBytes })
      return outcome(job, { end, ended, logs, at, plan, adopted })
    }
    if (!start.started()) start.look(await patiently(() => cluster.listPods(at)))
    const since = performance.now()
    const seen = mayWatch && start.started() ? await cluster.watchJob(job, at) : null
    if (seen === 'refused') {
      mayWatch = false
      log.warn({ job: at.name, namespace: at.namespace }, 'a Job cannot be watched: it is looked at instead')
    }
    // A watch that stood for a while is made anew at once; one that does not stand costs no more than looking.
    const stood = seen !== null && performance.now() - since > patience.maxPollMs
    if (stood) pause = patience.pollMs
    else if (seen !== 'ended') {
      await wait(pause, undefined, { signal: at.signal }).catch(() => at.signal.throwIfAborted())
      pause = Math.min(pause * 1.5, patience.maxPollMs)
    }
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

import type { V1Job } from '@kubernetes/client-node'
import { ToolError, type ToolLog } from '@noetl/core'
import type { At, Cluster } from './cluster.ts'
import { HOLDER_ANNOTATION, type JobPlan, KEY_ANNOTATION } from './manifest.ts'
import { endOfJob } from './outcome.ts'

/**
 * A Job is held by one run of a call. The run that made it writes a name of its own into it; one that finds
 * it there, because a worker died or lost its lease, writes its own over it. Whoever stops removes the Job
 * only while it still holds it: another may be waiting for its end.
 */

/** Makes the Job, or takes over the one that an earlier run of this call made. */
export async function holdJob(
  cluster: Cluster,
  { plan, holder, at, log }: { plan: JobPlan; holder: string; at: At; log: ToolLog },
): Promise<{ job: V1Job; adopted: boolean }> {
  const metadata = plan.job.metadata ?? {}
  const annotations: Record<string, string> = { ...metadata.annotations, [HOLDER_ANNOTATION]: holder }
  const made = await cluster.createJob(
    { ...plan.job, metadata: { ...metadata, namespace: at.namespace, annotations } },
    at,
  )
  if (made !== null) return { job: made, adopted: false }
  const there = await cluster.readJob(at)
  if (there === null || there.metadata?.deletionTimestamp !== undefined) throw vanishing(at)
  if (there.metadata?.annotations?.[KEY_ANNOTATION] !== annotations[KEY_ANNOTATION]) {
    throw new ToolError(
      'client_error',
      `A Job ${at.namespace}/${at.name} is there that this call did not make: remove it or rename the step.`,
    )
  }
  const job = await cluster.holdJob(holder, at)
  if (job === null) throw vanishing(at)
  log.info({ job: at.name, namespace: at.namespace }, 'a Job of an earlier run of this call is taken over')
  return { job, adopted: true }
}

/** Removes a Job that goes on though nobody waits for it any more. Never throws: the call has failed already. */
export async function removeJob(
  cluster: Cluster,
  { holder, at, log }: { holder: string; at: At; log: ToolLog },
): Promise<void> {
  try {
    // Its status may change between the two requests; then what was read is no longer what would be removed.
    for (let attempt = 1; attempt <= 3; attempt++) {
      const job = await cluster.readJob(at)
      if (job === null || endOfJob(job) !== null) return
      if (job.metadata?.annotations?.[HOLDER_ANNOTATION] !== holder) return
      if (await cluster.deleteJob(job, at)) {
        log.info(
          { job: at.name, namespace: at.namespace },
          'a Job was removed: its call was stopped or gave it up',
        )
        return
      }
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    log.warn(
      { job: at.name, namespace: at.namespace, why },
      'a Job could not be removed; it ends by its own limit',
    )
  }
}

function vanishing({ namespace, name }: At): ToolError {
  return new ToolError(
    'tool_error',
    `Job ${namespace}/${name} of an earlier run of this call is being removed: try again.`,
    { retryable: true },
  )
}

import type { V1Job, Watch } from '@kubernetes/client-node'
import { isObject } from '@noetl/core'
import type { At } from './cluster.ts'
import { endOfJob } from './outcome.ts'

/**
 * Why a watch is over: the Job has ended or is gone; the cluster has forgotten the version it began at (410);
 * the role has no right to watch, or something between us and the cluster knows no watching; anything else, for
 * a watch is closed now and then.
 */
export type WatchEnd = 'ended' | 'expired' | 'refused' | 'closed'

/** How long the cluster keeps a watch open. The client closes one in which nothing is said for 30 s. */
const WATCH_SECONDS = 300
/** Answers that the next watch would get too. */
const REFUSALS = [401, 403, 404, 405, 501]

/**
 * Watches one Job from the version that was read, so that nothing between the two is missed. What is seen says
 * only that it is time to read the Job again. Throws the signal's reason when it is aborted, nothing else.
 */
export async function watchJob(watch: Watch, job: V1Job, at: At): Promise<WatchEnd> {
  at.signal.throwIfAborted()
  const { uid, resourceVersion } = job.metadata ?? {}
  const over = Promise.withResolvers<WatchEnd>()
  const onAbort = () => over.resolve('closed')
  at.signal.addEventListener('abort', onAbort)
  const opening = watch.watch(
    `/apis/batch/v1/namespaces/${encodeURIComponent(at.namespace)}/jobs`,
    {
      fieldSelector: `metadata.name=${at.name}`,
      resourceVersion,
      allowWatchBookmarks: true,
      timeoutSeconds: WATCH_SECONDS,
    },
    (type: string, seen: unknown) => {
      if (type === 'ERROR') over.resolve(isObject(seen) && seen.code === 410 ? 'expired' : 'closed')
      else if (type === 'DELETED' || (type !== 'BOOKMARK' && isOver(seen, uid))) over.resolve('ended')
    },
    (error: unknown) => over.resolve(endOf(error)),
  )
  opening.catch((error: unknown) => over.resolve(endOf(error)))
  try {
    return await over.promise
  } finally {
    at.signal.removeEventListener('abort', onAbort)
    // One that is still being opened is closed as soon as it is.
    opening.then((controller) => controller.abort()).catch(() => {})
    at.signal.throwIfAborted()
  }
}

/** What a watch shows has texts where the client's types have dates; conditions are the same in both. */
function isOver(seen: unknown, uid: string | undefined): boolean {
  const job = seen as V1Job
  return endOfJob(job) !== null || (uid !== undefined && job.metadata?.uid !== uid)
}

function endOf(error: unknown): WatchEnd {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 0
  if (status === 410) return 'expired'
  return REFUSALS.includes(status) ? 'refused' : 'closed'
}

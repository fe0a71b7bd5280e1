import type { ConfigurationOptions, KubeConfig, RequestContext, V1Job, V1Pod } from '@kubernetes/client-node'
import { ToolError } from '@noetl/core'
import type { KubernetesClient } from './cluster-settings.ts'
import { apiFailure } from './failures.ts'
import { HOLDER_ANNOTATION } from './manifest.ts'
import { type WatchEnd, watchJob } from './watch-job.ts'

/** The few requests that a Job needs. They throw ToolError, and the signal's reason when it is aborted. */
export interface Cluster {
  /** As messages show it. */
  server: string
  /** Where Jobs go that name no namespace. */
  namespace: string
  /** Null: a Job of that name is there. */
  createJob(job: V1Job, at: At): Promise<V1Job | null>
  /** Null: there is none. */
  readJob(at: At): Promise<V1Job | null>
  /** Waits until the Job as it was read has ended or is gone, or the watch is over before. */
  watchJob(job: V1Job, at: At): Promise<WatchEnd>
  /** Writes who looks after the Job now. Null: there is none. */
  holdJob(holder: string, at: At): Promise<V1Job | null>
  /** Removes the Job as it was read, and its pods. False: it has changed meanwhile. */
  deleteJob(job: V1Job, at: At): Promise<boolean>
  listPods(at: At): Promise<V1Pod[]>
  /** Null: there is no such pod or container any more, or none that began. */
  podLog(
    pod: string,
    limits: { container: string; bytes: number; lines?: number },
    at: At,
  ): Promise<string | null>
  close(): Promise<void>
}

/** Which Job, and until when. */
export interface At {
  namespace: string
  name: string
  signal: AbortSignal
}

const MAX_PODS = 100

export function openCluster(
  client: KubernetesClient,
  config: KubeConfig,
  { namespace, requestMs }: { namespace: string | undefined; requestMs: number },
): Cluster {
  const server = withoutUserinfo(config.getCurrentCluster()?.server ?? '')
  const jobs = config.makeApiClient(client.BatchV1Api)
  const core = config.makeApiClient(client.CoreV1Api)
  let dispatcher: ReturnType<RequestContext['getDispatcher']>

  /** The client would make a pool of connections for every request. */
  function share(context: RequestContext): void {
    dispatcher ??= context.getDispatcher()
    if (dispatcher !== undefined) context.setDispatcher(dispatcher)
  }

  const watching: KubeConfig = Object.create(config, {
    applySecurityAuthentication: {
      async value(context: RequestContext) {
        await config.applySecurityAuthentication(context)
        share(context)
      },
    },
  })

  /** The client has no way to pass a signal but this. */
  function options(signal: AbortSignal): ConfigurationOptions {
    return {
      middlewareMergeStrategy: 'append',
      middleware: [
        {
          pre(context) {
            context.setSignal(signal)
            share(context)
            return new client.Observable(Promise.resolve(context))
          },
          post: (response) => new client.Observable(Promise.resolve(response)),
        },
      ],
    }
  }

  async function request<T>(
    what: string,
    { namespace, name, signal }: At,
    send: (options: ConfigurationOptions) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted()
    try {
      return await send(options(AbortSignal.any([signal, AbortSignal.timeout(requestMs)])))
    } catch (error) {
      signal.throwIfAborted()
      throw apiFailure(error, { what: `${what} Job ${namespace}/${name}`, server, requestMs })
    }
  }

  return {
    server,
    namespace: namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    createJob: (job, at) =>
      unless(
        ({ status, code }) => status === 409 && code === 'AlreadyExists',
        request('create', at, (options) =>
          jobs.createNamespacedJob({ namespace: at.namespace, body: job }, options),
        ),
      ),
    readJob: (at) =>
      unless(
        ({ status }) => status === 404,
        request('read', at, (options) =>
          jobs.readNamespacedJob({ namespace: at.namespace, name: at.name }, options),
        ),
      ),
    watchJob: (job, at) => watchJob(new client.Watch(watching), job, at),
    holdJob(holder, at) {
      const body = [{ op: 'add', path: `/metadata/annotations/${pointer(HOLDER_ANNOTATION)}`, value: holder }]
      return unless(
        ({ status }) => status === 404,
        request('take over', at, (options) =>
          jobs.patchNamespacedJob({ namespace: at.namespace, name: at.name, body }, options),
        ),
      )
    },
    async deleteJob({ metadata = {} }, at) {
      const { uid, resourceVersion } = metadata
      const preconditions = {
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      }
      const body = { propagationPolicy: 'Background', preconditions }
      const answer = await unless(
        ({ status }) => status === 409,
        unless(
          ({ status }) => status === 404,
          request('delete', at, (options) =>
            jobs.deleteNamespacedJob({ namespace: at.namespace, name: at.name, body }, options),
          ),
        ).then(() => true),
      )
      return answer ?? false
    },
    async listPods(at) {
      const { items } = await request('list the pods of', at, (options) =>
        core.listNamespacedPod(
          { namespace: at.namespace, labelSelector: `job-name=${at.name}`, limit: MAX_PODS },
          options,
        ),
      )
      return items
    },
    podLog: (pod, { container, bytes, lines }, at) =>
      unless(
        // 400: the container has not begun, or is gone with its node.
        ({ status }) => status === 404 || status === 400,
        request('read the logs of', at, (options) =>
          core.readNamespacedPodLog(
            {
              namespace: at.namespace,
              name: pod,
              container,
              limitBytes: bytes,
              ...(lines === undefined ? {} : { tailLines: lines }),
            },
            options,
          ),
        ),
      ),
    async close() {
      await dispatcher?.destroy()
    },
  }
}

/** Null for the failures that are an answer too; others are thrown on. */
async function unless<T>(isAnswer: (failure: ToolError) => boolean, asking: Promise<T>): Promise<T | null> {
  try {
    return await asking
  } catch (error) {
    if (error instanceof ToolError && isAnswer(error)) return null
    throw error
  }
}

function withoutUserinfo(server: string): string {
  return server.replace(/\/\/[^/]*@/, '//')
}

/** A key as JSON Patch writes it in a path. */
function pointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}

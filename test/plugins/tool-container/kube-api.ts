import { randomUUID } from 'node:crypto'
import { createServer as createPlain, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecure } from 'node:https'
import type { AddressInfo } from 'node:net'
import { isObject, type Json, type JsonObject } from '@noetl/core'
import type { Teardown } from '../../support/teardown.ts'

export const TOKEN = 's3cret-t0ken'

/** How a Job of an image goes: the states it is found in, look after look; the last one stays. */
export interface Course {
  states: State[]
  /** What the container writes. Absent: the container never began. */
  logs?: string
}

export type State =
  | { is: 'no-pod' | 'pending' | 'running' | 'complete' | 'gone' }
  | { is: 'waiting'; reason: string; message: string }
  | { is: 'unschedulable'; message: string }
  | { is: 'failed'; exitCode: number; reason?: string }
  | { is: 'deadline' }

export interface StoredJob {
  manifest: JsonObject
  course: Course
  looks: number
  /** The state that its resource version is of; it is made without a status. */
  shown?: State
}

export interface KubeApi {
  url: string
  credential: { type: string; data: JsonObject }
  /** By image. */
  courses: Map<string, Course>
  /** By `namespace/name`. */
  jobs: Map<string, StoredJob>
  /** Methods and paths of the requests, in order. */
  requests: { method: string; path: string; query: URLSearchParams; body: Json; contentType: string }[]
  /** Answers instead of the usual one; undefined leaves it. */
  intercept: (request: { method: string; path: string }) => Refusal | 'hang' | 'reset' | undefined
  sockets(): number
  /** Watches that are open. */
  watches: Set<ServerResponse>
  /** Versions below this are forgotten: a watch from one is told 410. */
  compacted: number
  stop(): Promise<void>
}

/**
 * The part of the Kubernetes API that Jobs need, with answers in the shapes of its public reference: Job,
 * Pod and Status objects, labels, resource versions, preconditions.
 */
export async function kubeApi(t: Teardown, tls?: { key: string; cert: string }): Promise<KubeApi> {
  let sockets = 0
  const listener = (request: IncomingMessage, response: ServerResponse) => void serve(api, request, response)
  const server = tls === undefined ? createPlain(listener) : createSecure(tls, listener)
  server.on('connection', () => {
    sockets += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const stop = async () => {
    server.closeAllConnections()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(stop)
  const url = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`
  const api: KubeApi = {
    url,
    credential: { type: 'kubernetes', data: { kubeconfig: kubeconfig(url) } },
    courses: new Map(),
    jobs: new Map(),
    requests: [],
    intercept: () => undefined,
    sockets: () => sockets,
    watches: new Set(),
    compacted: 0,
    stop,
  }
  return api
}

export function kubeconfig(url: string, namespace = 'flows'): string {
  return `apiVersion: v1
kind: Config
current-context: test
clusters:
  - name: test
    cluster: {server: "${url}", insecure-skip-tls-verify: true}
users:
  - name: worker
    user: {token: ${TOKEN}}
contexts:
  - name: test
    context: {cluster: test, user: worker, namespace: ${namespace}}
`
}

async function serve(api: KubeApi, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  const url = new URL(request.url ?? '/', 'http://localhost')
  const { pathname: path, searchParams: query } = url
  const method = request.method ?? ''
  const body: Json = text === '' ? null : JSON.parse(text)
  api.requests.push({ method, path, query, body, contentType: request.headers['content-type'] ?? '' })
  const instead = api.intercept({ method, path })
  if (instead === 'hang') return
  if (instead === 'reset') {
    request.socket.destroy()
    return
  }
  const known = request.headers.authorization === `Bearer ${TOKEN}`
  if (known && instead === undefined && query.get('watch') === 'true') {
    serveWatch(api, { path, query, response })
    return
  }
  const refusal = known ? instead : { status: 401, reason: 'Unauthorized', message: 'Unauthorized' }
  const answer = refusal === undefined ? answerOf(api, { method, path, query, body }) : failure(refusal)
  response.writeHead(answer.code, answer.headers).end(answer.body)
}

/** Tells of each state of one Job that is new since a version, and goes on with its course. */
function serveWatch(
  api: KubeApi,
  { path, query, response }: { path: string; query: URLSearchParams; response: ServerResponse },
): void {
  const name = /^metadata\.name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1] ?? ''
  const key = `${path.split('/')[5]}/${name}`
  let version = Number(query.get('resourceVersion'))
  let stored = api.jobs.get(key)
  const tell = (type: string, object: object) => response.write(`${JSON.stringify({ type, object })}\n`)
  response.writeHead(200, { 'content-type': 'application/json' })
  response.flushHeaders()
  if (version < api.compacted) {
    const gone = { status: 410, reason: 'Expired', message: `too old resource version: ${version}` }
    tell('ERROR', JSON.parse(String(failure(gone).body)) as object)
    response.end()
    return
  }
  api.watches.add(response)
  const look = () => {
    const there = api.jobs.get(key)
    if (there === undefined || stateOf(there).is === 'gone') {
      if (stored !== undefined) tell('DELETED', stored.manifest)
      stored = undefined
      return
    }
    stored = there
    settle(there)
    const { resourceVersion } = there.manifest.metadata as JsonObject
    if (Number(resourceVersion) > version) {
      version = Number(resourceVersion)
      tell('MODIFIED', { ...there.manifest, status: jobStatus(there) })
    }
    tell('BOOKMARK', { kind: 'Job', apiVersion: 'batch/v1', metadata: { resourceVersion: String(version) } })
    there.looks += 1
  }
  const timer = setInterval(look, 5)
  look()
  response.on('close', () => {
    clearInterval(timer)
    api.watches.delete(response)
  })
}

/** A state that was not shown before is a new version of the Job. */
function settle(stored: StoredJob): void {
  const state = stateOf(stored)
  const metadata = stored.manifest.metadata as JsonObject
  if (stored.shown !== undefined && stored.shown.is !== state.is) {
    metadata.resourceVersion = String(Number(metadata.resourceVersion) + 1)
  }
  stored.shown = state
}

interface Answer {
  code: number
  headers: Record<string, string>
  body: string | Buffer
}

function answerOf(
  api: KubeApi,
  request: { method: string; path: string; query: URLSearchParams; body: Json },
): Answer {
  const { method, path, query, body } = request
  const [, namespace = '', rest = ''] = /^\/api(?:s\/batch)?\/v1\/namespaces\/([^/]+)\/(.+)$/.exec(path) ?? []
  const [kind, name = '', sub] = rest.split('/')
  if (kind === 'jobs' && method === 'POST') return createJob(api, namespace, body)
  if (kind === 'jobs') return oneJob(api, `${namespace}/${name}`, { method, body })
  if (kind === 'pods' && sub === 'log') return podLog(api, { namespace, pod: name, query })
  if (kind !== 'pods') {
    return failure({
      status: 404,
      reason: 'NotFound',
      message: 'the server could not find the requested resource',
    })
  }
  const [, job] = /^job-name=(.+)$/.exec(query.get('labelSelector') ?? '') ?? []
  const stored = api.jobs.get(`${namespace}/${job}`)
  const items = stored === undefined ? [] : podsOf(stored)
  return json(200, { kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '1' }, items })
}

function createJob(api: KubeApi, namespace: string, body: Json): Answer {
  const manifest = body as JsonObject
  const metadata = manifest.metadata as JsonObject
  const key = `${namespace}/${metadata.name}`
  if (api.jobs.has(key)) {
    return failure({
      status: 409,
      reason: 'AlreadyExists',
      message: `jobs.batch "${metadata.name}" already exists`,
    })
  }
  const course = api.courses.get(imageOf(manifest)) ?? { states: [{ is: 'complete' }], logs: '' }
  const created = {
    ...manifest,
    metadata: {
      ...metadata,
      namespace,
      uid: randomUUID(),
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: now(),
    },
    status: {},
  }
  api.jobs.set(key, { manifest: created, course, looks: 0, shown: { is: 'no-pod' } })
  return json(201, created)
}

function oneJob(api: KubeApi, key: string, { method, body }: { method: string; body: Json }): Answer {
  const stored = api.jobs.get(key)
  if (stored === undefined || stateOf(stored).is === 'gone') {
    return failure({
      status: 404,
      reason: 'NotFound',
      message: `jobs.batch "${key.split('/')[1]}" not found`,
    })
  }
  const metadata = stored.manifest.metadata as JsonObject
  settle(stored)
  if (method === 'GET') {
    const shown = { ...stored.manifest, status: jobStatus(stored) }
    stored.looks += 1
    return json(200, shown)
  }
  if (method === 'PATCH') {
    for (const { path, value } of body as { path: string; value: string }[]) {
      const annotation = path.slice('/metadata/annotations/'.length).replaceAll('~1', '/')
      metadata.annotations = { ...(metadata.annotations as JsonObject), [annotation]: value }
    }
    metadata.resourceVersion = String(Number(metadata.resourceVersion) + 1)
    return json(200, { ...stored.manifest, status: jobStatus(stored) })
  }
  const preconditions = isObject(body) && isObject(body.preconditions) ? body.preconditions : {}
  if (
    (preconditions.uid ?? metadata.uid) !== metadata.uid ||
    (preconditions.resourceVersion ?? metadata.resourceVersion) !== metadata.resourceVersion
  ) {
    return failure({
      status: 409,
      reason: 'Conflict',
      message: 'Precondition failed: the object has been modified',
    })
  }
  api.jobs.delete(key)
  return json(200, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name: String(metadata.name), group: 'batch', kind: 'jobs', uid: String(metadata.uid) },
  })
}

function podLog(api: KubeApi, at: { namespace: string; pod: string; query: URLSearchParams }): Answer {
  const { namespace, pod, query } = at
  const stored = api.jobs.get(`${namespace}/${pod.replace(/-[a-z0-9]{5}$/, '')}`)
  if (stored === undefined) {
    return failure({ status: 404, reason: 'NotFound', message: `pods "${pod}" not found` })
  }
  const { logs } = stored.course
  if (logs === undefined) {
    return failure({
      status: 400,
      reason: 'BadRequest',
      message: `container "main" in pod "${pod}" is waiting to start: ContainerCreating`,
    })
  }
  const lines = query.get('tailLines')
  const tail =
    lines === null
      ? logs
      : logs
          .split(/(?<=\n)/)
          .slice(-Number(lines))
          .join('')
  const bytes = Buffer.from(tail).subarray(0, Number(query.get('limitBytes') ?? Number.POSITIVE_INFINITY))
  return { code: 200, headers: { 'content-type': 'text/plain' }, body: bytes }
}

function stateOf({ course, looks }: StoredJob): State {
  return course.states[Math.min(looks, course.states.length - 1)]!
}

function jobStatus(stored: StoredJob): JsonObject {
  const state = stateOf(stored)
  const startTime = now()
  if (state.is === 'complete') {
    return {
      startTime,
      completionTime: now(),
      succeeded: 1,
      ready: 0,
      terminating: 0,
      uncountedTerminatedPods: {},
      conditions: [
        condition('SuccessCriteriaMet', 'CompletionsReached', 'Reached expected number of succeeded pods'),
        condition('Complete', 'CompletionsReached', 'Reached expected number of succeeded pods'),
      ],
    }
  }
  if (state.is === 'failed' || state.is === 'deadline') {
    const [reason, message] =
      state.is === 'failed'
        ? ['BackoffLimitExceeded', 'Job has reached the specified backoff limit']
        : ['DeadlineExceeded', 'Job was active longer than specified deadline']
    return {
      startTime,
      failed: 1,
      ready: 0,
      conditions: [condition('FailureTarget', reason, message), condition('Failed', reason, message)],
    }
  }
  return { startTime, active: 1, ready: state.is === 'running' ? 1 : 0, uncountedTerminatedPods: {} }
}

function podsOf(stored: StoredJob): JsonObject[] {
  // A Job was looked at before its pods are.
  const state = stateOf({ ...stored, looks: Math.max(0, stored.looks - 1) })
  if (state.is === 'no-pod' || state.is === 'deadline' || state.is === 'gone') return []
  const metadata = stored.manifest.metadata as JsonObject
  return [
    {
      metadata: {
        name: `${metadata.name}-x7k2p`,
        generateName: `${metadata.name}-`,
        namespace: metadata.namespace ?? '',
        uid: randomUUID(),
        creationTimestamp: now(),
        labels: { 'job-name': metadata.name ?? '', 'batch.kubernetes.io/job-name': metadata.name ?? '' },
      },
      spec: ((stored.manifest.spec as JsonObject).template as JsonObject).spec ?? {},
      status: podStatus(state, imageOf(stored.manifest)),
    },
  ]
}

function podStatus(state: State, image: string): JsonObject {
  const container = (ready: boolean, is: JsonObject) => [
    { name: 'main', image, imageID: '', ready, restartCount: 0, started: ready, state: is, lastState: {} },
  ]
  const ended = (exitCode: number, reason: string): JsonObject => ({
    terminated: { exitCode, reason, startedAt: now(), finishedAt: now(), containerID: 'containerd://1' },
  })
  switch (state.is) {
    case 'unschedulable':
      return {
        phase: 'Pending',
        conditions: [{ ...condition('PodScheduled', 'Unschedulable', state.message), status: 'False' }],
      }
    case 'waiting':
      return {
        phase: 'Pending',
        conditions: [condition('PodScheduled', '', '')],
        containerStatuses: container(false, { waiting: { reason: state.reason, message: state.message } }),
      }
    case 'running':
      return { phase: 'Running', containerStatuses: container(true, { running: { startedAt: now() } }) }
    case 'complete':
      return { phase: 'Succeeded', containerStatuses: container(false, ended(0, 'Completed')) }
    case 'failed':
      return {
        phase: 'Failed',
        containerStatuses: container(false, ended(state.exitCode, state.reason ?? 'Error')),
      }
    default:
      return {
        phase: 'Pending',
        containerStatuses: container(false, { waiting: { reason: 'ContainerCreating' } }),
      }
  }
}

function condition(type: string, reason: string, message: string): JsonObject {
  return { type, status: 'True', reason, message, lastProbeTime: now(), lastTransitionTime: now() }
}

function imageOf(manifest: JsonObject): string {
  const template = (manifest.spec as JsonObject).template as JsonObject
  const [container] = (template.spec as JsonObject).containers as JsonObject[]
  return String(container?.image ?? '')
}

interface Refusal {
  status: number
  reason: string
  message: string
  headers?: Record<string, string>
}

function failure({ status: code, reason, message, headers = {} }: Refusal): Answer {
  const body = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code }
  const answer = json(code, body)
  return { ...answer, headers: { ...answer.headers, ...headers } }
}

function json(code: number, value: object): Answer {
  return { code, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}

/** As Kubernetes writes times: without fractions. */
function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`
}

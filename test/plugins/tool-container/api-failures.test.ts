import { readFile } from 'node:fs/promises'
import type { JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { freePort } from '../../../cli/local/child.ts'
import { type ContainerToolOptions, containerTool } from '../../../plugins/tool-container/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { type KubeApi, kubeApi, kubeconfig } from './kube-api.ts'

const FAST = { pollMs: 5, maxPollMs: 10 }

async function setUp(t: Test, options: ContainerToolOptions = {}) {
  const api = await kubeApi(t)
  api.courses.set('quick', {
    states: [{ is: 'running' }, { is: 'running' }, { is: 'running' }, { is: 'complete' }],
    logs: 'done\n',
  })
  const tool = containerTool({ ...FAST, ...options })
  t.teardown(() => tool.close?.())
  const run = (fields: JsonObject = {}) =>
    tool.run({ image: 'quick', auth: 'k8s', ...fields }, toolCall({ stored: { k8s: api.credential } }))
  return { api, run }
}

/** Answers the first `times` requests of a kind with a failure. */
function failing(
  api: KubeApi,
  when: (request: { method: string; path: string }) => boolean,
  answer: ReturnType<KubeApi['intercept']>,
  times = Number.POSITIVE_INFINITY,
): () => number {
  let seen = 0
  api.intercept = (request) => {
    if (!when(request) || seen >= times) return undefined
    seen += 1
    return answer
  }
  return () => seen
}

const creating = ({ method }: { method: string }) => method === 'POST'

t.test('create: what the cluster refuses is told in its words, by kind', async (t) => {
  const forbidden =
    'jobs.batch is forbidden: User "system:serviceaccount:flows:worker" cannot create resource "jobs" in API group "batch" in the namespace "flows"'
  const answers: [number, string, string, JsonObject][] = [
    [403, 'Forbidden', forbidden, { kind: 'auth', retryable: false, status: 403, code: 'Forbidden' }],
    [401, 'Unauthorized', 'Unauthorized', { kind: 'auth', retryable: false }],
    [404, 'NotFound', 'namespaces "flows" not found', { kind: 'not_found', retryable: false }],
    [422, 'Invalid', 'Job.batch "x" is invalid: spec: Required value', { kind: 'schema', retryable: false }],
    [
      409,
      'Conflict',
      'Operation cannot be fulfilled on resourcequotas "q"',
      { kind: 'server_error', retryable: true },
    ],
    [500, 'InternalError', 'etcdserver: request timed out', { kind: 'server_error', retryable: true }],
  ]
  for (const [status, reason, message, expected] of answers) {
    const { api, run } = await setUp(t)
    failing(api, creating, { status, reason, message })
    const failure = await toolFailure(run())
    t.match(failure, expected, String(status))
    // The client does not hand over the words of a 401.
    if (status !== 401) t.ok(failure.message.includes(message), failure.message)
    t.match(failure.message, /^Kubernetes at http:\/\/127.0.0.1:\d+ did not create Job flows\/noetl-fetch-/)
    // After a refusal nothing is looked for that was not made; after a breakdown it may be there.
    t.equal(api.requests.length, status < 500 ? 1 : 2)
  }
})

t.test('create: a refusal for want of rights names the role, one of a token the token', async (t) => {
  const { api, run } = await setUp(t)
  failing(api, creating, { status: 403, reason: 'Forbidden', message: 'no' })
  t.match(
    (await toolFailure(run())).message,
    /role that may create, get, watch, patch and delete jobs, list pods/,
  )
  failing(api, creating, { status: 401, reason: 'Unauthorized', message: 'no' })
  t.match((await toolFailure(run())).message, /Check the token/)
})

t.test('create: too many requests carry the wait that the cluster asks for', async (t) => {
  const { api, run } = await setUp(t)
  const headers = { 'retry-after': '7' }
  failing(api, creating, { status: 429, reason: 'TooManyRequests', message: 'slow down', headers })
  t.match(await toolFailure(run()), { kind: 'rate_limit', retryable: true, retryAfterSeconds: 7 })
})

t.test('unreachable: a closed port is a connection failure that may be tried again', async (t) => {
  const { run } = await setUp(t)
  const url = `http://127.0.0.1:${await freePort()}`
  const failure = await toolFailure(run({ auth: { kubeconfig: kubeconfig(url) } }))
  t.match(failure, { kind: 'connection', retryable: true, code: 'ECONNREFUSED' })
  t.match(failure.message, new RegExp(`^Kubernetes at ${url} cannot be reached to create Job`))
})

t.test('unreachable: an API that says nothing is a timeout', async (t) => {
  const { api, run } = await setUp(t, { requestMs: 100 })
  failing(api, creating, 'hang')
  t.match(await toolFailure(run()), {
    kind: 'timeout',
    retryable: true,
    message: /did not create Job .* within 0.1 s: it does not answer/,
  })
})

t.test('outage: a Job goes on while the API is away, and so does the wait for it', async (t) => {
  for (const answer of [
    'reset' as const,
    { status: 503, reason: 'ServiceUnavailable', message: 'no' },
    { status: 429, reason: 'TooManyRequests', message: 'no' },
  ]) {
    const { api, run } = await setUp(t)
    const seen = failing(api, ({ method }) => method === 'GET', answer, 3)
    t.match(await run(), { status: 'success', logs: 'done\n' })
    t.equal(seen(), 3)
  }
})

t.test('outage: one that lasts is a failure, and the Job is removed as far as that goes', async (t) => {
  const { api, run } = await setUp(t, { outageMs: 250 })
  api.courses.set('endless', { states: [{ is: 'running' }], logs: '' })
  // Pods cannot be listed; the Job can be read and removed.
  const seen = failing(api, ({ path }) => path.endsWith('/pods'), 'reset')
  t.match(await toolFailure(run({ image: 'endless' })), { kind: 'connection', retryable: true })
  t.ok(seen() > 1)
  t.equal(api.jobs.size, 0)
})

t.test('rights: one that lacks for the logs of an ended Job is told, and the Job is kept', async (t) => {
  const { api, run } = await setUp(t)
  failing(api, ({ path }) => path.endsWith('/log'), {
    status: 403,
    reason: 'Forbidden',
    message: 'pods "x" is forbidden: cannot get resource "pods/log"',
  })
  t.match(await toolFailure(run()), { kind: 'auth', message: /did not read the logs of Job.*pods\/log/ })
  api.intercept = () => undefined
  t.match(await run(), { adopted: true, logs: 'done\n' }, 'with the right, a repeat has the result')
})

t.test('rights: one that lacks while the Job runs removes it', async (t) => {
  const { api, run } = await setUp(t)
  failing(api, ({ path }) => path.endsWith('/pods'), { status: 403, reason: 'Forbidden', message: 'no' })
  t.match(await toolFailure(run()), { kind: 'auth', message: /did not list the pods of Job/ })
  t.equal(api.jobs.size, 0)
})

t.test(
  'tls: a cluster whose authority is given is trusted, another is refused with the way out',
  async (t) => {
    const file = (name: string) => readFile(new URL(`../../fixtures/tls/${name}`, import.meta.url), 'utf8')
    const [key, cert] = [await file('localhost.key'), await file('localhost.crt')]
    const api = await kubeApi(t, { key, cert })
    const tool = containerTool(FAST)
    t.teardown(() => tool.close?.())
    const run = (auth: JsonObject) => tool.run({ image: 'any', auth }, toolCall())
    const credential = { server: api.url, token: 's3cret-t0ken' }
    t.match(await run({ ...credential, ca: cert }), { status: 'success', namespace: 'default' })
    t.match(await run({ ...credential, verify_ssl: false, namespace: 'own' }), { namespace: 'own' })
    t.match(await toolFailure(run(credential)), {
      kind: 'connection',
      retryable: false,
      message: /certificate of Kubernetes at https:\/\/127.0.0.1:\d+ is not accepted/,
    })
  },
)

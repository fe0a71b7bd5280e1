import { CallAborted, type JsonObject, type ToolCall } from '@noetl/core'
import t, { type Test } from 'tap'
import { type ContainerToolOptions, containerTool } from '../../../plugins/tool-container/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { type KubeApi, kubeApi } from './kube-api.ts'

const FAST = { pollMs: 5, maxPollMs: 10 }

async function setUp(t: Test, options: ContainerToolOptions = {}) {
  const api = await kubeApi(t)
  api.courses.set('quick', { states: [{ is: 'running' }, { is: 'complete' }], logs: 'done\n' })
  api.courses.set('bad', { states: [{ is: 'failed', exitCode: 1 }], logs: '' })
  api.courses.set('endless', { states: [{ is: 'running' }], logs: '' })
  const tool = containerTool({ ...FAST, ...options })
  t.teardown(() => tool.close?.())
  const run = (fields: JsonObject, more: Partial<ToolCall> = {}) =>
    tool.run({ auth: 'k8s', ...fields }, toolCall({ stored: { k8s: api.credential }, ...more }))
  return { api, tool, run }
}

const made = (api: KubeApi) => api.requests.filter(({ method }) => method === 'POST').length
const deletes = (api: KubeApi) => api.requests.filter(({ method }) => method === 'DELETE')
const one = (api: KubeApi) => {
  const [name = '', job] = [...api.jobs][0] ?? []
  return { name, annotations: (job!.manifest.metadata as JsonObject).annotations as JsonObject }
}

/** Starts a call that goes on, and waits until its Job is looked at. */
async function begun(t: Test, options: ContainerToolOptions = {}) {
  const { api, tool, run } = await setUp(t, options)
  const stop = new AbortController()
  const running = run({ image: 'endless' }, { signal: stop.signal })
  running.catch(() => {})
  await until('the Job to be looked at', () => [...api.jobs.values()].some(({ looks }) => looks > 1))
  return { api, tool, run, stop, running, ended: running.catch((error: unknown) => error) }
}

t.test('a repeat of a call finds the Job of the first, and starts none', async (t) => {
  const { api, run } = await setUp(t)
  const first = (await run({ image: 'quick' })) as JsonObject
  const second = (await run({ image: 'quick' })) as JsonObject
  t.match(first, { adopted: false, logs: 'done\n' })
  t.match(second, { adopted: true, logs: 'done\n', job: first.job })
  t.equal(api.jobs.size, 1)
  t.equal(made(api), 2, 'the second was refused')
})

t.test('a repeat that renders its fields otherwise is still the same call', async (t) => {
  const { api, run } = await setUp(t)
  await run({ image: 'quick', env: { AT: '10:00' } })
  t.match(await run({ image: 'quick', env: { AT: '10:01' } }), { adopted: true })
  t.equal(api.jobs.size, 1)
})

t.test('a repeat of a call that failed fails the same way, a retry by rule makes a new Job', async (t) => {
  const { api, run } = await setUp(t)
  const first = await toolFailure(run({ image: 'bad' }))
  const second = await toolFailure(run({ image: 'bad' }))
  t.equal(second.message, first.message)
  t.equal(api.jobs.size, 1)
  await toolFailure(run({ image: 'bad' }, { attempt: 2 }))
  t.equal(api.jobs.size, 2)
})

t.test('other calls have other Jobs: by key, by execution', async (t) => {
  const { api, run } = await setUp(t)
  await run({ image: 'quick' })
  await run({ image: 'quick' }, { idempotencyKey: 'key-2' })
  await run({ image: 'quick' }, { executionId: '101' })
  t.equal(api.jobs.size, 3)
})

t.test('a Job of the same name that the call did not make is left alone', async (t) => {
  const { api, run } = await setUp(t)
  await run({ image: 'quick' })
  const { name, annotations } = one(api)
  annotations['noetl.io/idempotency-key'] = 'another'
  t.match(await toolFailure(run({ image: 'quick' })), {
    kind: 'client_error',
    message: new RegExp(`${name} is there that this call did not make`),
  })
  t.equal(api.jobs.size, 1)
})

t.test('a Job that is being removed is not taken over; the call may be tried again', async (t) => {
  const { api, run } = await setUp(t)
  await run({ image: 'quick' })
  const [job] = api.jobs.values()
  Object.assign(job!.manifest.metadata as JsonObject, { deletionTimestamp: '2026-11-24T00:00:00Z' })
  t.match(await toolFailure(run({ image: 'quick' })), {
    kind: 'tool_error',
    retryable: true,
    message: /is being removed/,
  })
})

t.test('a Job that is removed by someone else is a failure that says so', async (t) => {
  const { api, ended } = await begun(t)
  api.jobs.clear()
  t.match(await ended, { kind: 'tool_error', retryable: true, message: /was removed before it had ended/ })
})

t.test('cancelled: the Job and its pods are removed, as it was read and not otherwise', async (t) => {
  const { api, stop, ended } = await begun(t)
  const [stored] = api.jobs.values()
  const { uid, resourceVersion } = stored!.manifest.metadata as JsonObject
  const reason = new CallAborted('cancelled', 'enough')
  stop.abort(reason)
  t.equal(await ended, reason)
  t.equal(api.jobs.size, 0)
  t.match(deletes(api), [
    { body: { propagationPolicy: 'Background', preconditions: { uid, resourceVersion } } },
  ])
})

t.test('deadline: the Job is removed and the failure is a timeout', async (t) => {
  const { api, stop, ended } = await begun(t)
  stop.abort(new CallAborted('deadline', 'late'))
  t.match(await ended, {
    kind: 'timeout',
    retryable: true,
    message: /still ran when the time of the call was up/,
  })
  t.equal(api.jobs.size, 0)
})

t.test('stopped in the midst of making it: a Job that was made all the same is removed', async (t) => {
  const { api, run } = await setUp(t)
  const stop = new AbortController()
  const reason = new CallAborted('cancelled', 'enough')
  // The answer never comes, but the Job is there.
  api.intercept = ({ method }) => {
    if (method !== 'POST') return undefined
    api.intercept = () => undefined
    const manifest = structuredClone(api.requests.at(-1)!.body) as JsonObject
    Object.assign(manifest.metadata as JsonObject, { uid: 'u', resourceVersion: '1' })
    const name = String((manifest.metadata as JsonObject).name)
    api.jobs.set(`flows/${name}`, { manifest, course: { states: [{ is: 'running' }] }, looks: 0 })
    stop.abort(reason)
    return 'hang'
  }
  const running = run({ image: 'endless' }, { signal: stop.signal })
  t.equal(await running.catch((error: unknown) => error), reason)
  t.equal(api.jobs.size, 0)
})

t.test('worker stops: the Job goes on, and the next run of the call waits for it', async (t) => {
  const { api, stop, run, ended } = await begun(t)
  const reason = new CallAborted('stopping', 'the worker stops')
  stop.abort(reason)
  t.equal(await ended, reason)
  t.equal(deletes(api).length, 0)
  const [job] = api.jobs.values()
  job!.course = { states: [{ is: 'complete' }], logs: '{"kept": true}\n' }
  t.match(await run({ image: 'endless' }), { adopted: true, data: { kept: true } })
})

t.test('tool closed: the wait ends, the Job goes on', async (t) => {
  const { api, tool, run, ended } = await begun(t)
  await tool.close?.()
  t.match(await ended, { kind: 'cancelled', message: /the worker stops/ })
  t.equal(api.jobs.size, 1)
  t.equal(deletes(api).length, 0)
  t.match(await toolFailure(run({ image: 'quick' })), { kind: 'cancelled' })
})

t.test('lease lost: a Job that nobody else waits for is removed', async (t) => {
  const { api, stop, ended } = await begun(t)
  stop.abort(new CallAborted('lease-lost', 'gone'))
  t.match(await ended, { why: 'lease-lost' })
  t.equal(api.jobs.size, 0)
})

t.test('lease lost: a Job that another run of the call has taken over is left to it', async (t) => {
  const { api, stop, run, ended } = await begun(t)
  const before = one(api).annotations['noetl.io/holder']
  const other = run({ image: 'endless' })
  await until('the other to hold the Job', () => one(api).annotations['noetl.io/holder'] !== before)
  stop.abort(new CallAborted('lease-lost', 'gone'))
  t.match(await ended, { why: 'lease-lost' })
  t.equal(deletes(api).length, 0)
  const [job] = api.jobs.values()
  job!.course = { states: [{ is: 'complete' }], logs: 'done\n' }
  t.match(await other, { status: 'success', adopted: true })
})

t.test('removing: a Job that changes between reading and removing is read again', async (t) => {
  const { api, stop, ended } = await begun(t)
  const [stored] = api.jobs.values()
  const metadata = stored!.manifest.metadata as JsonObject
  api.intercept = ({ method }) => {
    if (method === 'DELETE' && deletes(api).length === 1) metadata.resourceVersion = '7'
    return undefined
  }
  stop.abort(new CallAborted('cancelled', 'enough'))
  await ended
  t.equal(deletes(api).length, 2)
  t.equal(api.jobs.size, 0)
})

t.test('removing: one that ended meanwhile is kept, for its result may be asked for', async (t) => {
  const { api, stop, ended } = await begun(t)
  const [job] = api.jobs.values()
  stop.abort(new CallAborted('cancelled', 'enough'))
  job!.course = { states: [{ is: 'complete' }], logs: '' }
  await ended
  t.equal(api.jobs.size, 1)
})

t.test('removing: an API that is away does not hold the call', async (t) => {
  const { api, stop, ended } = await begun(t)
  const reason = new CallAborted('cancelled', 'enough')
  await api.stop()
  stop.abort(reason)
  t.equal(await ended, reason)
})

t.test('time: a Job that the cluster does not stop at its limit is removed', async (t) => {
  const { api, run } = await setUp(t, { graceMs: 0 })
  const failure = await toolFailure(run({ image: 'endless', timeout: 0.1 }))
  t.match(failure, { kind: 'timeout', message: /took longer than 1 s and was removed/ })
  t.equal(api.jobs.size, 0)
})

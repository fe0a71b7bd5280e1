import { CallAborted, type JsonObject, type ToolCall } from '@noetl/core'
import t, { type Test } from 'tap'
import { type ContainerToolOptions, containerTool } from '../../../plugins/tool-container/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { type KubeApi, kubeApi } from './kube-api.ts'

/** Looks so far apart that only a watch can end a test in time. */
const SELDOM = { pollMs: 3_600_000, maxPollMs: 3_600_000 }
const OFTEN = { pollMs: 5, maxPollMs: 10 }

async function begin(t: Test, options: ContainerToolOptions, more: Partial<ToolCall> = {}) {
  const api = await kubeApi(t)
  api.courses.set('work', { states: [{ is: 'running' }], logs: 'done\n' })
  const tool = containerTool(options)
  t.teardown(() => tool.close?.())
  const run = async () =>
    (await tool.run(
      { image: 'work', auth: 'k8s' },
      toolCall({ stored: { k8s: api.credential }, ...more }),
    )) as JsonObject
  return { api, run }
}

const watched = (api: KubeApi) => until('a watch', () => api.watches.size > 0)
const end = (api: KubeApi, state: 'complete' | 'gone' = 'complete') => {
  for (const job of api.jobs.values()) job.course = { ...job.course, states: [{ is: state }] }
}
const isWatch = ({ query }: { query: URLSearchParams }) => query.get('watch') === 'true'
const watches = (api: KubeApi) => api.requests.filter(isWatch)
const reads = (api: KubeApi) =>
  api.requests.filter(({ method, path }) => method === 'GET' && /\/jobs\/[^/]+$/.test(path))

t.test('watch: a Job that runs is watched from the version that was read, not looked at', async (t) => {
  const { api, run } = await begin(t, SELDOM)
  const running = run()
  await watched(api)
  t.equal(reads(api).length, 0, 'while it runs')
  const [name = ''] = [...api.jobs.keys()]
  t.strictSame(Object.fromEntries(watches(api)[0]!.query), {
    watch: 'true',
    fieldSelector: `metadata.name=${name.split('/')[1]}`,
    resourceVersion: '1',
    allowWatchBookmarks: 'true',
    timeoutSeconds: '300',
  })
  end(api)
  t.match(await running, { status: 'success', logs: 'done\n', finished_at: String })
  t.equal(reads(api).length, 1, 'at its end')
  t.equal(watches(api).length, 1)
  await until('the watch to be closed', () => api.watches.size === 0)
})

t.test('watch: what happened between the reading and the watch is not missed', async (t) => {
  const { api, run } = await begin(t, SELDOM)
  // It ends while the watch is on its way.
  const serve = api.intercept
  api.intercept = (request) => {
    if (isWatch(api.requests.at(-1)!)) end(api)
    return serve(request)
  }
  t.match(await run(), { status: 'success' })
  t.equal(reads(api).length, 1)
})

t.test('watch: a Job that is removed by someone else is told at once', async (t) => {
  const { api, run } = await begin(t, SELDOM)
  const failure = toolFailure(run())
  await watched(api)
  end(api, 'gone')
  t.match(await failure, { kind: 'tool_error', retryable: true, message: /was removed before it had ended/ })
})

t.test('watch: one that is dropped is made anew from the version that is read then', async (t) => {
  const { api, run } = await begin(t, OFTEN)
  const running = run()
  await watched(api)
  for (const job of api.jobs.values()) (job.manifest.metadata as JsonObject).resourceVersion = '40'
  for (const watch of api.watches) watch.destroy()
  await until('another watch', () => watches(api).length > 1)
  t.equal(watches(api)[1]!.query.get('resourceVersion'), '40')
  t.ok(reads(api).length > 0)
  await watched(api)
  for (const watch of api.watches) watch.end()
  await until('a third after one that the cluster closed', () => watches(api).length > 2)
  end(api)
  t.match(await running, { status: 'success', logs: 'done\n' })
})

t.test(
  'watch: a version that the cluster has forgotten, as an event or an answer, is read anew',
  async (t) => {
    for (const how of ['event', 'answer'] as const) {
      const { api, run } = await begin(t, OFTEN)
      let told = 0
      api.intercept = () => {
        if (!isWatch(api.requests.at(-1)!)) return undefined
        told += 1
        api.compacted = how === 'event' && told === 1 ? 5 : 0
        const gone = { status: 410, reason: 'Expired', message: 'too old resource version: 1' }
        return how === 'answer' && told === 1 ? gone : undefined
      }
      const running = run()
      await until('a watch after the one that was refused', () => watches(api).length === 2)
      t.equal(reads(api).length, 1, how)
      await watched(api)
      end(api)
      t.match(await running, { status: 'success' }, how)
    }
  },
)

t.test('watch: a role that may not watch looks at the Job instead, and says so once', async (t) => {
  const warnings: unknown[] = []
  const { log } = toolCall()
  const spy = Object.assign(Object.create(log), {
    warn: (_facts: unknown, text: string) => warnings.push(text),
  }) as typeof log
  const { api, run } = await begin(t, OFTEN, { log: spy })
  api.intercept = () =>
    isWatch(api.requests.at(-1)!)
      ? { status: 403, reason: 'Forbidden', message: 'cannot watch resource "jobs"' }
      : undefined
  const running = run()
  await until('some looks', () => reads(api).length > 3)
  t.equal(watches(api).length, 1)
  end(api)
  t.match(await running, { status: 'success' })
  t.strictSame(warnings, ['a Job cannot be watched: it is looked at instead'])
})

t.test('watch: cancelled while it stands or is being opened, it is closed and the Job removed', async (t) => {
  for (const opened of [true, false]) {
    const stop = new AbortController()
    const { api, run } = await begin(t, SELDOM, { signal: stop.signal })
    api.intercept = () => (!opened && isWatch(api.requests.at(-1)!) ? 'hang' : undefined)
    const ended = run().catch((error: unknown) => error)
    await until(
      'a watch to be asked for',
      () => watches(api).length > 0 && api.watches.size === Number(opened),
    )
    const reason = new CallAborted('cancelled', 'enough')
    stop.abort(reason)
    t.equal(await ended, reason)
    t.equal(api.jobs.size, 0)
    await until('the watch to be closed', () => api.watches.size === 0)
  }
})

import type { JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { type ContainerToolOptions, containerTool } from '../../../plugins/tool-container/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { kubeApi, TOKEN } from './kube-api.ts'

const api = await kubeApi(t)
const FAST = { pollMs: 5, maxPollMs: 10 }
let calls = 0

function open(t: Test, options: ContainerToolOptions = {}) {
  const tool = containerTool({ ...FAST, ...options })
  t.teardown(() => tool.close?.())
  return tool
}
/** A call of its own, of a step called `Load Data`. */
const call = () =>
  toolCall({ stored: { k8s: api.credential }, idempotencyKey: `c-${++calls}`, step: 'Load Data' })
const run = async (t: Test, fields: JsonObject, options: ContainerToolOptions = {}): Promise<JsonObject> =>
  (await open(t, options).run({ auth: 'k8s', ...fields }, call())) as JsonObject
const fail = (t: Test, fields: JsonObject, options: ContainerToolOptions = {}) =>
  toolFailure(run(t, fields, options))
const last = () => [...api.jobs.values()].at(-1)!.manifest
const pod = () => ((last().spec as JsonObject).template as JsonObject).spec as JsonObject
const container = () => (pod().containers as JsonObject[])[0]!

t.test('result: what the Job was, its logs, and its last line as data', async (t) => {
  api.courses.set('good', {
    states: [{ is: 'pending' }, { is: 'running' }, { is: 'complete' }],
    logs: 'loading\n{"rows": 3, "id": 12345678901234567890}\n',
  })
  const result = await run(t, { image: 'good' })
  t.match(result.job, /^noetl-load-data-[0-9a-f]{16}$/)
  t.same(
    { ...result, started_at: typeof result.started_at, finished_at: typeof result.finished_at },
    {
      status: 'success',
      job: result.job,
      namespace: 'flows',
      pod: `${result.job}-x7k2p`,
      exit_code: 0,
      logs: 'loading\n{"rows": 3, "id": 12345678901234567890}\n',
      logs_truncated: false,
      adopted: false,
      started_at: 'string',
      finished_at: 'string',
      data: { rows: 3, id: 12345678901234567890n },
    },
  )
})

t.test('result: no data where the last line is no JSON object, no logs where the pod is gone', async (t) => {
  for (const logs of ['done\n', '[1]\n', '{"broken\n', '{"a": 1}\nbye\n', '']) {
    api.courses.set('plain', { states: [{ is: 'complete' }], logs })
    t.notHas(await run(t, { image: 'plain' }), { data: {} }, JSON.stringify(logs))
  }
  api.courses.set('silent', { states: [{ is: 'complete' }] })
  t.match(await run(t, { image: 'silent' }), { status: 'success', logs: null })
})

t.test('logs: of more than the limit the end is given, and said to be one', async (t) => {
  const lines = Array.from({ length: 5000 }, (_, n) => `line ${n}`)
  api.courses.set('chatty', { states: [{ is: 'complete' }], logs: `${lines.join('\n')}\n{"n": 1}\n` })
  const result = await run(t, { image: 'chatty' }, { maxLogBytes: 2000 })
  t.match(result, { logs_truncated: true, data: { n: 1 } })
  t.equal(String(result.logs).split('\n').length, 101, 'the hundred lines that fit')
  api.courses.set('endless', { states: [{ is: 'complete' }], logs: 'ä'.repeat(5000) })
  t.match(await run(t, { image: 'endless' }, { maxLogBytes: 100 }), {
    logs_truncated: true,
    logs: 'ä'.repeat(50),
  })
})

t.test('Job: small by default, with the limits that end it whatever becomes of the gateway', async (t) => {
  await run(t, { image: 'good' })
  const manifest = last()
  t.match(manifest, {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      namespace: 'flows',
      labels: {
        'app.kubernetes.io/managed-by': 'noetl',
        'noetl.io/kind': 'container',
        'noetl.io/execution': '100',
        'noetl.io/step': 'Load-Data',
      },
      annotations: { 'noetl.io/idempotency-key': `c-${calls}/1`, 'noetl.io/holder': /^[0-9a-f-]{36}$/ },
    },
  })
  const { template, ...spec } = manifest.spec as JsonObject
  t.same(spec, { backoffLimit: 0, ttlSecondsAfterFinished: 3600, activeDeadlineSeconds: 3600 })
  t.same((template as JsonObject).spec, {
    restartPolicy: 'Never',
    containers: [{ name: 'main', image: 'good' }],
  })
})

t.test('Job: every field finds its place, in either spelling', async (t) => {
  const fields = {
    image: 'good',
    command: ['python', '-m', 'load'],
    args: ['--day', 7],
    namespace: 'data',
    resources: { requests: { cpu: '250m' }, limits: { memory: '1Gi' } },
    service_account: 'loader',
    image_pull_policy: 'Always',
    image_pull_secrets: ['registry', { name: 'other' }],
    labels: { team: 'data' },
    node_selector: { disk: 'ssd' },
    backoff_limit: '2',
    ttl_seconds_after_finished: 60,
    timeout: 90.5,
    volumes: [
      { secret: 'keys', mount_path: '/keys', read_only: true },
      { config_map: 'settings', mount_path: '/etc/app.yaml', sub_path: 'app.yaml' },
      { claim: 'scratch', mount_path: '/scratch' },
      { empty_dir: true, mount_path: '/tmp' },
    ],
  }
  await run(t, fields)
  const expected = {
    metadata: { namespace: 'data', labels: { team: 'data', 'noetl.io/kind': 'container' } },
    spec: {
      backoffLimit: 2,
      ttlSecondsAfterFinished: 60,
      activeDeadlineSeconds: 91,
      template: {
        metadata: { labels: { team: 'data' } },
        spec: {
          serviceAccountName: 'loader',
          imagePullSecrets: [{ name: 'registry' }, { name: 'other' }],
          nodeSelector: { disk: 'ssd' },
          volumes: [
            { name: 'volume-0', secret: { secretName: 'keys' } },
            { name: 'volume-1', configMap: { name: 'settings' } },
            { name: 'volume-2', persistentVolumeClaim: { claimName: 'scratch' } },
            { name: 'volume-3', emptyDir: {} },
          ],
          containers: [
            {
              command: ['python', '-m', 'load'],
              args: ['--day', '7'],
              imagePullPolicy: 'Always',
              resources: { requests: { cpu: '250m' }, limits: { memory: '1Gi' } },
              volumeMounts: [
                { name: 'volume-0', mountPath: '/keys', readOnly: true },
                { name: 'volume-1', mountPath: '/etc/app.yaml', subPath: 'app.yaml' },
                { name: 'volume-2', mountPath: '/scratch' },
                { name: 'volume-3', mountPath: '/tmp' },
              ],
            },
          ],
        },
      },
    },
  }
  t.match(last(), expected)
  const camel = Object.entries(fields).map(([name, value]) => [
    name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ])
  await run(t, Object.fromEntries(camel))
  t.match(last(), expected)
  await run(t, { image: 'good', resources: { cpu: 1, memory: '1Gi' }, active_deadline_seconds: '30' })
  t.same(container().resources, {
    requests: { cpu: '1', memory: '1Gi' },
    limits: { cpu: '1', memory: '1Gi' },
  })
  t.match(last(), { spec: { activeDeadlineSeconds: 30 } })
})

t.test('command: a text is one for the shell, in which Kubernetes changes nothing', async (t) => {
  await run(t, { image: 'good', command: 'echo "$HOME" $(date) $$' })
  t.same(container().command, ['sh', '-c', 'echo "$$HOME" $$(date) $$$$'])
  await run(t, { image: 'good', command: ['echo', '$(GREETING)'], args: 'one' })
  t.same(container().command, ['echo', '$(GREETING)'])
  t.same(container().args, ['one'])
})

t.test('env: texts as they are, values of the cluster by name, plain arguments with a prefix', async (t) => {
  await run(t, {
    image: 'good',
    input: { day: 7, on: true, text: 'a $(b)', big: { a: 1 }, 'odd name': 1, none: null },
    env: {
      LIST: [1, 2],
      PRICE: '5$',
      EMPTY: '',
      NONE: null,
      PASSWORD: { secret: 'db', key: 'password' },
      MODE: { config_map: 'app', key: 'mode' },
      RAW: { valueFrom: { secretKeyRef: { name: 'db', key: 'user', optional: true } } },
    },
  })
  t.same(container().env, [
    { name: 'INPUT_day', value: '7' },
    { name: 'INPUT_on', value: 'true' },
    { name: 'INPUT_text', value: 'a $$(b)' },
    { name: 'LIST', value: '[1,2]' },
    { name: 'PRICE', value: '5$$' },
    { name: 'EMPTY', value: '' },
    { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } },
    { name: 'MODE', valueFrom: { configMapKeyRef: { name: 'app', key: 'mode' } } },
    { name: 'RAW', valueFrom: { secretKeyRef: { name: 'db', key: 'user', optional: true } } },
  ])
  await run(t, {
    image: 'good',
    env: [
      { name: 'A', value: '$(B)' },
      { name: 'N', value: null },
    ],
  })
  t.same(container().env, [{ name: 'A', value: '$(B)' }])
})

const REFUSED: [name: string, fields: JsonObject, message: RegExp][] = [
  ['no image', {}, /container tool needs "image"/],
  ['an image with a space', { image: 'a b' }, /needs "image".*holds spaces/],
  ['a namespace with a slash', { image: 'a', namespace: '../kube-system' }, /cannot be a namespace/],
  ['a variable with a space', { image: 'a', env: { 'A B': 1 } }, /"A B" under env/],
  ['env that is a text', { image: 'a', env: 'A=1' }, /"env" must be a mapping; seen: a value of type string/],
  ['labels that are a list', { image: 'a', labels: ['x'] }, /"labels" must be a mapping; seen: a list/],
  ['resources that are a text', { image: 'a', resources: 'large' }, /"resources" must be a mapping/],
  [
    'a limit that is no number',
    { image: 'a', backoffLimit: 'many' },
    /"backoff_limit" must be a number from 0/,
  ],
  ['no time at all', { image: 'a', timeout: 0 }, /"timeout" must be more than 0/],
  ['a volume of nothing', { image: 'a', volumes: [{ mount_path: '/x' }] }, /volumes\[0\] needs "mount_path"/],
  [
    'a folder of the node',
    { image: 'a', volumes: [{ mount_path: '/x', hostPath: { path: '/' } }] },
    /volumes\[0\] needs/,
  ],
  [
    'a nameless pull secret',
    { image: 'a', image_pull_secrets: [{}] },
    /"image_pull_secrets" must be a list of names/,
  ],
  [
    'more than a cluster stores',
    { image: 'a', env: { A: 'x'.repeat(1_000_000) } },
    /more than the 1000000 that a cluster takes/,
  ],
]
for (const [name, fields, message] of REFUSED) {
  t.test(`refused before anything is sent: ${name}`, async (t) => {
    const before = api.requests.length
    t.match(await fail(t, fields), { kind: 'schema', message })
    t.equal(api.requests.length, before)
  })
}

t.test('failure: exit code and last lines in the message, all of it in the result', async (t) => {
  const logs = `${Array.from({ length: 20 }, (_, n) => `line ${n}`).join('\n')}\n`
  api.courses.set('bad', { states: [{ is: 'running' }, { is: 'failed', exitCode: 3 }], logs })
  const failure = await fail(t, { image: 'bad' })
  t.match(failure, { kind: 'tool_error', retryable: false, code: 'EXIT_3' })
  t.match(
    failure.message,
    /^Job flows\/noetl-load-data-\w+ failed with exit code 3\. Its last lines: line 15\n/,
  )
  t.match(failure.message, /line 19$/)
  t.match(failure.result, { status: 'failed', exit_code: 3, logs, namespace: 'flows', pod: /-x7k2p$/ })
})

t.test('failure: out of memory, out of time and no pod are told as such', async (t) => {
  api.courses.set('big', { states: [{ is: 'failed', exitCode: 137, reason: 'OOMKilled' }], logs: '' })
  t.match(await fail(t, { image: 'big' }), {
    kind: 'tool_error',
    code: 'EXIT_137',
    message: /exit code 137 \(OOMKilled\)\. Give it more memory under "resources"\. It logged nothing\./,
  })
  api.courses.set('long', { states: [{ is: 'running' }, { is: 'deadline' }], logs: '' })
  t.match(await fail(t, { image: 'long', timeout: 5 }), {
    kind: 'timeout',
    retryable: true,
    code: 'DeadlineExceeded',
    message: /was stopped after 5 s, its limit/,
    result: { status: 'failed', exit_code: null, pod: null, logs: null },
  })
})

t.test('start: an image that does not come is given up after its time, and the Job removed', async (t) => {
  api.courses.set('missing', {
    states: [{ is: 'waiting', reason: 'ImagePullBackOff', message: 'Back-off pulling image "missing"' }],
  })
  const failure = await fail(t, { image: 'missing' }, { imageSeconds: 0.05 })
  t.match(failure, { kind: 'tool_error', retryable: false, code: 'ImagePullBackOff' })
  t.match(
    failure.message,
    /\(image missing\) did not start for 0.05 s, ImagePullBackOff: Back-off pulling image/,
  )
  t.match(failure.message, /Check the name of the image, and image_pull_secrets/)
  t.notOk([...api.jobs.values()].some(({ manifest }) => JSON.stringify(manifest).includes('"missing"')))
})

t.test('start: the step may set the time, and trouble that passes is none', async (t) => {
  api.courses.set('slow-registry', {
    states: [
      ...Array.from(
        { length: 3 },
        () => ({ is: 'waiting', reason: 'ErrImagePull', message: 'again' }) as const,
      ),
      { is: 'running' },
      { is: 'complete' },
    ],
    logs: '',
  })
  t.match(await run(t, { image: 'slow-registry' }), { status: 'success' })
  api.courses.set('no-registry', { states: [{ is: 'waiting', reason: 'ErrImagePull', message: 'again' }] })
  t.match(await fail(t, { image: 'no-registry', start_timeout: 0 }), { code: 'ErrImagePull' })
})

t.test('start: what no waiting can mend fails at once', async (t) => {
  api.courses.set('Bad//Name', {
    states: [{ is: 'waiting', reason: 'InvalidImageName', message: 'couldn’t parse image name' }],
  })
  t.match(await fail(t, { image: 'Bad//Name' }), {
    code: 'InvalidImageName',
    message: /did not start, InvalidImageName: couldn’t parse/,
  })
})

t.test('start: a Secret that is missing, no node and no pod are named with what to look at', async (t) => {
  const quick = { imageSeconds: 0.03, scheduleSeconds: 0.03 }
  api.courses.set('config', {
    states: [{ is: 'waiting', reason: 'CreateContainerConfigError', message: 'secret "db" not found' }],
  })
  t.match(await fail(t, { image: 'config' }, quick), {
    code: 'CreateContainerConfigError',
    message: /secret "db" not found\. Check the Secrets and ConfigMaps/,
  })
  api.courses.set('huge', {
    states: [{ is: 'unschedulable', message: '0/3 nodes are available: 3 Insufficient cpu.' }],
  })
  t.match(await fail(t, { image: 'huge' }, quick), {
    code: 'Unschedulable',
    retryable: true,
    message: /3 Insufficient cpu\. Check resources/,
  })
  api.courses.set('forbidden', { states: [{ is: 'no-pod' }] })
  t.match(await fail(t, { image: 'forbidden' }, quick), {
    code: 'NoPod',
    message: /no pod was made for it.*kubectl describe job/,
  })
})

t.test('connections: a Job that takes long opens few, watched or looked at', async (t) => {
  for (const watched of [true, false]) {
    const own = await kubeApi(t)
    own.courses.set('long', {
      states: [...Array.from({ length: 30 }, () => ({ is: 'running' }) as const), { is: 'complete' }],
      logs: '',
    })
    if (!watched) {
      own.intercept = () =>
        own.requests.at(-1)!.query.has('watch')
          ? { status: 403, reason: 'Forbidden', message: 'no' }
          : undefined
    }
    const fields = { image: 'long', auth: own.credential.data }
    t.match(await open(t).run(fields, call()), { status: 'success' })
    if (watched) t.ok(own.requests.length < 10, `${own.requests.length} requests`)
    else t.ok(own.requests.length > 30, `${own.requests.length} requests`)
    t.ok(own.sockets() <= 3, `${own.sockets()} connections`)
  }
})

t.test('secrets: no failure shows the token', async (t) => {
  const own = await kubeApi(t)
  own.courses.set('bad', { states: [{ is: 'failed', exitCode: 1 }], logs: 'no\n' })
  const failures = []
  for (const status of [401, 403, 404, 409, 422, 500]) {
    own.intercept = () => ({ status, reason: 'X', message: 'no' })
    failures.push(await toolFailure(open(t).run({ image: 'bad', auth: own.credential.data }, call())))
  }
  own.intercept = () => undefined
  failures.push(await toolFailure(open(t).run({ image: 'bad', auth: own.credential.data }, call())))
  await own.stop()
  failures.push(await toolFailure(open(t).run({ image: 'bad', auth: own.credential.data }, call())))
  for (const failure of failures) {
    t.notMatch(`${JSON.stringify(failure.toCallError())}${failure.stack}${failure.cause}`, new RegExp(TOKEN))
  }
})

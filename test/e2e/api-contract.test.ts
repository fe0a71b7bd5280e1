import t from 'tap'
import { send } from '../support/api.ts'
import { testGateway } from '../support/gateway.ts'
import { credentialOf, testDatabase } from '../support/postgres.ts'

// What clients of all generations ask for: each route once, with the fields that one of them reads.
const gateway = await testGateway(t, { worker: false, env: { NOETL_SQL_API: 'on' } })
const { url: database } = await testDatabase(t, { migrated: false })
const CONTENT = `apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: contract, path: contract/one}
workload: {n: 1}
workflow:
- {step: start, tool: {kind: noop}, set: {ctx.seen: 2}, next: {spec: {mode: exclusive}, arcs: [{step: end}]}}
- {step: end, tool: {kind: noop}}`

interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  path: string
  body?: object
  status?: number
  /** Paths into the answer that must be there; `=` compares. */
  has: string[]
  /** Names under which later calls find parts of the answer. */
  keep?: Record<string, string>
  headers?: Record<string, string>
}

const ENTRY = [
  'catalog_id',
  'path',
  'kind=Playbook',
  'version',
  'content',
  'layout',
  'payload',
  'meta',
  'created_at',
]
const LISTED = [
  ...['execution_id', 'catalog_id', 'path', 'version', 'status', 'start_time', 'started_at', 'end_time'],
  ...['completed_at', 'progress', 'result', 'error', 'parent_execution_id', 'event_count'],
]
const PAGES = ['page', 'page_size', 'total_events', 'total_pages', 'has_next', 'has_prev'].map(
  (name) => `pagination.${name}`,
)
const STATUS = [
  ...['execution_id', 'status=RUNNING', 'current_step', 'completed_steps', 'failed', 'completed'],
  ...[
    'completion_inferred',
    'variables',
    'start_time',
    'end_time',
    'duration_seconds',
    'duration_human',
    'error',
  ],
  ...['total_steps', 'completed_steps', 'running_steps', 'failed_steps'].map((name) => `progress.${name}`),
  'is_cancelled',
]
const COMMAND = ['status=ok', 'event_id', 'execution_id', 'node_id', 'node_name=start', 'action=noop']
const CONTEXT = ['context.tool_config', 'context.args', 'context.render_context', 'meta']
const CREDENTIAL = ['id', 'name=c', 'type', 'meta', 'tags', 'description', 'created_at', 'updated_at']
const VARIABLE = ['value', 'type', 'source_step', 'created_at', 'accessed_at', 'access_count']
const POOL = ['status=ok', 'name=w', 'runtime_id', 'kind=worker_pool', 'runtime=python']
const START = { path: 'contract/one', resource_kind: 'playbook' }
const STARTED = ['execution_id', 'status=started', 'commands_generated']

const calls: Call[] = [
  // Catalog
  {
    ...{ method: 'POST', path: '/api/catalog/register' },
    body: { content: CONTENT, resource_type: 'playbook' },
    has: ['status=success', 'message', 'path=contract/one', 'version', 'catalog_id', 'kind=Playbook'],
    keep: { catalog: 'catalog_id' },
  },
  {
    ...{ method: 'POST', path: '/api/catalog/register' },
    body: { content: Buffer.from(CONTENT).toString('base64') },
    has: ['version=2'],
  },
  { method: 'POST', path: '/api/catalog/register', body: { content: 'a: [' }, status: 400, has: [] },
  { method: 'POST', path: '/api/catalog/register', body: { content: 'workflow: []' }, status: 422, has: [] },
  {
    ...{ method: 'POST', path: '/api/catalog/list' },
    body: { resource_type: 'Playbook', include_archived: true },
    has: ENTRY.map((name) => `entries.0.${name}`),
  },
  {
    method: 'POST',
    path: '/api/catalog/resource',
    body: { path: 'contract/one' },
    has: [...ENTRY, 'version=2'],
  },
  {
    ...{ method: 'POST', path: '/api/catalog/resource' },
    body: { path: 'contract/one', version: 'latest' },
    has: ENTRY,
  },
  { method: 'POST', path: '/api/catalog/resource', body: { catalog_id: '<catalog>' }, has: ['version=1'] },
  { method: 'POST', path: '/api/catalog/resource', body: { path: 'none' }, status: 404, has: [] },
  { method: 'GET', path: '/api/catalog/<catalog>', has: ENTRY },
  { method: 'GET', path: '/api/catalog/contract/one/ui_schema?version=1', has: ['properties.n'] },
  { method: 'POST', path: '/api/catalog/delete', body: { path: 'contract/one', version: 2 }, has: [] },
  { method: 'POST', path: '/api/catalog/restore', body: { path: 'contract/one', version: 2 }, has: [] },
  // Execute
  { method: 'POST', path: '/api/execute', body: START, has: STARTED, keep: { id: 'execution_id' } },
  { method: 'POST', path: '/api/v2/execute', body: START, has: STARTED, keep: { other: 'execution_id' } },
  {
    method: 'POST',
    path: '/api/execute',
    body: { catalog_id: '<catalog>', workload: { n: 2 } },
    has: STARTED,
  },
  { method: 'POST', path: '/api/execute', body: {}, status: 422, has: [] },
  { method: 'POST', path: '/api/execute', body: { path: 'none' }, status: 404, has: [] },
  {
    ...{ method: 'POST', path: '/api/execute/batch', body: { executions: [START, { path: 'none' }] } },
    has: [
      ...[
        'count=2',
        'started=1',
        'duplicates=0',
        'failed=1',
        'results.0.index=0',
        'results.0.status=started',
      ],
      ...[
        'results.0.execution_id',
        'results.0.commands_generated',
        'results.1.status=failed',
        'results.1.error',
      ],
    ],
    keep: { third: 'results.0.execution_id' },
  },
  {
    ...{
      method: 'POST',
      path: '/api/run/playbook',
      body: { path: 'contract/one', args: { n: 3 }, merge: true },
    },
    has: ['execution_id'],
  },
  // Executions
  {
    method: 'GET',
    path: '/api/executions?path=contract/one&status=RUNNING&limit=1',
    has: LISTED.map((f) => `0.${f}`),
  },
  {
    ...{ method: 'GET', path: '/api/executions/<id>?page=1&page_size=10' },
    has: [
      ...LISTED.filter((name) => name !== 'event_count'),
      ...[
        'workload.n=1',
        'duration_seconds',
        'duration_human',
        'events_included',
        'events_endpoint',
        ...PAGES,
      ],
      ...['event_id', 'event_type', 'node_name', 'status', 'created_at', 'result', 'error'].map(
        (f) => `events.1.${f}`,
      ),
    ],
  },
  { method: 'GET', path: '/api/executions/1', status: 404, has: [] },
  { method: 'GET', path: '/api/executions/<id>/events?page_size=1', has: ['events.0.event_id', ...PAGES] },
  { method: 'GET', path: '/api/executions/<id>/status', has: STATUS },
  { method: 'GET', path: '/api/v2/executions/<id>', has: ['execution_id', 'current_step', 'variables'] },
  {
    method: 'GET',
    path: '/api/executions/<id>/cancellation-check',
    has: ['execution_id', 'is_cancelled=false'],
  },
  {
    ...{ method: 'POST', path: '/api/executions/<other>/cancel', body: { reason: 'no', cascade: true } },
    has: ['execution_id', 'status=cancelled', 'cancelled_executions.0', 'message'],
  },
  { method: 'GET', path: '/api/executions/<other>/cancellation-check', has: ['is_cancelled=true'] },
  { method: 'POST', path: '/api/executions/<other>/stop', has: ['status=already_completed'] },
  {
    ...{
      method: 'POST',
      path: '/api/executions/<third>/finalize',
      body: { status: 'FAILED', error: 'given up' },
    },
    has: ['execution_id', 'status=finalized', 'message'],
  },
  {
    ...{ method: 'POST', path: '/api/executions/cleanup', body: { older_than_minutes: 60, dry_run: true } },
    has: ['cancelled_count=0', 'execution_ids', 'message'],
  },
  { method: 'POST', path: '/api/executions/<other>/rerun', has: ['execution_id', 'status=started'] },
  // Commands and events
  {
    ...{ method: 'GET', path: '/api/queue?execution_id=<id>' },
    has: ['items.0.queue_id', 'items.0.execution_id'],
    keep: { command: 'items.0.queue_id' },
  },
  { method: 'GET', path: '/api/queue/size', has: ['count'] },
  { method: 'GET', path: '/api/jobs/queue/size', has: ['count'] },
  { method: 'GET', path: '/api/commands/<command>', has: [...COMMAND, ...CONTEXT] },
  {
    ...{ method: 'POST', path: '/api/commands/<command>/claim', body: { worker_id: 'w' } },
    has: [...COMMAND, ...CONTEXT],
  },
  { method: 'POST', path: '/api/commands/<command>/claim', body: { worker_id: 'w' }, has: COMMAND },
  { method: 'POST', path: '/api/commands/<command>/claim', body: { worker_id: 'v' }, status: 409, has: [] },
  { method: 'POST', path: '/api/commands/1/claim', body: { worker_id: 'w' }, status: 404, has: [] },
  {
    ...{ method: 'POST', path: '/api/events' },
    body: {
      execution_id: '<id>',
      step: 'start',
      name: 'command.started',
      payload: { command_id: '<command>' },
    },
    has: ['status=ok', 'event_id', 'commands_generated=0'],
    keep: { event: 'event_id' },
  },
  {
    ...{ method: 'POST', path: '/api/v2/events' },
    body: {
      ...{ execution_id: '<id>', node_name: 'start', event_type: 'call.done', worker_id: 'w' },
      ...{ context: { command_id: '<command>', response: 7 }, actionable: true, informative: false },
    },
    has: ['status=ok', 'event_id', 'commands_generated=1'],
  },
  {
    ...{ method: 'POST', path: '/api/events/batch', headers: { 'idempotency-key': 'one' } },
    body: { execution_id: '<id>', events: [{ step: 'start', name: 'command.heartbeat', payload: {} }] },
    has: [
      'status',
      'request_id',
      'event_ids.0',
      'commands_generated',
      'duplicate=false',
      'idempotency_key=one',
    ],
    keep: { request: 'request_id' },
  },
  { method: 'GET', path: '/api/events/batch/<request>/status', has: ['request_id', 'status'] },
  {
    method: 'GET',
    path: '/api/event/<event>',
    has: ['event_id', 'execution_id', 'event_type=command.started'],
  },
  { method: 'GET', path: '/api/event/?execution_id=<id>', has: ['events.0.event_id'] },
  // Variables
  {
    method: 'GET',
    path: '/api/vars/<id>',
    has: ['execution_id', 'count=1', ...VARIABLE.map((f) => `variables.seen.${f}`)],
  },
  {
    ...{ method: 'POST', path: '/api/vars/<id>', body: { variables: { a: 1, b: 2 }, source_step: 'x' } },
    has: ['execution_id', 'variables_set=2', 'var_names.0=a'],
  },
  {
    ...{ method: 'POST', path: '/api/vars/<id>' },
    body: { variables: [{ var_name: 'c', var_value: 3, var_type: 'computed' }] },
    has: ['variables_set=1'],
  },
  { method: 'GET', path: '/api/vars/<id>/c', has: [...VARIABLE, 'value=3', 'type=computed'] },
  { method: 'DELETE', path: '/api/vars/<id>/c', has: [] },
  { method: 'GET', path: '/api/vars/<id>/c', status: 404, has: [] },
  // The first queue
  ...['lease', 'reserve'].map(
    (word): Call => ({
      ...{ method: 'POST', path: `/api/queue/${word}`, body: { worker_id: word } },
      has: ['status=ok', 'job.queue_id', 'job.execution_id'],
      keep: { [word]: 'job.queue_id' },
    }),
  ),
  {
    method: 'POST',
    path: '/api/queue/enqueue',
    body: { queue_id: '<lease>' },
    has: ['status=ok', 'queue_id'],
  },
  { method: 'POST', path: '/api/queue/<lease>/heartbeat', body: { worker_id: 'lease' }, has: ['status=ok'] },
  {
    method: 'POST',
    path: '/api/queue/<lease>/complete',
    body: { worker_id: 'lease', result: 1 },
    has: ['status=ok'],
  },
  {
    method: 'POST',
    path: '/api/queue/<lease>/fail',
    body: { worker_id: 'lease', error: 'no' },
    has: ['status=ok'],
  },
  {
    method: 'POST',
    path: '/api/queue/nack',
    body: { queue_id: '<reserve>', worker_id: 'reserve' },
    has: ['status=ok'],
  },
  {
    method: 'POST',
    path: '/api/commands/<reserve>/claim',
    body: { worker_id: 'reserve' },
    has: ['status=ok'],
  },
  {
    method: 'POST',
    path: '/api/queue/ack',
    body: { queue_id: '<reserve>', worker_id: 'reserve' },
    has: ['status=ok'],
  },
  { method: 'POST', path: '/api/queue/reap-expired', has: ['status=ok', 'reclaimed=0'] },
  // Credentials and keychain
  {
    ...{ method: 'POST', path: '/api/credentials' },
    body: { name: 'c', type: 'postgres', data: credentialOf(database), meta: {}, tags: [], description: 'd' },
    has: CREDENTIAL,
  },
  { method: 'GET', path: '/api/credentials?type=postgres&q=c', has: ['items.0.name=c', 'filter'] },
  {
    ...{
      method: 'GET',
      path: '/api/credentials/c?include_data=true&execution_id=<id>&parent_execution_id=1',
    },
    has: [...CREDENTIAL, 'data.db_name'],
  },
  { method: 'GET', path: '/api/credentials/none', status: 404, has: [] },
  { method: 'POST', path: '/api/gcp/token', body: { credential: 'none' }, status: 404, has: [] },
  {
    ...{ method: 'POST', path: '/api/keychain/<catalog>/k?execution_id=<id>' },
    body: {
      token_data: { access_token: 'a' },
      credential_type: 'oauth2',
      cache_type: 'token',
      ttl_seconds: 60,
    },
    has: ['status=success'],
  },
  {
    ...{ method: 'GET', path: '/api/keychain/<catalog>/k?execution_id=<id>&scope_type=local' },
    has: ['status', 'data.access_token=a', 'token_data.access_token=a', 'expires_at', 'is_expired=false'],
  },
  { method: 'GET', path: '/api/keychain/catalog/<catalog>', has: ['entries.0.name=k'] },
  { method: 'DELETE', path: '/api/keychain/<catalog>/k?execution_id=<id>', has: ['status=success'] },
  { method: 'GET', path: '/api/keychain/<catalog>/k?execution_id=<id>', status: 404, has: [] },
  // Workers
  {
    ...{ method: 'POST', path: '/api/worker/pool/register' },
    body: {
      ...{
        name: 'w',
        component_type: 'worker_pool',
        runtime: 'python',
        status: 'ready',
        capacity: 4,
        labels: {},
      },
      ...{
        hostname: 'h',
        pid: 1,
        uri: 'http://h',
        public_key: 'CSDyq4uzZUaQkWHk8e2mkGVRLuDTkOlNXpJsI7T4Th8=',
      },
    },
    has: POOL,
  },
  { method: 'GET', path: '/api/credentials/c/sealed?worker_id=w', has: ['name=c', 'ciphertext'] },
  { method: 'DELETE', path: '/api/credentials/c', has: [] },
  { method: 'POST', path: '/api/worker/pool/heartbeat', body: { name: 'w' }, has: ['status=ok', 'name=w'] },
  { method: 'POST', path: '/api/worker/pool/heartbeat', body: { name: 'x' }, status: 404, has: [] },
  {
    ...{ method: 'GET', path: '/api/worker/pools?runtime=python&status=ready' },
    has: [
      ...['name', 'runtime', 'status', 'capacity', 'labels', 'heartbeat', 'created_at', 'updated_at'].map(
        (name) => `items.0.${name}`,
      ),
      ...['count=1', 'runtime=python', 'status=ready'],
    ],
  },
  { method: 'POST', path: '/api/worker/pool/deregister', body: { name: 'w' }, has: ['status=ok'] },
  { method: 'POST', path: '/api/runtime/register', body: { name: 'r' }, has: ['status=ok', 'runtime_id'] },
  { method: 'DELETE', path: '/api/runtime/deregister', body: { name: 'r' }, has: ['status=ok'] },
  { method: 'POST', path: '/api/broker/register', body: { name: 'b' }, has: ['status=ok', 'runtime_id'] },
  { method: 'POST', path: '/api/broker/heartbeat', body: { name: 'b' }, has: ['status=ok'] },
  { method: 'GET', path: '/api/brokers', has: ['items.0.name=b'] },
  { method: 'DELETE', path: '/api/broker/deregister', body: { name: 'b' }, has: ['status=ok'] },
  { method: 'GET', path: '/api/runtime/shard-info', has: ['shard_index=0', 'shard_count=1'] },
  // Database, results, the rest
  { method: 'POST', path: '/api/db/init', has: ['status=ok'] },
  { method: 'GET', path: '/api/db/validate', has: ['status=ok'] },
  {
    ...{
      method: 'PUT',
      path: '/api/result/<id>',
      body: { name: 'r', data: [1], scope: 'step', source_step: 'start' },
    },
    has: ['ref', 'store', 'scope=step', 'bytes=3', 'sha256', 'expires_at'],
    keep: { ref: 'ref' },
  },
  { method: 'GET', path: '/api/result/resolve?ref=<ref>', has: ['0=1'] },
  { method: 'GET', path: '/api/result/resolve?ref=noetl://execution/1/result/r/1', status: 404, has: [] },
  { method: 'GET', path: '/api/result/<id>/list', has: ['results.0.ref'] },
  { method: 'GET', path: '/health', has: ['status=ok'] },
  { method: 'GET', path: '/api/health', has: ['status=ok'] },
  { method: 'GET', path: '/api/pool/status', has: ['status=ok'] },
  { method: 'GET', path: '/api/status', has: ['status=ok'] },
  { method: 'GET', path: '/api/dashboard/stats', has: ['stats.total_executions'] },
  { method: 'GET', path: '/api/dashboard/widgets', has: ['widgets.0.id'] },
  { method: 'GET', path: '/api/aggregate/loop/results?execution_id=<id>&step_name=start', has: ['results'] },
  {
    ...{
      method: 'POST',
      path: '/api/context/render',
      body: { execution_id: '<id>', template: '{{ ctx.seen + n }}' },
    },
    has: ['rendered=3'],
  },
  { method: 'GET', path: '/api/replay/state?execution_id=<id>', has: ['state'] },
]

const kept = new Map<string, string>()
const filled = (text: string) =>
  text.replace(/<(\w+)>/g, (_all, name: string) => {
    const value = kept.get(name)
    if (value === undefined) throw new Error(`no answer has brought <${name}>`)
    return value
  })
const at = (value: unknown, path: string): unknown =>
  path.split('.').reduce((part, key) => (part as Record<string, unknown> | null | undefined)?.[key], value)

/** Ids that are no text, anywhere in an answer. */
function wrongIds(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, part]: [string, unknown]) => {
    const isId = /(^|_)ids?$/.test(key) && !['worker_id'].includes(key)
    const values = Array.isArray(part) ? part : [part]
    const wrong = isId && values.some((one) => one !== null && typeof one !== 'string')
    return [...(wrong ? [`${path}${key}`] : []), ...wrongIds(part, `${path}${key}.`)]
  })
}

for (const call of calls) {
  const { method, status = 200 } = call
  t.test(`contract: ${method} ${call.path} answers ${status}`, async (t) => {
    const body = call.body === undefined ? undefined : filled(JSON.stringify(call.body))
    const answer = await send<unknown>(gateway.server.url, method, filled(call.path), body, call.headers)
    t.equal(answer.status, status, JSON.stringify(answer.body).slice(0, 500))
    for (const wanted of status === 200 ? call.has : ['error', 'detail', `status=${status}`]) {
      const [path = '', value] = wanted.split('=')
      const seen = at(answer.body, path)
      if (value === undefined) t.not(seen, undefined, path)
      else t.equal(String(seen), value, path)
    }
    t.same(wrongIds(answer.body), [], 'ids are text')
    for (const [name, path] of Object.entries(call.keep ?? {})) kept.set(name, String(at(answer.body, path)))
  })
}

t.test('contract: SQL answers 200 for what the database refuses too', async (t) => {
  const { url } = gateway.server
  await send(url, 'POST', '/api/credentials', { name: 'sql', type: 'postgres', data: credentialOf(database) })
  const run = async (query: string) =>
    (await send(url, 'POST', '/api/postgres/execute', { query, credential: 'sql' })).body
  t.match(await run('SELECT 1 AS one'), { status: 'ok', result: [{ one: 1 }] })
  t.match(await run('SELECT nothing'), { status: 'error', error: /nothing/ })
})

import type { Json, JsonObject } from '@noetl/core'
import { headers, StringCodec } from 'nats'
import t from 'tap'
import { type NatsToolOptions, natsTool } from '../../../plugins/tool-nats/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { natsServer } from './nats-server.ts'

const server = await natsServer(t)
const admin = await server.admin()
const js = admin.jetstream()
const bucket = await js.views.kv('state', { history: 5 })
const stored = { nats: server.credential(), reader: server.credential('reader') }
const shared = natsTool()
t.teardown(() => shared.close?.())

const run = async (fields: JsonObject, tool = shared): Promise<JsonObject> =>
  (await tool.run(
    { auth: 'nats', bucket: 'state', operation: '', ...fields },
    toolCall({ stored }),
  )) as JsonObject
const fail = (fields: JsonObject, tool = shared) => toolFailure(run(fields, tool))
const ownTool = (t: { teardown(fn: () => unknown): void }, options: NatsToolOptions) => {
  const tool = natsTool(options)
  t.teardown(() => tool.close?.())
  return tool
}

const VALUES: [name: string, value: Json, encoding: string][] = [
  ['text', 'grün', 'text'],
  ['empty text', '', 'text'],
  ['text that looks like a number', '5', 'text'],
  ['text that begins like JSON', '[not json', 'text'],
  ['text with a byte order mark', '\ufeffx', 'text'],
  ['a number', 5, 'json'],
  ['a boolean', false, 'json'],
  ['null', null, 'json'],
  ['a list', [1, 'a', null], 'json'],
  ['an object', { a: { b: [1.5] } }, 'json'],
]
for (const [index, [name, value, encoding]] of VALUES.entries()) {
  t.test(`kv: ${name} comes back as it was put`, async (t) => {
    const key = `values.${index}`
    const put = await run({ operation: 'kv_put', key, value })
    t.same(Object.keys(put), ['status', 'bucket', 'key', 'revision'])
    t.match(put, { status: 'success', bucket: 'state', key, revision: Number })
    const got = await run({ operation: 'kv_get', key })
    t.match(got, { status: 'success', bucket: 'state', key, found: true, encoding, revision: put.revision })
    t.same(got.value, value)
    t.ok(Math.abs(Date.parse(String(got.created)) - Date.now()) < 60_000, 'created is a time of now')
  })
}

t.test('kv: text that is JSON comes back as what it holds', async (t) => {
  await run({ operation: 'kv_put', key: 'text', value: '{"a": 12345678901234567890}' })
  t.match(await run({ operation: 'kv_get', key: 'text' }), {
    value: { a: 12345678901234567890n },
    encoding: 'json',
  })
  await run({ operation: 'kv_put', key: 'text', value: 'plain', encoding: 'json' })
  t.equal(new TextDecoder().decode((await bucket.get('text'))?.value), '"plain"')
})

t.test('kv: bytes go in and out as base64, and say so', async (t) => {
  const bytes = Buffer.from([0, 255, 128, 1])
  await run({ operation: 'kv_put', key: 'bytes', value: bytes.toString('base64'), encoding: 'base64' })
  t.same(Buffer.from((await bucket.get('bytes'))?.value ?? []), bytes)
  t.match(await run({ operation: 'kv_get', key: 'bytes' }), { value: 'AP+AAQ==', encoding: 'base64' })
  await bucket.put('bytes', 'a\0b')
  t.match(await run({ operation: 'kv_get', key: 'bytes' }), { value: 'YQBi', encoding: 'base64' })
})

t.test('kv: the value may be called data or payload; the first that is not null counts', async (t) => {
  await run({ operation: 'kv_put', key: 'names', value: null, payload: 'p' })
  t.equal((await run({ operation: 'kv_get', key: 'names' })).value, 'p')
  await run({ operation: 'kv_put', key: 'names', data: 'd' })
  t.equal((await run({ operation: 'kv_get', key: 'names' })).value, 'd')
})

t.test('kv: what other clients put is read, and they read what the tool put', async (t) => {
  const revision = await bucket.put('other', StringCodec().encode('{"by": "cli"}'))
  t.match(await run({ operation: 'kv_get', key: 'other' }), { value: { by: 'cli' }, revision })
  await run({ operation: 'kv_put', key: 'mine', value: { by: 'tool' } })
  t.same((await bucket.get('mine'))?.json(), { by: 'tool' })
})

t.test('kv: a number as key is the text of it', async (t) => {
  await run({ operation: 'kv_put', key: 7, value: 'seven' })
  t.match(await run({ operation: 'kv_get', key: '7' }), { value: 'seven', key: '7' })
})

t.test('kv: a key that was never put, deleted or purged is not found, which is no failure', async (t) => {
  const missing = (key: string) => ({
    status: 'not_found',
    bucket: 'state',
    key,
    found: false,
    value: null,
    encoding: null,
    revision: null,
  })
  t.same(await run({ operation: 'kv_get', key: 'never' }), missing('never'))
  for (const operation of ['kv_delete', 'kv_purge']) {
    await run({ operation: 'kv_put', key: 'gone', value: 'x' })
    const { revision } = await run({ operation: 'kv_put', key: 'gone', value: 'y' })
    const deleted = await run({ operation, key: 'gone' })
    t.same(deleted, { status: 'success', bucket: 'state', key: 'gone', revision: Number(revision) + 1 })
    t.same(await run({ operation: 'kv_get', key: 'gone' }), missing('gone'))
    const history = []
    for await (const entry of await bucket.history({ key: 'gone' })) history.push(entry.operation)
    t.same(history, operation === 'kv_delete' ? ['PUT', 'PUT', 'DEL'] : ['PURGE'], operation)
  }
})

t.test('kv_keys: the keys that have a value, in order, all or by a filter', async (t) => {
  await js.views.kv('list')
  const keys = (more: JsonObject = {}) => run({ bucket: 'list', operation: 'kv_keys', ...more })
  t.same(await keys(), { status: 'success', bucket: 'list', keys: [], count: 0 })
  for (const key of ['b.2', 'a.1', 'b.1', 'c', 'b.1.x']) {
    await run({ bucket: 'list', operation: 'kv_put', key, value: 1 })
  }
  await run({ bucket: 'list', operation: 'kv_delete', key: 'c' })
  t.same(await keys(), { status: 'success', bucket: 'list', keys: ['a.1', 'b.1', 'b.1.x', 'b.2'], count: 4 })
  t.same((await keys({ key: 'b.*' })).keys, ['b.1', 'b.2'])
  t.same((await keys({ key: 'b.>' })).keys, ['b.1', 'b.1.x', 'b.2'])
  t.same((await keys({ key: '' })).count, 4)
  const jsm = await admin.jetstreamManager()
  await until('the readers to be gone', async () => {
    return (await jsm.streams.info('KV_list')).state.consumer_count === 0
  })
})

t.test('kv_keys: more keys than the limit are an error, not a part of them', async (t) => {
  const many = await js.views.kv('many')
  await Promise.all(Array.from({ length: 600 }, (_, index) => many.put(`k.${index}`, '')))
  const all = await run({ bucket: 'many', operation: 'kv_keys' })
  t.equal(all.count, 600)
  const tool = ownTool(t, { maxKeys: 599 })
  t.match(await fail({ bucket: 'many', operation: 'kv_keys' }, tool), {
    kind: 'tool_error',
    message: /"many" has more than 599 keys.*filter in "key".*maxKeys/,
  })
  t.equal((await run({ bucket: 'many', operation: 'kv_keys', key: 'k.7' }, tool)).count, 1)
})

t.test('kv: a bucket that is missing is named with the way to make it, and is not made', async (t) => {
  for (const operation of ['kv_get', 'kv_put', 'kv_delete', 'kv_purge', 'kv_keys']) {
    const failure = await fail({ bucket: 'nowhere', operation, key: 'a', value: 1 })
    t.match(failure, { kind: 'not_found', retryable: false, code: '10059' }, operation)
    t.match(failure.message, /no key-value bucket "nowhere" at 127.0.0.1:\d+.*"nats kv add nowhere"/)
  }
  const names = []
  for await (const name of (await admin.jetstreamManager()).streams.names()) names.push(name)
  t.notOk(names.includes('KV_nowhere'))
})

const REFUSED: [name: string, fields: JsonObject, message: RegExp][] = [
  ['no bucket', { operation: 'kv_get', bucket: null, key: 'a' }, /needs "bucket"/],
  ['a bucket with a dot', { operation: 'kv_get', bucket: 'a.b', key: 'a' }, /"a.b" is no bucket/],
  ['no key', { operation: 'kv_get' }, /kv_get needs "key"/],
  ['a key of all keys', { operation: 'kv_delete', key: '>' }, /">" is no key/],
  ['a key with a wildcard', { operation: 'kv_purge', key: 'a.*' }, /"a.\*" is no key/],
  ['a key with a space', { operation: 'kv_put', key: 'a b', value: 1 }, /"a b" is no key/],
  ['a key with a line break', { operation: 'kv_put', key: 'a\r\nPUB x 1', value: 1 }, /is no key/],
  ['a key that ends in a dot', { operation: 'kv_get', key: 'a.' }, /"a." is no key/],
  ['a key with an empty word', { operation: 'kv_get', key: 'a..b' }, /"a..b" is no key/],
  [
    'a key that is too long',
    { operation: 'kv_get', key: 'x'.repeat(1025) },
    /1025 bytes is longer than 1024/,
  ],
  ['a filter with a wildcard in a word', { operation: 'kv_keys', key: 'a*' }, /"a\*" is no key/],
  ['no value', { operation: 'kv_put', key: 'a' }, /kv_put needs a "value"/],
  [
    'base64 that is none',
    { operation: 'kv_put', key: 'a', value: 'é', encoding: 'base64' },
    /text in base64/,
  ],
  ['an encoding that is none', { operation: 'kv_put', key: 'a', value: 'x', encoding: 'hex' }, /not "hex"/],
  ['an operation that is none', { operation: 'kv_drop', key: 'a' }, /no operation "kv_drop", only kv_get, /],
  ['an operation of the language', { operation: 'constructor', key: 'a' }, /no operation "constructor"/],
]
for (const [name, fields, message] of REFUSED) {
  t.test(`kv: ${name} is refused`, async (t) => {
    t.match(await fail(fields), { kind: 'schema', message })
  })
}

t.test('kv: a value of just what a server takes goes through, one byte more does not', async (t) => {
  const fits = 'x'.repeat(1024 * 1024)
  await run({ operation: 'kv_put', key: 'large', value: fits })
  t.equal((await run({ operation: 'kv_get', key: 'large' })).value, fits)
  t.match(await fail({ operation: 'kv_put', key: 'large', value: `${fits}x` }), {
    kind: 'schema',
    message: /1048577 bytes is over the limit of 1048576.*maxValueBytes/,
  })
  const generous = ownTool(t, { maxValueBytes: 4 * 1024 * 1024 })
  t.match(await fail({ operation: 'kv_put', key: 'large', value: `${fits}x` }, generous), {
    kind: 'schema',
    message: /larger than the server takes/,
  })
  t.equal((await run({ operation: 'kv_get', key: 'large' }, generous)).value, fits, 'the tool works on')
  const strict = ownTool(t, { maxValueBytes: 1000 })
  t.match(await fail({ operation: 'kv_get', key: 'large' }, strict), {
    kind: 'tool_error',
    message: /Key "large" of bucket "state" has 1048576 bytes, over the limit of 1000/,
  })
})

t.test('kv: a value over the limit of the bucket is refused in the words of the server', async (t) => {
  await js.views.kv('small', { maxValueSize: 10 })
  t.match(await fail({ bucket: 'small', operation: 'kv_put', key: 'a', value: 'x'.repeat(11) }), {
    kind: 'schema',
    code: '10054',
    message: /kv_put of bucket "small"/,
  })
})

t.test('kv: a user who may not write is told so, and may read', async (t) => {
  await run({ operation: 'kv_put', key: 'rights', value: 'x' })
  t.match(await run({ operation: 'kv_get', key: 'rights', auth: 'reader' }), { value: 'x' })
  const failure = await fail({ operation: 'kv_put', key: 'rights', value: 'y', auth: 'reader' })
  t.match(failure, { kind: 'auth', retryable: false, message: /kv_put of bucket "state".*not allowed/ })
  t.equal((await run({ operation: 'kv_get', key: 'rights' })).value, 'x')
})

t.test('kv: a header of the client for JSON that is none gives the text', async (t) => {
  const about = headers()
  about.set('Content-Type', 'application/json')
  await js.publish('$KV.state.liar', 'no json', { headers: about })
  t.match(await run({ operation: 'kv_get', key: 'liar' }), { value: 'no json', encoding: 'text' })
})

import type { JsonObject } from '@noetl/core'
import { DiscardPolicy } from 'nats'
import t from 'tap'
import { natsTool } from '../../../plugins/tool-nats/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { natsServer } from './nats-server.ts'

const server = await natsServer(t)
const jsm = await (await server.admin()).jetstreamManager()
await jsm.streams.add({ name: 'ORDERS', subjects: ['orders.>'] })
await jsm.streams.add({ name: 'OTHERS', subjects: ['others.>'] })
const stored = { nats: server.credential() }
const tool = natsTool()
t.teardown(() => tool.close?.())

const run = async (fields: JsonObject, idempotencyKey = 'key-1'): Promise<JsonObject> =>
  (await tool.run(
    { auth: 'nats', operation: '', ...fields },
    toolCall({ stored, idempotencyKey }),
  )) as JsonObject
const fail = (fields: JsonObject) => toolFailure(run(fields))
const publish = (fields: JsonObject, key?: string) => run({ operation: 'js_publish', ...fields }, key)
const get = (fields: JsonObject) => run({ operation: 'js_get_msg', stream: 'ORDERS', ...fields })

t.test('js_publish: a message with headers is kept, and js_get_msg gives it back', async (t) => {
  const sent = await publish(
    {
      subject: 'orders.new',
      payload: { id: 7 },
      headers: { 'X-Source': 'test', 'X-List': ['a', 1], 'X-Null': null },
    },
    'a',
  )
  t.same(sent, { status: 'success', stream: 'ORDERS', subject: 'orders.new', seq: 1, duplicate: false })
  const got = await get({ seq: 1 })
  t.match(got, {
    status: 'success',
    stream: 'ORDERS',
    found: true,
    subject: 'orders.new',
    seq: 1,
    value: { id: 7 },
    encoding: 'json',
  })
  t.same(got.headers, {
    'X-Source': 'test',
    'X-List': 'a, 1',
    'Content-Type': 'application/json',
    'Nats-Msg-Id': 'a',
  })
  t.ok(Math.abs(Date.parse(String(got.time)) - Date.now()) < 60_000, 'time is one of now')
})

t.test('js_publish: a repeat of the same call is kept once, another call is not the same', async (t) => {
  const first = await publish({ subject: 'orders.once', data: 'x' }, 'call-1')
  const repeat = await publish({ subject: 'orders.once', data: 'x' }, 'call-1')
  t.match(repeat, { seq: first.seq, duplicate: true })
  t.match(await publish({ subject: 'orders.once', data: 'x' }, 'call-2'), { duplicate: false })
  const { state } = await jsm.streams.info('ORDERS', { subjects_filter: 'orders.once' })
  t.equal(state.subjects?.['orders.once'], 2)
})

t.test('js_publish: an id that the playbook gives wins over the key of the call', async (t) => {
  const fields = { subject: 'orders.own', value: 'x', headers: { 'nats-msg-id': 'own' } }
  t.match(await publish(fields, 'call-3'), { duplicate: false })
  t.match(await publish(fields, 'call-4'), { duplicate: true })
})

t.test('js_get_msg: by number, given as text too, or the last of a subject', async (t) => {
  await publish({ subject: 'orders.last', value: 'first' }, 'l1')
  const { seq } = await publish({ subject: 'orders.last', value: 'second' }, 'l2')
  t.match(await get({ subject: 'orders.last' }), { value: 'second', seq })
  t.match(await get({ seq: String(Number(seq) - 1) }), { value: 'first' })
})

t.test('js_get_msg: a message that is not there is not found, which is no failure', async (t) => {
  const nothing = { status: 'not_found', stream: 'ORDERS', found: false, value: null, encoding: null }
  t.same(await get({ seq: 999 }), { ...nothing, subject: null, seq: 999 })
  t.same(await get({ subject: 'orders.never' }), { ...nothing, subject: 'orders.never', seq: null })
})

t.test('js_stream_info: counts, subjects and the configuration', async (t) => {
  await run({ operation: 'js_publish', subject: 'others.a', value: 'x' }, 'i1')
  const info = await run({ operation: 'js_stream_info', stream: 'OTHERS' })
  t.match(info, {
    status: 'success',
    stream: 'OTHERS',
    subjects: ['others.>'],
    messages: 1,
    first_seq: 1,
    last_seq: 1,
    consumer_count: 0,
    config: { name: 'OTHERS', retention: 'limits' },
  })
  t.same(JSON.parse(JSON.stringify(info)), info, 'it is plain JSON')
})

t.test('streams: one that is missing, or a subject that none keeps, is named with the way out', async (t) => {
  for (const operation of ['js_get_msg', 'js_stream_info']) {
    t.match(await fail({ operation, stream: 'NOWHERE', seq: 1 }), {
      kind: 'not_found',
      message: /no stream "NOWHERE" at 127.0.0.1:\d+.*"nats stream add NOWHERE"/,
    })
  }
  t.match(await fail({ operation: 'js_publish', subject: 'nobody.hears', value: 1 }), {
    kind: 'not_found',
    retryable: false,
    message: /No stream at 127.0.0.1:\d+ keeps messages of subject "nobody.hears"/,
  })
  t.match(await fail({ operation: 'js_publish', subject: 'orders.x', stream: 'OTHERS', value: 1 }), {
    kind: 'client_error',
    code: '10060',
  })
})

t.test('js_publish: a stream that is full is a failure of kind storage_quota', async (t) => {
  await jsm.streams.add({ name: 'FULL', subjects: ['full'], max_msgs: 1, discard: DiscardPolicy.New })
  await publish({ subject: 'full', value: 1 }, 'f1')
  const failure = await toolFailure(publish({ subject: 'full', value: 2 }, 'f2'))
  t.match(failure, { kind: 'storage_quota', retryable: false, message: /maximum messages exceeded/ })
})

const REFUSED: [name: string, fields: JsonObject, message: RegExp][] = [
  ['no subject', { operation: 'js_publish', value: 1 }, /js_publish needs "subject"/],
  ['a wildcard in a subject', { operation: 'js_publish', subject: 'orders.*', value: 1 }, /is no subject/],
  [
    'a line break in a subject',
    { operation: 'js_publish', subject: 'a\r\nPUB b 0', value: 1 },
    /is no subject/,
  ],
  ['no value', { operation: 'js_publish', subject: 'orders.x' }, /js_publish needs a "value"/],
  [
    'a header with a colon',
    { operation: 'js_publish', subject: 'orders.x', value: 1, headers: { 'a:b': 'c' } },
    /name of a header/,
  ],
  [
    'a header with a line break',
    { operation: 'js_publish', subject: 'orders.x', value: 1, headers: { a: 'b\r\nc' } },
    /value of header a holds a line break/,
  ],
  [
    'too many headers',
    {
      operation: 'js_publish',
      subject: 'orders.x',
      value: 1,
      headers: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`h${n}`, 'v'])),
    },
    /up to 100 headers, not 101/,
  ],
  ['a stream with a dot', { operation: 'js_stream_info', stream: 'a.b' }, /"a.b" is no stream/],
  ['neither number nor subject', { operation: 'js_get_msg', stream: 'ORDERS' }, /needs "seq", or "subject"/],
  [
    'a number beyond numbers',
    { operation: 'js_get_msg', stream: 'ORDERS', seq: '99999999999999999999' },
    /"seq" is larger/,
  ],
]
for (const [name, fields, message] of REFUSED) {
  t.test(`streams: ${name} is refused`, async (t) => {
    t.match(await fail(fields), { kind: 'schema', message })
  })
}

t.test('streams: a server without JetStream is told as such', async (t) => {
  const plain = await natsServer(t, { jetstream: false })
  const auth = { ...plain.credential().data }
  for (const fields of [
    { operation: 'js_publish', subject: 'orders.x', value: 1 },
    { operation: 'kv_put', bucket: 'b', key: 'a', value: 1 },
    { operation: 'object_list', bucket: 'b' },
    { operation: 'js_stream_info', stream: 'S' },
  ]) {
    t.match(await fail({ ...fields, auth }), {
      kind: 'server_error',
      message: /JetStream does not answer at 127.0.0.1:\d+.*-js/,
    })
  }
})

import { randomBytes } from 'node:crypto'
import type { JsonObject } from '@noetl/core'
import { headers, type ObjectStore } from 'nats'
import t from 'tap'
import { type NatsToolOptions, natsTool } from '../../../plugins/tool-nats/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { natsServer } from './nats-server.ts'

const server = await natsServer(t)
const admin = await server.admin()
const js = admin.jetstream()
const jsm = await admin.jetstreamManager()
const files = await js.views.os('files')
const stored = { nats: server.credential() }
const shared = natsTool()
t.teardown(() => shared.close?.())

const run = async (fields: JsonObject, tool = shared): Promise<JsonObject> =>
  (await tool.run(
    { auth: 'nats', bucket: 'files', operation: '', ...fields },
    toolCall({ stored }),
  )) as JsonObject
const fail = (fields: JsonObject, tool = shared) => toolFailure(run(fields, tool))
const ownTool = (t: { teardown(fn: () => unknown): void }, options: NatsToolOptions) => {
  const tool = natsTool(options)
  t.teardown(() => tool.close?.())
  return tool
}
const messages = async (bucket: string) => (await jsm.streams.info(`OBJ_${bucket}`)).state.messages

t.test('objects: JSON, text and nothing come back as they were put', async (t) => {
  for (const value of [{ a: [1] }, 'plain', 7, '']) {
    const put = await run({ operation: 'object_put', key: 'x/y z.json', value })
    t.match(put, { status: 'success', bucket: 'files', key: 'x/y z.json', revision: Number, size: Number })
    t.match(put.digest, /^SHA-256=[\w-]{43}=$/)
    const got = await run({ operation: 'object_get', key: 'x/y z.json' })
    t.match(got, { status: 'success', found: true, revision: put.revision, digest: put.digest })
    t.same(got.value, value)
  }
})

t.test('objects: bytes of many chunks go in and out, and the official client agrees', async (t) => {
  const bytes = randomBytes(3 * 1024 * 1024 + 17)
  const put = await run({
    operation: 'object_put',
    key: 'big',
    value: bytes.toString('base64'),
    encoding: 'base64',
  })
  t.match(put, { size: bytes.length, chunks: 25 })
  t.ok(bytes.equals(Buffer.from((await files.getBlob('big')) ?? [])), 'the official client reads them')
  t.match(await files.info('big'), { size: bytes.length, chunks: 25, digest: String(put.digest) })
  const got = await run({ operation: 'object_get', key: 'big' })
  t.equal(got.encoding, 'base64')
  t.ok(bytes.equals(Buffer.from(String(got.value), 'base64')), 'the tool reads them')
})

t.test('objects: what the official client put is read', async (t) => {
  const bytes = randomBytes(300_000)
  await files.putBlob({ name: 'theirs' }, bytes)
  const got = await run({ operation: 'object_get', key: 'theirs' })
  t.ok(bytes.equals(Buffer.from(String(got.value), 'base64')))
  await files.putBlob({ name: 'theirs', description: 'a note' }, new TextEncoder().encode('{"n": 1}'))
  t.match(await run({ operation: 'object_get', key: 'theirs' }), { value: { n: 1 }, encoding: 'json' })
  t.match(await run({ operation: 'object_info', key: 'theirs' }), {
    status: 'success',
    found: true,
    size: 8,
    chunks: 1,
    description: 'a note',
    link: false,
  })
})

t.test('objects: putting anew and deleting leave no chunks behind', async (t) => {
  await js.views.os('tidy')
  const put = (size: number) =>
    run({ bucket: 'tidy', operation: 'object_put', key: 'a', value: 'x'.repeat(size) })
  await put(300_000)
  t.equal(await messages('tidy'), 4)
  await put(10)
  t.equal(await messages('tidy'), 2)
  t.match(await run({ bucket: 'tidy', operation: 'object_delete', key: 'a' }), {
    status: 'success',
    found: true,
    revision: Number,
  })
  t.equal(await messages('tidy'), 1)
  const again = await run({ bucket: 'tidy', operation: 'object_delete', key: 'a' })
  t.match(again, { status: 'not_found', found: false, key: 'a' })
  t.equal(await (await js.views.os('tidy')).getBlob('a'), null, 'the official client finds none either')
})

t.test('object_list: objects that are there, in order, and no more than the limit', async (t) => {
  const list = () => run({ bucket: 'listed', operation: 'object_list' })
  await js.views.os('listed')
  t.same(await list(), { status: 'success', bucket: 'listed', objects: [], count: 0 })
  for (const key of ['b', 'a', 'c']) await run({ bucket: 'listed', operation: 'object_put', key, value: key })
  await run({ bucket: 'listed', operation: 'object_delete', key: 'c' })
  const { objects, count } = await list()
  t.equal(count, 2)
  t.match(objects, [
    { key: 'a', size: 1, chunks: 1 },
    { key: 'b', size: 1, chunks: 1 },
  ])
  t.match(await fail({ bucket: 'listed', operation: 'object_list' }, ownTool(t, { maxKeys: 1 })), {
    kind: 'tool_error',
    message: /"listed" has more than 1 objects/,
  })
})

t.test('objects: one that is not there is not found, which is no failure', async (t) => {
  const where = { status: 'not_found', bucket: 'files', key: 'never', found: false, revision: null }
  t.same(await run({ operation: 'object_get', key: 'never' }), { ...where, value: null, encoding: null })
  t.same(await run({ operation: 'object_info', key: 'never' }), where)
})

t.test('objects: a store that is missing is named with the way to make it, and is not made', async (t) => {
  for (const operation of ['object_get', 'object_put', 'object_delete', 'object_list', 'object_info']) {
    const failure = await fail({ bucket: 'nowhere', operation, key: 'a', value: 1 })
    t.match(failure, { kind: 'not_found', retryable: false }, operation)
    t.match(failure.message, /no object store "nowhere" at 127.0.0.1:\d+.*"nats object add nowhere"/)
  }
  await t.rejects(jsm.streams.info('OBJ_nowhere'))
})

t.test('objects: the limit of bytes holds for both directions', async (t) => {
  await run({ operation: 'object_put', key: 'limit', value: 'x'.repeat(101) })
  const strict = ownTool(t, { maxObjectBytes: 100 })
  t.match(await fail({ operation: 'object_put', key: 'limit', value: 'x'.repeat(101) }, strict), {
    kind: 'schema',
    message: /101 bytes is over the limit of 100.*maxObjectBytes/,
  })
  t.match(await fail({ operation: 'object_get', key: 'limit' }, strict), {
    kind: 'tool_error',
    message: /"limit" of bucket "files" has 101 bytes, over the limit of 100: raise maxObjectBytes/,
  })
})

/** Writes a description, as a client that makes mistakes might. */
async function describe(store: ObjectStore, name: string, change: (meta: JsonObject) => object | string) {
  const subject = `$O.files.M.${Buffer.from(name).toString('base64').replaceAll('+', '-').replaceAll('/', '_')}`
  await store.putBlob({ name }, new TextEncoder().encode('hello'))
  const { data } = await jsm.streams.getMessage('OBJ_files', { last_by_subj: subject })
  const changed = change(JSON.parse(new TextDecoder().decode(data)) as JsonObject)
  const about = headers()
  about.set('Nats-Rollup', 'sub')
  await js.publish(subject, typeof changed === 'string' ? changed : JSON.stringify(changed), {
    headers: about,
  })
}

t.test('objects: bytes that are not those of the digest are refused', async (t) => {
  await describe(files, 'damaged', (meta) => ({ ...meta, digest: `SHA-256=${'A'.repeat(43)}=` }))
  const damaged = { kind: 'tool_error', retryable: true, message: /"damaged".*not what its digest says/ }
  t.match(await fail({ operation: 'object_get', key: 'damaged' }), damaged)
  await describe(files, 'damaged', (meta) => ({ ...meta, size: 4 }))
  t.match(await fail({ operation: 'object_get', key: 'damaged' }), damaged, 'more bytes than described')
  await describe(files, 'damaged', (meta) => ({ ...meta, size: 6 }))
  t.match(await fail({ operation: 'object_get', key: 'damaged' }), damaged, 'fewer bytes than described')
})

t.test('objects: a description that is none, and a link, are told as such', async (t) => {
  await describe(files, 'odd', () => 'no json')
  t.match(await fail({ operation: 'object_get', key: 'odd' }), { kind: 'parse' })
  await files.delete('odd').catch(() => undefined)
  const target = await files.putBlob({ name: 'target' }, new TextEncoder().encode('x'))
  await files.link('pointer', target)
  t.match(await fail({ operation: 'object_get', key: 'pointer' }), {
    kind: 'client_error',
    message: /"pointer" of bucket "files" is a link/,
  })
  t.match(await run({ operation: 'object_info', key: 'pointer' }), { link: true })
})

t.test('object_put: one that is stopped on its way leaves the old object and no chunks', async (t) => {
  await js.views.os('stopped')
  await run({ bucket: 'stopped', operation: 'object_put', key: 'a', value: 'old' })
  const stop = new AbortController()
  const reason = new Error('enough')
  const sub = admin.subscribe('$O.stopped.C.>', { callback: () => stop.abort(reason) })
  await admin.flush()
  const fields = { auth: 'nats', bucket: 'stopped', operation: 'object_put', key: 'a' }
  const running = shared.run(
    { ...fields, value: 'x'.repeat(20 * 1024 * 1024) },
    toolCall({ stored, signal: stop.signal }),
  )
  t.equal(await running.catch((error: unknown) => error), reason)
  sub.unsubscribe()
  await until('the chunks to be gone', async () => (await messages('stopped')) === 2)
  t.match(await run({ bucket: 'stopped', operation: 'object_get', key: 'a' }), { value: 'old' })
})

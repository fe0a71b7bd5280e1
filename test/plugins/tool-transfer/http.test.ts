import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { CallAborted, type Json, type JsonObject } from '@noetl/core'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { TransferInput } from '../../../plugins/tool-transfer/input.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { json, type Received, webServer } from '../tool-http/web-server.ts'
import { hides, openDatabase } from './support.ts'

const { client, data, url: databaseUrl, rows, open, noneLeft } = await openDatabase(t)
const run = open(t)

const fields = (source: JsonObject, table: string, more: JsonObject = {}): TransferInput => ({
  source: { type: 'http', ...source },
  target: { type: 'postgres', table, ...more },
})

/** A server that answers every request with this. */
const answering = (t: Test, value: unknown) => webServer(t, (_received, response) => json(response, value))

t.test('http: a list of objects goes into a table, mapped or by its names', async (t) => {
  await client.query('CREATE TABLE users (id integer, name text, city text)')
  const server = await answering(t, [
    { id: 1, name: 'Ann', address: { city: 'Oslo' }, more: true },
    { id: 2.0, name: 'Bob', address: {} },
  ])
  const mapping = { id: 'id', name: 'name', city: 'address.city' }
  const { elapsed, ...result } = await run({
    ...fields({ url: `${server.url}/users?key=s3cret` }, 'users'),
    mapping,
  })
  t.type(elapsed, 'number')
  t.same(result, {
    status: 'success',
    rows_transferred: 2,
    columns: ['id', 'name', 'city'],
    batches: 1,
    source: { type: 'http', url: `GET ${server.url}/users` },
    target: { type: 'postgres', table: 'users', mode: 'append' },
  })
  t.same(await rows('SELECT * FROM users ORDER BY id'), [
    { id: 1, name: 'Ann', city: 'Oslo' },
    { id: 2, name: 'Bob', city: null },
  ])
})

t.test('http: values of JSON fit the columns they go into', async (t) => {
  await client.query(`CREATE TABLE fit (i integer, whole integer, big bigint, long bigint, n numeric, f float8, t text,
    doc jsonb, list int[], texts text[], docs jsonb[], grid int[][], raw bytea, hex bytea, at timestamptz, day date,
    yes boolean, told text, nothing text, empty text, words jsonb, number text)`)
  const text = `[{"i": 3, "whole": 3.0, "big": 1e15, "long": 9007199254740993, "n": 0.1, "f": -1.5e300,
    "t": "tab\\tline\\r\\nback\\\\slash \\"q\\" \\\\N \\\\. é\\ud83d\\ude00", "doc": {"a": [1, null, {"b": "x\\ny"}]},
    "list": [1, null, 3], "texts": ["a,b", "c\\"d\\\\e", null, "NULL", "", "{}"], "docs": [{"k": "v\\\\"}, [1], "s", null],
    "grid": [[1, 2], [3, 4]], "raw": "3q2+7w==", "hex": "\\\\xdeadbeef", "at": "2026-01-02T03:04:05.5+02:00", "day": "2026-01-02",
    "yes": true, "told": {"x": 1}, "nothing": null, "empty": "", "words": "plain \\"text\\"", "number": 7}]`
  const server = await webServer(t, (_received, response) => response.end(text))
  await run(fields({ url: server.url }, 'fit'))
  t.same(
    await rows(`SELECT i, whole, big::text, long::text, n::text, f, t, doc, list, texts, to_json(docs) AS docs, grid,
      encode(raw, 'hex') AS raw, encode(hex, 'hex') AS hex, at = '2026-01-02 01:04:05.5Z' AS at, day::text, yes, told,
      nothing, empty, words, number FROM fit`),
    [
      {
        i: 3,
        whole: 3,
        big: '1000000000000000',
        long: '9007199254740993',
        n: '0.1',
        f: -1.5e300,
        t: 'tab\tline\r\nback\\slash "q" \\N \\. é\u{1f600}',
        doc: { a: [1, null, { b: 'x\ny' }] },
        list: [1, null, 3],
        texts: ['a,b', 'c"d\\e', null, 'NULL', '', '{}'],
        docs: [{ k: 'v\\' }, [1], 's', null],
        grid: [
          [1, 2],
          [3, 4],
        ],
        raw: 'deadbeef',
        hex: 'deadbeef',
        at: true,
        day: '2026-01-02',
        yes: true,
        told: '{"x":1}',
        nothing: null,
        empty: '',
        words: 'plain "text"',
        number: '7',
      },
    ],
  )
})

const misfits: [value: Json, kind: string, message: RegExp][] = [
  ['a\0b', 'schema', /row 2, column t: .*U\+0000/],
  ['\ud800', 'schema', /row 2, column t: .*surrogate/],
]
for (const [value, kind, message] of misfits) {
  t.test(`http: a text that Postgres cannot store is refused: ${message.source}`, async (t) => {
    await client.query('CREATE TABLE IF NOT EXISTS refusing (t text)')
    const server = await answering(t, [{ t: 'fine' }, { t: value }])
    t.match(await toolFailure(run(fields({ url: server.url }, 'refusing'))), { kind, message })
    t.same(await rows('SELECT * FROM refusing'), [])
  })
}

t.test('http: numbers, bytes and lists that do not fit their column fail with row and column', async (t) => {
  await client.query('CREATE TABLE strict_one (i integer, b bytea, l int[])')
  for (const [row, expected] of [
    [{ i: 3.5 }, { code: '22P02', message: /row 2, column i: invalid input syntax for type integer: "3.5"/ }],
    [{ i: 3e9 }, { code: '22003', message: /row 2, column i: .*out of range/ }],
    [{ b: 'not base64!' }, { kind: 'schema', message: /row 2, column b: .*base64/ }],
    [{ l: ['x'] }, { code: '22P02', message: /row 2, column l/ }],
  ] as const) {
    const server = await answering(t, [{ i: 1, b: null, l: null }, row])
    t.match(await toolFailure(run(fields({ url: server.url }, 'strict_one'))), {
      kind: 'schema',
      ...expected,
    })
  }
  t.same(await rows('SELECT * FROM strict_one'), [])
})

t.test('http: the list is the answer, its data, or where data_path says', async (t) => {
  await client.query('CREATE TABLE listed (id int)')
  const wrapped = { meta: { 'a.b': [{ id: 4 }] }, data: [{ id: 2 }], pages: [{ rows: [{ id: 3 }] }], n: 1 }
  const server = await webServer(t, ({ path }, response) =>
    json(response, path === '/list' ? [{ id: 1 }] : wrapped),
  )
  const from = (path: string, more: JsonObject = {}) =>
    run(fields({ url: server.url + path, ...more }, 'listed'))
  await from('/list')
  await from('/list', { data_path: '$' })
  await from('/x')
  await from('/x', { data_path: 'pages.0.rows' })
  await from('/x', { data_path: '$.data' })
  t.same(await rows('SELECT array_agg(id ORDER BY id) AS ids FROM listed'), [{ ids: [1, 1, 2, 2, 3] }])
  t.match(await toolFailure(from('/x', { data_path: 'meta.none' })), {
    kind: 'schema',
    message: /"meta.none".* seen: nothing/,
  })
  t.match(await toolFailure(from('/x', { data_path: 'n' })), { message: /seen: a value of type number/ })
  const single = await answering(t, { id: 1, name: 'x' })
  t.match(await toolFailure(run(fields({ url: single.url }, 'listed'))), {
    kind: 'schema',
    message: /"source.data_path".* Its fields are: id, name/,
  })
  const numbers = await answering(t, [{ id: 1 }, 7])
  t.match(await toolFailure(run(fields({ url: numbers.url }, 'listed'))), { message: /row 2 is a number/ })
})

t.test('http: lines of JSON are read one by one, by content type or by format', async (t) => {
  await client.query('CREATE TABLE lined (id int, name text)')
  const server = await webServer(t, ({ path }, response) => {
    if (path === '/typed') response.setHeader('content-type', 'application/x-ndjson; charset=utf-8')
    const text = '{"id": 1, "name": "é"}\r\n\n{"id": 2, "name": null}'
    const at = Buffer.from(text).indexOf(0xa9)
    // Cut in the middle of a character.
    response.write(Buffer.from(text).subarray(0, at))
    setImmediate(() => response.end(Buffer.from(text).subarray(at)))
  })
  await run(fields({ url: `${server.url}/typed` }, 'lined'))
  await run(fields({ url: `${server.url}/plain`, format: 'ndjson' }, 'lined'))
  t.same(await rows('SELECT * FROM lined ORDER BY id'), [
    { id: 1, name: 'é' },
    { id: 1, name: 'é' },
    { id: 2, name: null },
    { id: 2, name: null },
  ])
  t.match(await toolFailure(run(fields({ url: `${server.url}/plain` }, 'lined'))), {
    kind: 'parse',
    message: /"source.format: ndjson"/,
  })
})

t.test(
  'http: without a mapping the fields are those of the first batch, and a new one later is refused',
  async (t) => {
    await client.query('CREATE TABLE first_batch (a int, b int, c int DEFAULT 9)')
    const list: JsonObject[] = [{ a: 1 }, { b: 2 }, { a: 3, c: 4 }]
    const server = await answering(t, list)
    t.match(await toolFailure(run({ ...fields({ url: server.url }, 'first_batch'), batch_size: 2 })), {
      kind: 'schema',
      message: /Row 3 has a field "c".*"mapping"/,
    })
    await run({ ...fields({ url: server.url }, 'first_batch'), batch_size: '3' })
    t.same(await rows('SELECT * FROM first_batch'), [
      { a: 1, b: null, c: null },
      { a: null, b: 2, c: null },
      { a: 3, b: null, c: 4 },
    ])
  },
)

t.test('http: nothing is a success too', async (t) => {
  await client.query('CREATE TABLE emptied (id int); INSERT INTO emptied VALUES (1)')
  const server = await answering(t, { data: [] })
  t.match(await run(fields({ url: server.url }, 'emptied')), { rows_transferred: 0, columns: [], batches: 0 })
  t.same(await rows('SELECT * FROM emptied'), [{ id: 1 }])
  t.match(await run(fields({ url: server.url }, 'emptied', { mode: 'replace' })), { rows_transferred: 0 })
  t.same(await rows('SELECT * FROM emptied'), [])
  t.match(await run(fields({ url: server.url }, 'emptied', { mode: 'upsert', key: 'id' })), {
    rows_transferred: 0,
  })
  t.match(await toolFailure(run(fields({ url: server.url }, 'not_yet', { create: true }))), {
    kind: 'schema',
    message: /no row came/,
  })
})

t.test('http: a table is created after the values of the first batch', async (t) => {
  const server = await answering(t, [
    { id: 1, share: 1, name: 'a', ok: true, doc: [1], mixed: 1, none: null },
    { id: 2, share: 0.5, name: 'b', ok: null, doc: { a: 1 }, mixed: 'x', none: null },
  ])
  await run(fields({ url: server.url }, 'born', { create: true }))
  t.same(
    await rows(`SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) AS made
      FROM pg_attribute WHERE attrelid = 'born'::regclass AND attnum > 0`),
    [{ made: 'id bigint, share double precision, name text, ok boolean, doc jsonb, mixed text, none text' }],
  )
})

t.test('http: the request is as the fields say', async (t) => {
  await client.query('CREATE TABLE asked (id int)')
  const server = await webServer(t, (received, response) =>
    json(response, received.method === 'POST' ? [{ id: 1 }] : []),
  )
  const stored = {
    '': { type: 'postgres', data },
    api: { type: 'bearer', data: { token: 't0ken' } },
    key: { type: 'api_key', data: { value: 'k3y' } },
    user: { type: 'basic', data: { username: 'ann', password: 'pw' } },
  }
  const ask = (source: JsonObject) => run(fields(source, 'asked'), toolCall({ stored }))
  await ask({
    url: `${server.url}/q?a=1`,
    method: 'post',
    params: { b: 'x y', none: null, list: [1, 2] },
    headers: { 'X-One': 1, 'X-None': null },
    json: { want: ['all'] },
    auth: 'api',
  })
  const [{ method, search, body, headers }] = server.received as [Received]
  t.same(
    { method, search, body },
    { method: 'POST', search: '?a=1&b=x+y&list=1&list=2', body: '{"want":["all"]}' },
  )
  t.match(headers, { 'x-one': '1', authorization: 'Bearer t0ken', 'content-type': 'application/json' })
  t.notOk('x-none' in headers)
  await ask({ endpoint: server.url.replace('//', '//ann:p%77@'), headers: { accept: 'text/x' } })
  await ask({ url: server.url, credential: 'user' })
  await ask({ url: server.url, auth: { credential: 'key', header: 'X-Key' } })
  const [, inUrl, basic, key] = server.received
  t.equal(inUrl?.headers.authorization, basic?.headers.authorization)
  t.equal(inUrl?.headers.accept, 'text/x')
  t.equal(key?.headers['x-key'], 'k3y')
  t.match(await toolFailure(ask({ url: server.url, auth: '', headers: { 'X-A': 'a\nb' } })), {
    kind: 'schema',
    message: /"X-A"/,
  })
  t.match(await toolFailure(ask({ url: server.url, auth: { type: 'postgres' } })), { kind: 'auth' })
  t.match(await toolFailure(ask({ url: 'ftp://user:pw@x/y?z=pw' })), {
    kind: 'schema',
    message: /seen: "ftp:\/\/x\/y"/,
  })
  t.match(await toolFailure(ask({ url: server.url, params: [1] })), { kind: 'schema', message: /a mapping/ })
  t.match(await toolFailure(ask({ url: server.url, format: 'csv' })), {
    kind: 'schema',
    message: /json or ndjson/,
  })
})

t.test(
  'http: redirects are followed, packed answers unpacked, and another server is told nothing',
  async (t) => {
    await client.query('CREATE TABLE redirected (id int)')
    const other = await webServer(t, (_received, response) => {
      response.setHeader('content-encoding', 'gzip')
      response.end(gzipSync('[{"id": 1}]'))
    })
    const server = await webServer(t, ({ path }, response) =>
      response.writeHead(302, { location: path === '/round' ? '/round' : `${other.url}/rows` }).end(),
    )
    const source = { auth: { type: 'api_key', header: 'X-Key', value: 'k3y' }, method: 'POST', json: {} }
    await run(fields({ url: server.url, ...source }, 'redirected'))
    t.equal(server.received[0]?.headers['x-key'], 'k3y')
    t.match(other.received[0], { method: 'GET', body: '' })
    t.notOk(JSON.stringify(other.received[0]?.headers).includes('k3y'))
    t.match(await toolFailure(run(fields({ url: `${server.url}/round` }, 'redirected'))), {
      kind: 'client_error',
      message: /more than 10 times/,
    })
  },
)

t.test('http: failures have their kinds and show neither query nor secrets', async (t) => {
  await client.query('CREATE TABLE failing (id int)')
  const server = await webServer(t, ({ path }, response) => {
    if (path === '/cut') {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      response.write('{"id": 1}\n', () => response.destroy())
    } else if (path === '/broken') response.end('[{"id": "s3cret"')
    else if (path === '/line') response.end('{"id": 1}\n{"id": s3cret}\n')
    else if (path === '/latin') response.end(Buffer.from([0x5b, 0x22, 0xe4, 0x22, 0x5d]))
    else response.writeHead(Number(path.slice(1)), { 'retry-after': '7' }).end('s3cret')
  })
  const cases: [string, JsonObject][] = [
    ['/401', { kind: 'auth', status: 401 }],
    ['/404', { kind: 'not_found', facets: { http: { status: 404 } } }],
    ['/418', { kind: 'client_error' }],
    ['/429', { kind: 'rate_limit', retryAfterSeconds: 7 }],
    ['/503', { kind: 'server_error', retryable: true }],
    ['/cut', { kind: 'connection', retryable: true }],
    ['/broken', { kind: 'parse' }],
    ['/latin', { kind: 'parse' }],
  ]
  for (const [path, expected] of cases) {
    const error = await toolFailure(run(fields({ url: `${server.url}${path}?sig=s3cret` }, 'failing')))
    t.match(error, expected, path)
    t.match(error.message, `GET ${server.url}${path}`)
    hides(t, error, 's3cret')
  }
  const line = await toolFailure(run(fields({ url: `${server.url}/line`, format: 'ndjson' }, 'failing')))
  t.match(line, { kind: 'parse', message: /line 2/ })
  hides(t, line, 's3cret')
  t.same(await rows('SELECT * FROM failing'), [])
  const closed = await webServer(t)
  const refused = fields({ url: closed.url.replace(/\d+$/, '1') }, 'failing')
  t.match(await toolFailure(run(refused)), { kind: 'connection', code: 'ECONNREFUSED' })
})

t.test('http: an answer or a line beyond its limit is refused', async (t) => {
  await client.query('CREATE TABLE limited (t text)')
  const server = await webServer(t, ({ path }, response) => {
    const line = JSON.stringify({ t: 'x'.repeat(path === '/wide' ? 3000 : 600) })
    response.end(
      path === '/json' ? `[${line},${line},${line},${line}]` : `${line}\n${line}\n${line}\n${line}`,
    )
  })
  const small = open(t, { maxResponseBytes: 2000, maxLineBytes: 2000 })
  t.match(await toolFailure(small(fields({ url: `${server.url}/json` }, 'limited'))), {
    kind: 'schema',
    message: /more than 2000 bytes.*NDJSON/,
  })
  t.match(await toolFailure(small(fields({ url: `${server.url}/wide`, format: 'ndjson' }, 'limited'))), {
    kind: 'schema',
    message: /a line of the answer has more than 2000 bytes/,
  })
  t.match(await small(fields({ url: `${server.url}/lines`, format: 'ndjson' }, 'limited')), {
    rows_transferred: 4,
  })
})

/** Sends `count` lines as fast as they are taken; tells how many are sent and whether it is held up. */
async function lineServer(t: Test, count: number, line: (n: number) => string) {
  const state = { sent: 0, held: false }
  const server = createServer((_request, response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    const send = () => {
      state.held = false
      while (state.sent < count) {
        state.sent += 1
        if (!response.write(`${line(state.sent)}\n`)) {
          state.held = true
          response.once('drain', send)
          return
        }
      }
      response.end()
    }
    send()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state }
}

t.test(
  '200,000 rows over http: the server is held up while the target cannot take them, and all arrive',
  async (t) => {
    await client.query('CREATE TABLE flood (id int PRIMARY KEY, name text)')
    const name = 'x'.repeat(500)
    const server = await lineServer(t, 200_000, (n) => `{"id": ${n}, "name": "${name}"}`)
    const other = new pg.Client(databaseUrl)
    await other.connect()
    t.teardown(() => other.end())
    await other.query('BEGIN; LOCK TABLE flood IN ACCESS EXCLUSIVE MODE')
    const running = run({ ...fields({ url: server.url }, 'flood'), batch_size: 1000 })
    await until(
      'the target to wait',
      async () =>
        (
          await rows(
            `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY %flood%'`,
          )
        ).length === 1,
    )
    let seen = { sent: -1, times: 0 }
    await until('the server to be held up', () => {
      const { sent, held } = server.state
      seen = held && sent === seen.sent ? { sent, times: seen.times + 1 } : { sent, times: 0 }
      return seen.times === 20
    })
    // What is under way fills the buffers of the sockets, some megabytes of the hundred.
    t.ok(seen.sent < 60_000, `${seen.sent} of 200000 rows were sent while none could be written`)
    await other.query('COMMIT')
    t.match(await running, { rows_transferred: 200_000, batches: 200 })
    t.same(
      await rows(
        'SELECT count(*)::int AS n, min(id) AS low, max(id) AS high, sum(length(name))::int AS x FROM flood',
      ),
      [{ n: 200_000, low: 1, high: 200_000, x: 100_000_000 }],
    )
  },
)

t.test('http: a row in the middle that does not fit leaves the target as it was', async (t) => {
  await client.query('CREATE TABLE untouched (id int PRIMARY KEY); INSERT INTO untouched VALUES (-1)')
  for (const mode of ['append', 'replace', 'upsert']) {
    const server = await lineServer(t, 20_000, (n) => `{"id": ${n === 15_000 ? '"x"' : n}}`)
    const error = await toolFailure(run(fields({ url: server.url }, 'untouched', { mode, key: 'id' })))
    t.match(error, { kind: 'schema', code: '22P02', message: /^target: row 15000, column id: / })
    t.same(await rows('SELECT * FROM untouched'), [{ id: -1 }])
  }
  await noneLeft()
})

t.test('http: upsert twice is as once', async (t) => {
  await client.query('CREATE TABLE merged (id int PRIMARY KEY, name text)')
  const server = await answering(t, [
    { id: 1, name: 'a' },
    { id: 2, name: 'b' },
    { id: 1, name: 'last' },
  ])
  for (const _ of [1, 2]) await run(fields({ url: server.url }, 'merged', { mode: 'upsert', key: 'id' }))
  t.same(await rows('SELECT * FROM merged ORDER BY id'), [
    { id: 1, name: 'last' },
    { id: 2, name: 'b' },
  ])
})

t.test(
  'http: a server that says nothing is given up in time, and at once when the call is stopped',
  async (t) => {
    await client.query('CREATE TABLE unheard (id int)')
    const server = await webServer(t, ({ path }, response) => {
      if (path === '/begun')
        response.writeHead(200, { 'content-type': 'application/x-ndjson' }).write('{"id": 1}\n')
    })
    for (const path of ['/', '/begun']) {
      t.match(await toolFailure(run({ ...fields({ url: server.url + path }, 'unheard'), timeout: 0.2 })), {
        kind: 'timeout',
        retryable: true,
      })
      const controller = new AbortController()
      const before = server.received.length
      const running = run(fields({ url: server.url + path }, 'unheard'), { signal: controller.signal })
      const ended = running.catch((error: unknown) => error)
      await until('the request to arrive', () => server.received.length > before)
      const reason = new CallAborted('cancelled', 'enough')
      controller.abort(reason)
      t.equal(await ended, reason)
    }
    t.same(await rows('SELECT * FROM unheard'), [])
    await noneLeft()
  },
)

import { execFileSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { CallAborted, type JsonObject, loadScript, Script, type ToolCall } from '@noetl/core'
import { Ajv } from 'ajv'
import t, { type Test } from 'tap'
import { gcsRequest, s3Request } from '../../../core/tools/script-buckets.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'
import { bucketServer } from './bucket-server.ts'

const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
const stored: Record<string, { type: string; data: JsonObject }> = {
  token: { type: 'bearer', data: { token: 't0ken' } },
  user: { type: 'basic', data: { username: 'ann', password: 'pässword' } },
  key: { type: 'api_key', data: { header: 'X-Key', value: 'k3y' } },
  bucket: { type: 's3', data: { access_key_id: 'AKID', secret_access_key: SECRET, region: 'eu-west-1' } },
  passing: {
    type: 's3',
    data: { access_key_id: 'TEMP', secret_access_key: 'temps3cret', session_token: 'tok/en==' },
  },
  hmac: { type: 'gcs_hmac', data: { key_id: 'GOOG', secret: 'h1dden' } },
  google: { type: 'gcs', data: { access_token: 'ya29.s3cret' } },
  db: { type: 'postgres', data: { db_host: 'x', db_password: 'dbpass' } },
}
const load = (script: Script, call: Partial<ToolCall> = {}) =>
  loadScript(script, toolCall({ stored, ...call }))
const fail = (script: Script, call: Partial<ToolCall> = {}) => toolFailure(load(script, call))

async function web(t: Test, answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

t.test('script: inline code is given as it is, and needs to be there', async (t) => {
  t.equal(await load({ source: { type: 'inline', code: 'a\n' } }), 'a\n')
  t.equal(await load({ source: { code: 'b' } }), 'b')
  t.match(await fail({ source: { type: 'inline' } }), { kind: 'schema', message: /"source.code"/ })
})

t.test('script: a file is read by path, from the working directory, and by URL', async (t) => {
  const folder = await testFolder(t, 'script')
  const path = join(folder, 'a b.py')
  await writeFile(path, '\ufeffresult = "{{ é }}"')
  const text = 'result = "{{ é }}"'
  t.equal(await load({ uri: path, source: { type: 'file' } }), text)
  t.equal(await load({ uri: relative(process.cwd(), path) }), text)
  t.equal(await load({ uri: pathToFileURL(path).href, source: null }), text)
})

t.test('script: what is no readable text file is told with its reason', async (t) => {
  const folder = await testFolder(t, 'script')
  await mkdir(join(folder, 'sub'))
  await writeFile(join(folder, 'binary'), Buffer.from([0xff, 0xfe, 0x00]))
  await writeFile(join(folder, 'big'), Buffer.alloc(8 * 1024 * 1024 + 1, 'a'))
  execFileSync('mkfifo', [join(folder, 'pipe')])
  t.match(await fail({ uri: join(folder, 'no') }), { kind: 'not_found', message: /ENOENT/ })
  t.match(await fail({ uri: join(folder, 'binary', 'x') }), { kind: 'not_found', message: /ENOTDIR/ })
  t.match(await fail({ uri: join(folder, 'sub') }), { kind: 'schema', message: /no file/ })
  t.match(await fail({ uri: join(folder, 'pipe') }), { kind: 'schema', message: /no file/ })
  t.match(await fail({ uri: join(folder, 'binary') }), { kind: 'schema', message: /UTF-8/ })
  t.match(await fail({ uri: join(folder, 'big') }), { kind: 'schema', message: /more than 8388608 bytes/ })
  t.match(await fail({ uri: 'file://host/x' }), { kind: 'schema', message: /file URL/ })
  t.match(await fail({ uri: 'a\0b' }), { kind: 'schema', message: /U\+0000/ })
  t.match(await fail({ source: { type: 'file' } }), { kind: 'schema', message: /"uri"/ })
  t.match(await fail({ uri: 'x', source: { type: 'ftp' } }), { kind: 'schema', message: /"ftp"/ })
})

t.test('script: one of http comes by its URL, or by a link from the endpoint', async (t) => {
  const server = await web(t, (request, response) => response.end(`at ${request.method} ${request.url}`))
  t.equal(await load({ uri: `${server.url}/a.py?x=1` }), 'at GET /a.py?x=1')
  t.equal(
    await load({ uri: 'b.py', source: { type: 'http', endpoint: `${server.url}/s/` } }),
    'at GET /s/b.py',
  )
  t.equal(await load({ source: { endpoint: `${server.url}/c.py`, method: 'post' } }), 'at POST /c.py')
  t.match(await fail({ uri: 'b.py', source: { type: 'http' } }), {
    kind: 'schema',
    message: /http or https URL/,
  })
  t.match(await fail({ uri: server.url, source: { method: 'DELETE' } }), {
    kind: 'schema',
    message: /GET or POST/,
  })
})

t.test('script: http says who is asking, in each of the ways', async (t) => {
  const server = await web(t, (request, response) =>
    response.end(`${request.headers.authorization} ${request.headers['x-key']} ${request.headers['x-one']}`),
  )
  const uri = `${server.url}/a`
  const basic = `Basic ${Buffer.from('ann:pässword').toString('base64')}`
  t.equal(
    await load({ uri, source: { auth: 'token', headers: { 'X-One': 1, 'X-No': null } } }),
    'Bearer t0ken undefined 1',
  )
  t.equal(await load({ uri, source: { auth: 'user' } }), `${basic} undefined undefined`)
  t.equal(await load({ uri, source: { auth: { credential: 'key' } } }), 'undefined k3y undefined')
  t.equal(
    await load({ uri, source: { auth: { type: 'bearer', token: 'own' } } }),
    'Bearer own undefined undefined',
  )
  t.equal(await load({ uri: uri.replace('//', '//ann:p%C3%A4ssword@') }), `${basic} undefined undefined`)
  t.equal(await load({ uri, source: { auth: '' } }), 'undefined undefined undefined')
  t.match(await fail({ uri, source: { auth: 'absent' } }), { kind: 'auth' })
  t.match(await fail({ uri, source: { auth: 'db' } }), {
    kind: 'auth',
    message: /"postgres", not one of bearer/,
  })
  t.match(await fail({ uri, source: { headers: { 'X-A': 'a\nb' } } }), { kind: 'schema', message: /"X-A"/ })
  t.match(await fail({ uri, source: { headers: { 'Transfer-Encoding': 'x' } } }), { kind: 'schema' })
})

t.test('script: a redirect is followed, and another server learns nothing of the caller', async (t) => {
  const other = await web(t, (request, response) => response.end(JSON.stringify(request.headers)))
  const first = await web(t, (request, response) => {
    const to = request.url === '/away' ? `${other.url}/x` : request.url === '/round' ? '/round' : '/here'
    if (request.url === '/here') response.end(`${request.headers['x-key']}`)
    else response.writeHead(302, { location: to }).end()
  })
  const source = { auth: 'key', headers: { authorization: 'mine', cookie: 'c', 'x-mine': 'm' } }
  t.equal(await load({ uri: `${first.url}/near`, source }), 'k3y')
  const seen = JSON.parse(await load({ uri: `${first.url}/away`, source }))
  t.same(Object.keys(seen).sort(), ['accept', 'accept-encoding', 'connection', 'host'])
  t.match(await fail({ uri: `${first.url}/round`, source }), {
    kind: 'client_error',
    message: /more than 5 times/,
  })
})

t.test('script: a packed answer is unpacked, and its size counts unpacked', async (t) => {
  const server = await web(t, (request, response) => {
    const big = Buffer.alloc(9 * 1024 * 1024, 'a')
    if (request.url === '/plain' || request.url === '/fault') {
      response.writeHead(request.url === '/plain' ? 200 : 500).end(big)
      return
    }
    const text = request.url === '/big' ? big : Buffer.from('result = 1')
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text))
  })
  t.equal(await load({ uri: `${server.url}/a` }), 'result = 1')
  for (const path of ['/big', '/plain'])
    t.match(await fail({ uri: server.url + path }), { kind: 'schema', message: /more than 8388608 bytes/ })
  t.match(await fail({ uri: `${server.url}/fault` }), { kind: 'server_error', status: 500 })
})

t.test('script: failures of http have their kinds and show neither query nor secrets', async (t) => {
  const server = await web(t, (request, response) => {
    response.writeHead(Number(request.url?.slice(1, 4))).end('t0ken and s3cret')
  })
  const kinds = {
    401: 'auth',
    403: 'auth',
    404: 'not_found',
    418: 'client_error',
    429: 'rate_limit',
    503: 'server_error',
  }
  for (const [status, kind] of Object.entries(kinds)) {
    const error = await fail({ uri: `${server.url}/${status}?sig=s3cret`, source: { auth: 'token' } })
    t.match(error, { kind, status: Number(status) })
    t.notMatch(error.message, /t0ken|s3cret/)
  }
  const closed = await web(t, (request) => request.socket.destroy())
  const error = await fail({ uri: `${closed.url}/x?sig=s3cret`, source: { auth: 'token' } })
  t.match(error, { kind: 'connection', retryable: true })
  t.notMatch(error.message, /t0ken|s3cret/)
})

t.test(
  'script: one that does not come is given up in time, and at once when the call is stopped',
  async (t) => {
    const server = await web(t, () => {})
    t.match(await fail({ uri: server.url, source: { timeout: 0.05 } }), {
      kind: 'timeout',
      retryable: true,
      message: /within 0.05 s/,
    })
    for (const why of ['cancelled', 'deadline'] as const) {
      const controller = new AbortController()
      const before = server.requests.length
      const loading = load({ uri: server.url }, { signal: controller.signal }).catch(
        (error: unknown) => error,
      )
      await until('the request to arrive', () => server.requests.length > before)
      const reason = new CallAborted(why, 'enough')
      controller.abort(reason)
      const ended = await loading
      if (why === 'cancelled') t.equal(ended, reason)
      else t.match(ended, { kind: 'timeout', cause: reason })
    }
    const reason = new CallAborted('stopping', 'stop')
    const early = load({ source: { code: 'a' } }, { signal: AbortSignal.abort(reason) })
    t.equal(await early.catch((error: unknown) => error), reason)
  },
)

t.test('script: one of s3 is asked for with a signature that the server can compute too', async (t) => {
  const server = await bucketServer(t, {
    keys: { AKID: SECRET, TEMP: 'temps3cret' },
    tokens: { TEMP: 'tok/en==' },
    region: 'eu-west-1',
    objects: { '/scripts/a%20b/%C3%A9%2B%2A%3F%23.py': 'result = 1', '/scripts/a//b.py': 'result = 2' },
  })
  const endpoint = server.url
  t.equal(
    await load({ uri: 's3://scripts/a b/é+*?#.py', source: { auth: 'bucket', endpoint } }),
    'result = 1',
  )
  t.equal(
    await load({ uri: 's3://scripts/a//b.py', source: { type: 's3', auth: 'bucket', endpoint } }),
    'result = 2',
  )
  const passing = { auth: 'passing', region: 'eu-west-1', endpoint: `${endpoint}/` }
  t.equal(await load({ uri: 's3://scripts/a//b.py', source: passing }), 'result = 2')
  t.match(await fail({ uri: 's3://scripts/no.py', source: { auth: 'bucket', endpoint } }), {
    kind: 'not_found',
    message: /404 Not Found \(NoSuchKey\)/,
  })
  const wrong = { type: 's3', access_key_id: 'AKID', secret_access_key: 'wr0ng', region: 'eu-west-1' }
  const refused = await fail({ uri: 's3://scripts/a//b.py', source: { auth: wrong, endpoint } })
  t.match(refused, { kind: 'auth', status: 403, message: /\(SignatureDoesNotMatch\)/ })
  t.notMatch(refused.message, /wr0ng/)
  t.match(
    await fail({ uri: 's3://scripts/a//b.py', source: { auth: 'bucket', endpoint, region: 'us-east-1' } }),
    {
      message: /\(AuthorizationHeaderMalformed\)/,
    },
  )
  t.match(await fail({ uri: 's3://scripts/a//b.py', source: { endpoint } }), { kind: 'auth' })
  t.equal(server.requests.at(-1)?.headers.authorization, undefined, 'without a credential it is not signed')
})

t.test('script: a signed request is not sent on to another place', async (t) => {
  const server = await web(t, (_request, response) =>
    response.writeHead(301, { location: '/elsewhere', 'x-amz-bucket-region': 'eu-north-1' }).end(),
  )
  t.match(await fail({ uri: 's3://scripts/a', source: { auth: 'bucket', endpoint: server.url } }), {
    kind: 'client_error',
    message: /301 Moved Permanently\. The bucket's region is eu-north-1\./,
  })
  t.equal(server.requests.length, 1)
})

t.test('script: of gcs by its JSON API with a token, or by the S3 form with an HMAC key', async (t) => {
  const api = await web(t, (request, response) => {
    if (request.headers.authorization !== 'Bearer ya29.s3cret') response.writeHead(401).end()
    else response.end(request.url)
  })
  t.equal(
    await load({
      uri: 'gs://my_bucket/dir/a b.py',
      source: { type: 'gcs', auth: 'google', endpoint: api.url },
    }),
    '/storage/v1/b/my_bucket/o/dir%2Fa%20b.py?alt=media',
  )
  t.match(await fail({ uri: 'gs://b/a', source: { endpoint: api.url } }), { kind: 'auth', status: 401 })
  t.match(await fail({ uri: 'gs://b/a', source: { auth: 'db', endpoint: api.url } }), {
    kind: 'auth',
    message: /"token" in credential db/,
  })
  const form = await bucketServer(t, {
    keys: { GOOG: 'h1dden' },
    region: 'auto',
    objects: { '/b/dir/a.py': 'result = 3' },
  })
  t.equal(await load({ uri: 'gs://b/dir/a.py', source: { auth: 'hmac', endpoint: form.url } }), 'result = 3')
})

t.test('script: buckets have their usual addresses', async (t) => {
  const at = { auth: null, now: new Date() }
  t.equal(s3Request('s3://b/k.py', at).url.href, 'https://b.s3.us-east-1.amazonaws.com/k.py')
  t.equal(
    s3Request('s3://b.c/k/ü.py', { ...at, region: 'eu-west-1' }).url.href,
    'https://s3.eu-west-1.amazonaws.com/b.c/k/%C3%BC.py',
  )
  t.equal(
    s3Request('s3://b/k', { ...at, endpoint: 'minio:9000/base/' }).url.href,
    'https://minio:9000/base/b/k',
  )
  t.equal(gcsRequest('gs://b/k', at).url.href, 'https://storage.googleapis.com/storage/v1/b/b/o/k?alt=media')
})

t.test('script: a uri, region or key that cannot be right is refused before anything is sent', async (t) => {
  const wrong: [Script, RegExp][] = [
    [{ uri: 's3://bucket' }, /s3:\/\/<bucket>\/<name>/],
    [{ uri: 's3://evil.com:80@x/k' }, /s3:\/\/<bucket>/],
    [{ uri: 'gs://b/a/../c' }, /"\.\."/],
    [{ uri: 'https://x/y', source: { type: 'gcs' } }, /gs:\/\/<bucket>/],
    [{ uri: 's3://b/k', source: { region: 'evil.com/' } }, /region/],
    [{ uri: 's3://b/k', source: { endpoint: '::' } }, /endpoint/],
    [{ uri: 's3://b/k', source: { auth: 'token' } }, /"bearer", not s3/],
    [{ uri: 's3://b/k', source: { auth: { type: 's3', access_key_id: 'a' } } }, /"secret_access_key"/],
  ]
  for (const [script, message] of wrong) t.match(await fail(script), { message }, JSON.stringify(script))
})

t.test('script: its schema takes what DSL scripts have, nulls included, and no other types', async (t) => {
  const fits = new Ajv().compile(Script)
  const good: unknown[] = [
    { uri: 'gs://b/o', source: { type: 'gcs', auth: 'google', region: null } },
    { uri: null, source: { type: 'inline', code: 'x' } },
    { source: { type: 'http', endpoint: 'https://x', method: 'GET', headers: { a: 1 }, timeout: '5' } },
    {},
  ]
  for (const script of good) t.ok(fits(script), JSON.stringify(script))
  for (const script of ['text', { uri: 7 }, { source: 'inline' }, { source: { timeout: -1 } }])
    t.notOk(fits(script), JSON.stringify(script))
})

import { ToolError } from '@noetl/core'
import t from 'tap'
import { buildRequest } from '../../../plugins/tool-http/request.ts'

const build = (fields: Parameters<typeof buildRequest>[0], auth: Record<string, string> = {}) => {
  const { url, method, headers, body } = buildRequest(fields, { auth, idempotencyKey: 'k' })
  return { url: url.href, method, body, header: (name: string) => headers.get(name)?.value }
}
const url = 'http://example.test/a'

t.test(
  'params: null is dropped, empty text is sent, booleans and numbers are plain, lists repeat',
  async (t) => {
    const params = { none: null, cursor: '', yes: true, no: false, n: 1.5, list: ['a', null, 2], o: { k: 1 } }
    t.equal(
      build({ url, params }).url,
      `${url}?cursor=&yes=true&no=false&n=1.5&list=a&list=2&o=%7B%22k%22%3A1%7D`,
    )
  },
)

t.test('params: the query of the URL is kept', async (t) => {
  t.equal(build({ url: `${url}?x=1`, params: { y: 'ä b' } }).url, `${url}?x=1&y=%C3%A4+b`)
})

t.test('method: the default is GET without a body, whatever input holds', async (t) => {
  const made = build({ url, input: { a: 1 } })
  t.equal(made.method, 'GET')
  t.equal(made.body, null)
  t.equal(made.header('content-type'), undefined)
  t.equal(build({ url, method: 'POST', input: { a: 1 } }).body, null)
})

t.test('body: the first of json, body, payload and data that is not null', async (t) => {
  t.equal(build({ url, method: 'post', json: { a: 1 }, body: 'x' }).body, '{"a":1}')
  t.equal(build({ url, json: null, body: 'x', payload: 'y' }).body, 'x')
  t.equal(build({ url, payload: [1, 2], data: 'y' }).body, '[1,2]')
  t.equal(build({ url, data: 0 }).body, '0')
  t.equal(build({ url, data: false }).body, 'false')
})

t.test('body: objects are JSON, text is sent as it is', async (t) => {
  t.equal(build({ url, body: { a: null } }).header('content-type'), 'application/json')
  t.equal(build({ url, body: 'plain' }).header('content-type'), 'text/plain; charset=utf-8')
  t.equal(build({ url, body: '{"a":1}' }).header('content-type'), 'application/json')
  t.equal(
    build({ url, body: 'x', headers: { 'content-type': 'text/csv' } }).header('content-type'),
    'text/csv',
  )
})

t.test('json: text that is JSON is not encoded again, other text is', async (t) => {
  t.equal(build({ url, json: '{"a": 1}' }).body, '{"a": 1}')
  t.equal(build({ url, json: 'hello' }).body, '"hello"')
})

t.test('form: fields are encoded, and so is an object under the content type of forms', async (t) => {
  const made = build({ url, method: 'POST', form: { a: 'x y', b: null, c: ['1', '2'] } })
  t.equal(made.body, 'a=x+y&c=1&c=2')
  t.equal(made.header('content-type'), 'application/x-www-form-urlencoded')
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' }
  t.equal(build({ url, data: { a: 1 }, headers }).body, 'a=1')
})

t.test('headers: null is left out, other values become text, an unresolved token stays', async (t) => {
  const made = build({ url, headers: { A: null, B: 7, C: true, D: '', Authorization: 'Bearer ' } })
  t.equal(made.header('a'), undefined)
  t.equal(made.header('b'), '7')
  t.equal(made.header('c'), 'true')
  t.equal(made.header('d'), '')
  t.equal(made.header('authorization'), 'Bearer ')
})

t.test('headers: auth wins over a header of the same name in another spelling', async (t) => {
  const made = build({ url, headers: { AUTHORIZATION: 'Bearer ' } }, { authorization: 'Bearer x' })
  t.equal(made.header('authorization'), 'Bearer x')
})

t.test(
  'idempotency key: sent with methods that change something, unless the playbook gives one',
  async (t) => {
    for (const method of ['POST', 'PUT', 'PATCH', 'delete']) {
      t.equal(build({ url, method }).header('idempotency-key'), 'k', method)
    }
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      t.equal(build({ url, method }).header('idempotency-key'), undefined, method)
    }
    t.equal(
      build({ url, method: 'POST', headers: { 'idempotency-key': 'own' } }).header('idempotency-key'),
      'own',
    )
  },
)

t.test('url: user and password become basic authorization and leave the URL', async (t) => {
  const made = build({ url: 'http://me:p%40ss@example.test/a' })
  t.equal(made.url, url)
  t.equal(made.header('authorization'), `Basic ${Buffer.from('me:p@ss').toString('base64')}`)
})

t.test('url: endpoint is its old spelling', async (t) => {
  t.equal(build({ endpoint: url }).url, url)
})

const refused: [name: string, fields: Parameters<typeof buildRequest>[0], message: RegExp][] = [
  ['no url', {}, /needs "url"/],
  ['a url that rendered to nothing', { url: '  ' }, /needs "url"/],
  ['a path', { url: '/v1/things?token=s3cret' }, /^"\/v1\/things" is no http/],
  ['another scheme', { url: 'ftp://me:s3cret@example.test/' }, /^"ftp:\/\/example.test\/" is no http/],
  ['a header with a line break', { url, headers: { 'X-A': 's3cret\r\nX-B: 1' } }, /header X-A/],
  ['a name that no header has', { url, headers: { 'a b': '1' } }, /"a b" cannot be the name/],
]
for (const [name, fields, message] of refused) {
  t.test(`schema: ${name} is refused and no secret is shown`, async (t) => {
    try {
      build(fields)
      t.fail('it was built')
    } catch (error) {
      t.ok(error instanceof ToolError)
      t.match(error, { kind: 'schema', retryable: false, message })
      t.notMatch((error as Error).message, /s3cret/)
    }
  })
}

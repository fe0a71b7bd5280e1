import t from 'tap'
import { request } from 'undici'
import { testGateway } from '../support/gateway.ts'

const gateway = await testGateway(t, {
  worker: false,
  env: { NOETL_MAX_BODY_BYTES: '100000', SERVER_API_URL: 'https://noetl.example.org/' },
})
const { url } = gateway.server
await gateway.register('metadata: {path: odd}\nworkflow: [{step: start, tool: {kind: noop}}]')

async function ask(
  method: 'GET' | 'POST',
  path: string,
  { body, headers = {} }: { body?: string; headers?: Record<string, string> } = {},
) {
  const answer = await request(url + path, { method, headers, ...(body === undefined ? {} : { body }) })
  return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, string> }
}
const JSON_TYPE = { 'content-type': 'application/json' }

t.test('errors: an address that cannot be read is told in the shape of all errors', async (t) => {
  for (const path of ['/%zz', '/api/executions/%E0%A4%A', '/api/credentials/%']) {
    const { status, body } = await ask('GET', path)
    t.match({ status, body }, { status: 400, body: { code: 'NOETL_ERR_REQUEST_URL', status: 400 } }, path)
    t.equal(body.error, body.detail)
    t.match(body.error, 'hexadecimal')
  }
  t.match(await ask('GET', `/api/credentials/${'a'.repeat(600)}`), {
    status: 400,
    body: { code: 'NOETL_ERR_REQUEST_URL', error: /more than 500 characters/ },
  })
})

t.test('errors: a body that is too large names the limit', async (t) => {
  const body = JSON.stringify({ path: 'odd', payload: { text: 'x'.repeat(200_000) } })
  t.match(await ask('POST', '/api/execute', { body, headers: JSON_TYPE }), {
    status: 413,
    body: { code: 'NOETL_ERR_REQUEST_TOO_LARGE', error: /limit of 100000 bytes/ },
  })
})

t.test('errors: a body of another content type is no JSON', async (t) => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
    t.match(
      await ask('POST', '/api/execute', { body: '{"path": "odd"}', headers: { 'content-type': type } }),
      { status: 400, body: { code: 'NOETL_ERR_REQUEST_JSON', error: /application\/json/ } },
      type,
    )
  }
})

t.test('errors: neither words of the database nor regular expressions are shown', async (t) => {
  const id = await gateway.execute('odd')
  const asked = [
    await ask('GET', '/api/executions/9999999999999999999'),
    await ask('GET', `/api/executions/${id}/events?event_type=%00`),
    await ask('GET', '/api/executions/abc'),
    await ask('POST', '/api/execute', { body: '{"path": "odd\\u0000"}', headers: JSON_TYPE }),
    await ask('POST', '/api/execute', { body: '{"catalog_id": "x"}', headers: JSON_TYPE }),
    await ask('POST', '/api/v2/commands/renew', {
      body: '{"worker_id": "w", "leases": [{"execution_id": 1, "command_id": 1, "token": "x"}]}',
      headers: JSON_TYPE,
    }),
  ]
  for (const { status, body } of asked) {
    t.equal(status, 422)
    t.notMatch(body.error, /bigint|invalid (input|byte)|encoding|\\d|\^|pattern/)
  }
  t.match(asked[2]?.body.error, 'must be an id: 1 to 19 digits; seen: "abc"')
  t.match(asked[5]?.body.error, 'must be a UUID')
})

t.test('hosts: without a token a server answers to addresses, localhost and its own names', async (t) => {
  for (const host of [
    '127.0.0.1',
    'localhost:8082',
    'LOCALHOST',
    '[::1]:8082',
    '10.1.2.3',
    'noetl.example.org',
  ]) {
    t.equal((await ask('GET', '/api/executions', { headers: { host } })).status, 200, host)
  }
  for (const host of ['evil.example.com', 'localhost.evil.com:80', '127.0.0.1.nip.io', 'x', '']) {
    t.match(
      await ask('GET', '/api/executions', { headers: { host } }),
      { status: 421, body: { code: 'NOETL_ERR_REQUEST_HOST' } },
      host,
    )
  }
})

t.test('credentials: without a token their data is given to this machine only', async (t) => {
  const put = { name: 'secret', type: 'bearer', data: { token: 'abc' } }
  await ask('POST', '/api/credentials', { body: JSON.stringify(put), headers: JSON_TYPE })
  const path = '/api/credentials/secret?include_data=true'
  t.match(await ask('GET', path), { status: 200, body: { data: { token: 'abc' } } })
  const remote = (url: string) =>
    gateway.server.app.inject({ url, remoteAddress: '10.0.0.9', headers: { host: '10.0.0.1' } })
  const refused = await remote(path)
  t.match(refused.json(), { code: 'NOETL_ERR_CREDENTIAL_REMOTE', status: 403 })
  t.notMatch(refused.body, 'abc')
  t.equal((await remote('/api/credentials/secret')).statusCode, 200)
  t.match((await remote('/api/keychain/1/token')).json(), { code: 'NOETL_ERR_CREDENTIAL_REMOTE' })
})

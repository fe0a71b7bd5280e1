import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { secretsTool } from '../../../plugins/tool-secrets/tool.ts'

const server = createServer((request, response) => {
  if (request.url === '/v1/secret/data/slow') return
  const allowed = request.headers['x-vault-token'] === 'g00d'
  response.writeHead(allowed ? 200 : 403, { 'content-type': 'application/json' })
  response.end(
    allowed
      ? '{"data": {"data": {"username": "me", "password": "s3cret"}, "metadata": {"version": 3}}}'
      : '{"errors": ["permission denied for s3cret"]}',
  )
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const map = { user: 'app/db#username', password: 'app/db#password' }

for (const { name, run } of conformanceCases({
  makeTool: () => secretsTool(),
  works: {
    input: { provider: 'vault', auth: 'good', map },
    check: (result) =>
      t.same(result, {
        user: 'me',
        password: 's3cret',
        values: { user: 'me', password: 's3cret' },
      }),
  },
  fails: { input: { provider: 'vault', auth: 'bad', map }, kind: 'auth' },
  slow: { input: { provider: 'vault', auth: 'good', secret: 'slow', timeout: 60 } },
  refused: { input: { provider: 'env', names: 'NOETL_SECRET_A' } },
  credentials: {
    good: { type: 'vault', data: { url, token: 'g00d' } },
    bad: { type: 'vault', data: { url, token: 'wr0ng' } },
  },
  secrets: ['g00d', 'wr0ng', 's3cret'],
})) {
  t.test(`secrets conforms: ${name}`, run)
}

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { httpTool } from '../../../plugins/tool-http/tool.ts'

const server = createServer((request, response) => {
  if (request.url === '/slow') return
  const status = request.headers.authorization === 'Bearer t0ken' ? 200 : 401
  response.writeHead(status, { 'content-type': 'application/json' }).end('{"n": 2}')
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

for (const { name, run } of conformanceCases({
  makeTool: () => httpTool(),
  works: {
    input: { url: `${url}/ok`, auth: 'api' },
    check: (result) => t.match(result, { status_code: 200, data: { n: 2 } }),
  },
  fails: { input: { url: `${url}/ok`, headers: { authorization: 'Bearer wr0ng' } }, kind: 'auth' },
  slow: { input: { url: `${url}/slow` } },
  refused: { input: { url: 7 } },
  credentials: { api: { type: 'bearer', data: { token: 't0ken' } } },
  secrets: ['wr0ng', 't0ken'],
})) {
  t.test(`http conforms: ${name}`, run)
}

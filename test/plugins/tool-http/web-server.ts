import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** A request as the server got it, body included. */
export interface Received {
  method: string
  path: string
  query: URLSearchParams
  search: string
  headers: IncomingMessage['headers']
  body: string
}

/** Starts a server on a random port that ends with the test. `received` lists the requests in order. */
export async function webServer(
  t: Test,
  answer: (received: Received, response: ServerResponse) => void = (_received, response) => response.end(),
): Promise<{ url: string; received: Received[]; sockets(): number; port: number }> {
  const received: Received[] = []
  let sockets = 0
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const url = new URL(request.url ?? '/', 'http://localhost')
    const got: Received = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      search: url.search,
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
    }
    received.push(got)
    answer(got, response)
  })
  server.on('connection', () => {
    sockets++
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, received, sockets: () => sockets, port }
}

/** Answers with JSON. */
export function json(response: ServerResponse, value: unknown, status = 200): void {
  const body = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  })
  response.end(body)
}

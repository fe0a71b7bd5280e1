import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../support/teardown.ts'

/** One effect as the outside world saw it: a call of a tool that was answered with success. */
export interface Call {
  /** Execution, step and iteration. */
  key: string
  /** Of the command and call, the same for every repeat. */
  idempotencyKey: string
  at: number
}

/** What the playbooks act upon: it keeps every call, and is busy as often as it is asked to be. */
export interface Ledger {
  url: string
  calls: Call[]
}

/** How long an answer takes, so that commands are under way when a fault comes. In milliseconds. */
const ANSWER_MS = 250

/** `POST /<key>?n=1&fails=2`: busy twice for this key, then the next number. */
export async function startLedger(t: Teardown): Promise<Ledger> {
  const calls: Call[] = []
  const failed = new Map<string, number>()
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://ledger')
    const key = decodeURIComponent(pathname.slice(1))
    const fails = Number(searchParams.get('fails') ?? 0)
    const before = failed.get(key) ?? 0
    const busy = before < fails
    if (busy) failed.set(key, before + 1)
    else calls.push({ key, idempotencyKey: String(request.headers['idempotency-key'] ?? ''), at: Date.now() })
    request.resume()
    setTimeout(() => {
      response
        .writeHead(busy ? 503 : 200, { 'content-type': 'application/json' })
        .end(JSON.stringify(busy ? { error: 'busy' } : { n: Number(searchParams.get('n') ?? 0) + 1 }))
    }, ANSWER_MS)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls }
}

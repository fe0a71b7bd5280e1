import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The small API of the sample `orders_report`: pages of orders, and busy the first time a run asks for page 2. */
export interface OrdersApi {
  url: string
  /** Requests answered with 503 so far. */
  readonly refused: number
  close(): Promise<void>
}

export interface Order {
  id: number
  region: string
  customer: { name: string }
  lines: { item: string; price: number; count: number }[]
  ordered_at: string
  cancelled: boolean
}

const REGIONS = ['North', ' south', 'East ', 'WEST']
const CUSTOMERS = ["Ada's Mill", 'Brook & Sons', 'Çelik Ltd', 'Delta', 'Élan', 'Fjord "North"', 'Gupta']
const ITEMS = ['bolt', 'nut', 'gear', 'belt']

/** The orders, always the same. */
export function makeOrders(count = 130): Order[] {
  return Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    region: REGIONS[(i * 7) % REGIONS.length]!,
    customer: { name: CUSTOMERS[(i * 5) % CUSTOMERS.length]! },
    lines: Array.from({ length: 1 + (i % 3) }, (_, line) => ({
      item: ITEMS[(i + line) % ITEMS.length]!,
      price: Math.round((((i * 37 + line * 11) % 90) + 1.25) * 100) / 100,
      count: 1 + ((i + line) % 4),
    })),
    ordered_at: new Date(Date.UTC(2026, 0, 1 + (i % 28), i % 24)).toISOString(),
    cancelled: i % 11 === 10,
  }))
}

/** Serves the orders on loopback. */
export async function startOrdersApi(options: { port?: number } = {}): Promise<OrdersApi> {
  const orders = makeOrders()
  const busy = new Set<string>()
  let refused = 0
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const page = Number(url.searchParams.get('page') ?? 1)
    const size = Math.min(100, Number(url.searchParams.get('size') ?? 40))
    const run = url.searchParams.get('run') ?? ''
    const answer = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (url.pathname !== '/orders') return answer(404, { error: 'only /orders is here' })
    if (!Number.isInteger(page) || page < 1 || !(size >= 1))
      return answer(400, { error: 'page and size are from 1' })
    if (page === 2 && !busy.has(run)) {
      if (busy.size > 10_000) busy.clear()
      busy.add(run)
      refused += 1
      return answer(503, { error: 'busy; ask again' })
    }
    const start = (page - 1) * size
    const more = start + size < orders.length
    return answer(200, { orders: orders.slice(start, start + size), page, next_page: more ? page + 1 : null })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get refused() {
      return refused
    },
    close() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'
import type { Teardown } from './teardown.ts'

/**
 * A TCP relay that can lose the network between its two ends. A cut is silent, as a pulled cable is: nothing is
 * reset, what is sent waits, new connections get no answer; and when it heals all goes on where it was.
 */
export interface Relay {
  port: number
  /** Where it leads to; may be set when the other end is there, and anew when that comes back elsewhere. */
  target: number | undefined
  cut(): void
  heal(): void
}

export async function makeRelay(t: Teardown, options: { target?: number } = {}): Promise<Relay> {
  const sockets = new Set<Socket>()
  /** Connections that came while the network was away. */
  let waiting: Socket[] = []
  let away = false

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    keep(near)
    near.on('error', () => near.destroy())
    if (away) waiting.push(near)
    else join(near)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })

  function keep(socket: Socket): void {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.once('close', () => sockets.delete(socket))
  }

  function join(near: Socket): void {
    if (proxy.target === undefined || near.destroyed) {
      near.resetAndDestroy()
      return
    }
    const far = connect({ host: '127.0.0.1', port: proxy.target, allowHalfOpen: true })
    keep(far)
    relay(near, far)
    relay(far, near)
    if (!away) near.resume()
  }

  function relay(from: Socket, to: Socket): void {
    from.on('data', (part) => {
      if (!to.write(part)) from.pause()
    })
    to.on('drain', () => {
      if (!away) from.resume()
    })
    from.on('end', () => to.end())
    from.on('error', () => to.resetAndDestroy())
    from.on('close', () => to.destroy())
  }

  const proxy: Relay = {
    port: (server.address() as AddressInfo).port,
    target: options.target,
    cut() {
      away = true
      for (const socket of sockets) socket.pause()
    },
    heal() {
      if (!away) return
      away = false
      const late = waiting
      waiting = []
      for (const socket of sockets) if (!late.includes(socket)) socket.resume()
      for (const near of late) join(near)
    },
  }
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return proxy
}

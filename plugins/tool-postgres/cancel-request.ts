import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ClientBase } from 'pg'
import type { Settings } from './settings.ts'

const CANCEL_REQUEST = 80877102
const SSL_REQUEST = 80877103
const GIVE_UP_AFTER_MS = 5_000

/**
 * Asks the server to stop what `client` is running. It goes over a socket of its own that needs no login
 * and no free connection slot. Resolves when the server has taken the request (it hangs up), or could not.
 */
export async function sendCancel(client: ClientBase, settings: Settings): Promise<void> {
  // Both are sent by the server at login; the driver keeps them, its types do not tell.
  const { processID, secretKey } = client as unknown as { processID: number | null; secretKey: number | null }
  if (processID === null || secretKey === null) return
  const socket = settings.host.startsWith('/')
    ? connect(`${settings.host}/.s.PGSQL.${settings.port}`)
    : connect(settings.port, settings.host)
  socket.setTimeout(GIVE_UP_AFTER_MS, () => socket.destroy())
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve())
  })
  // A server that cannot be reached cannot be asked: the caller then drops the connection.
  socket.on('error', () => {})
  const request = message(CANCEL_REQUEST, processID, secretKey)
  socket.once('connect', () => {
    if (settings.ssl === false) socket.end(request)
    else sendEncrypted(socket, settings, request)
  })
  await closed
}

function sendEncrypted(socket: Socket, settings: Settings, request: Buffer): void {
  socket.write(message(SSL_REQUEST))
  socket.once('data', (answer) => {
    if (answer.toString() !== 'S') {
      socket.destroy()
      return
    }
    const name = isIP(settings.host) === 0 ? { servername: settings.host } : {}
    const secure = connectTls({ socket, ...name, ...(settings.ssl || {}) })
    secure.on('error', () => socket.destroy())
    secure.once('secureConnect', () => secure.end(request))
  })
}

function message(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(4 + 4 * numbers.length)
  bytes.writeInt32BE(bytes.length, 0)
  numbers.forEach((number, index) => {
    bytes.writeInt32BE(number, 4 + 4 * index)
  })
  return bytes
}

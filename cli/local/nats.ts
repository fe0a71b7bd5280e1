import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'nats'
import { type Child, freePort, startChild } from './child.ts'

/** A NATS server of this machine with JetStream on files, on loopback only. */
export interface LocalNats {
  url: string
  port: number
  pid: number
  /** Resolves when it has ended. */
  exited: Promise<void>
  stop(): Promise<void>
  /** For tests of crashes. */
  kill(signal: NodeJS.Signals): void
}

const START_MS = 20_000

/** Starts `binary` with its store in `storeDir`. Throws with what it said. */
export async function startNats(options: {
  binary: string
  storeDir: string
  /** Absent or 0: any free one. */
  port?: number
  /** Gives up a start. */
  signal?: AbortSignal
}): Promise<LocalNats> {
  options.signal?.throwIfAborted()
  await mkdir(options.storeDir, { recursive: true })
  for (let attempt = 1; ; attempt++) {
    const port = options.port || (await freePort())
    const child = startChild({
      command: options.binary,
      args: [
        ...['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', options.storeDir],
        ...['-P', join(options.storeDir, 'nats-server.pid')],
      ],
      stopSignal: 'SIGINT',
    })
    const giveUp = () => void child.stop()
    options.signal?.addEventListener('abort', giveUp, { once: true })
    try {
      await untilReady(child, port)
      return {
        url: `nats://127.0.0.1:${port}`,
        port,
        pid: child.pid,
        exited: child.exited,
        stop: () => child.stop(),
        kill: child.kill,
      }
    } catch (error) {
      await child.stop()
      if (!options.port && attempt < 3 && /address already in use/i.test(child.output())) continue
      throw error
    } finally {
      options.signal?.removeEventListener('abort', giveUp)
    }
  }
}

async function untilReady(child: Child, port: number): Promise<void> {
  let ended = false
  void child.exited.then(() => {
    ended = true
  })
  const until = Date.now() + START_MS
  for (;;) {
    if (ended) throw new Error(`nats-server did not start: ${child.output()}`)
    try {
      const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false, timeout: 1000 })
      try {
        await (await connection.jetstreamManager()).getAccountInfo()
        return
      } finally {
        await connection.close()
      }
    } catch (error) {
      if (Date.now() > until)
        throw new Error(`nats-server does not answer: ${(error as Error).message}`, { cause: error })
    }
    await Promise.race([child.exited, new Promise((resolve) => setTimeout(resolve, 25))])
  }
}

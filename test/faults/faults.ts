import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, headers, type NatsConnection, nanos } from 'nats'
import pg from 'pg'
import { DURABLE, STREAM, SUBJECT } from '../../core/bus/streams.ts'
import { until } from '../support/wait.ts'
import type { Cluster, ClusterOptions, Link } from './cluster.ts'

export interface Fault {
  name: string
  /** As the table says it. */
  title: string
  /** Begins with the load instead of in its midst. */
  early?: boolean
  /** What NATS it needs. */
  nats?: ClusterOptions['nats']
  /** Does it; resolves when it is over. */
  inject(cluster: Cluster, about: About): Promise<void>
}

interface About {
  /** Resolves when all executions have been accepted. */
  loadEnds: Promise<unknown>
  /** Hears of the worker that is hit, as it is. */
  hit(worker: string): void
}

const cut = (link: Link, seconds: number): Fault => ({
  name: `cut-${link}-${seconds}`,
  title: `${link.replace('-', '–')} cut for ${seconds} s`,
  async inject(cluster) {
    for (const proxy of cluster.links[link]) proxy.cut()
    await delay(seconds * 1000)
    for (const proxy of cluster.links[link]) proxy.heal()
  },
})

export const FAULTS: Fault[] = [
  { name: 'none', title: 'nothing', inject: async () => undefined },
  {
    name: 'kill-worker',
    title: '`kill -9` of a worker, which stays away',
    async inject(cluster, { hit }) {
      const worker = await busiest(cluster)
      worker.kill('SIGKILL')
      hit(worker.name)
    },
  },
  {
    name: 'kill-server',
    title: '`kill -9` of a server, which stays away',
    inject: ({ servers }) => servers[0]!.kill('SIGKILL'),
  },
  {
    name: 'kill-servers',
    title: '`kill -9` of both servers, started again at once',
    async inject({ servers }) {
      await Promise.all(servers.map((server) => server.kill('SIGKILL')))
      await Promise.all(servers.map((server) => server.start()))
    },
  },
  {
    name: 'kill-nats',
    title: '`kill -9` of nats-server, started again after 3 s',
    async inject({ nats }) {
      await nats.kill()
      await delay(3000)
      await nats.start()
    },
  },
  {
    name: 'kill-postgres',
    title: '`kill -9` of Postgres, started again at once',
    async inject({ postgres }) {
      if (postgres === undefined) throw new Error('this fault needs a Postgres of its own')
      postgres.kill('SIGKILL')
      // Its memory is not free until the last of its processes has noticed.
      await until('Postgres to start', () => postgres.restart().then(() => true), {
        withinMs: 60_000,
        everyMs: 250,
      })
    },
  },
  {
    name: 'stop-worker',
    title: 'a worker stopped for 40 s (SIGSTOP, SIGCONT)',
    async inject(cluster, { hit }) {
      const worker = await busiest(cluster)
      worker.kill('SIGSTOP')
      hit(worker.name)
      await delay(40_000)
      worker.kill('SIGCONT')
      // What it held is said to be late now.
      await delay(5000)
    },
  },
  {
    name: 'delete-stream',
    title: 'the stream is deleted',
    inject: (cluster) =>
      withNats(cluster, async (nats) => void (await (await nats.jetstreamManager()).streams.delete(STREAM))),
  },
  {
    name: 'delete-consumer',
    title: 'the consumer is deleted',
    inject: (cluster) =>
      withNats(
        cluster,
        async (nats) => void (await (await nats.jetstreamManager()).consumers.delete(STREAM, DURABLE)),
      ),
  },
  {
    name: 'wipe-jetstream',
    title: 'nats-server killed, its store removed, started again',
    async inject({ nats }) {
      await nats.kill()
      await nats.start({ wipe: true })
    },
  },
  ...(['worker-server', 'server-nats', 'worker-nats', 'server-postgres'] as const).flatMap((link) =>
    [1, 20, 60].map((seconds) => cut(link, seconds)),
  ),
  {
    name: 'duplicate',
    title: 'every notification is published twice',
    early: true,
    inject: (cluster, { loadEnds }) =>
      withNats(cluster, async (nats) => {
        nats.subscribe(SUBJECT, {
          callback: (_error, message) => {
            if (message.headers?.has('Again')) return
            const again = headers()
            again.set('Again', '1')
            nats.publish(SUBJECT, message.data, { headers: again })
          },
        })
        await loadEnds
        // The last of them have steps to go.
        await delay(5000)
      }),
  },
  {
    name: 'rogue-puller',
    title: 'a puller that never acknowledges takes all it can for 20 s',
    inject: (cluster) => withNats(cluster, (nats) => hoard(nats, 20_000)),
  },
  {
    name: 'ack-pending',
    title: 'max_ack_pending is filled with 100,000 notifications that nobody acknowledges',
    inject: (cluster) =>
      withNats(cluster, async (nats) => {
        const nothing = { execution_id: '1', queue_id: '1', step: 'none', server_url: '' }
        const data = new TextEncoder().encode(JSON.stringify(nothing))
        for (let n = 0; n < 110_000; n++) {
          nats.publish(SUBJECT, data)
          if (n % 5000 === 0) await nats.flush()
        }
        await hoard(nats, 10_000)
      }),
  },
  {
    name: 'full-disk',
    title: 'the disk of NATS is full for 20 s',
    nats: 'small-disk',
    async inject({ natsDisk }) {
      const ballast = join(natsDisk!, 'ballast')
      await writeFile(ballast, Buffer.alloc(64 * 1024 * 1024)).catch((error: { code?: string }) => {
        if (error.code !== 'ENOSPC') throw error
      })
      await delay(20_000)
      await rm(ballast)
    },
  },
  {
    name: 'nats-leader',
    title: 'of three NATS nodes the leader of the stream is killed, started again after 10 s',
    nats: 'cluster',
    async inject(cluster) {
      const leader = await leaderOf(cluster)
      await leader.kill()
      await delay(10_000)
      await leader.start()
    },
  },
  {
    name: 'nats-quorum',
    title: 'of three NATS nodes two are killed, the leader among them, started again after 20 s',
    nats: 'cluster',
    async inject(cluster) {
      const leader = await leaderOf(cluster)
      const lost = [leader, cluster.nodes.find((node) => node !== leader)!]
      await Promise.all(lost.map((node) => node.kill()))
      await delay(20_000)
      await Promise.all(lost.map((node) => node.start()))
    },
  },
  {
    name: 'pinned-xmin',
    title: 'a transaction that is open all the time pins the horizon of vacuum',
    early: true,
    async inject(cluster, { loadEnds }) {
      const client = new pg.Client({ connectionString: cluster.databaseUrl })
      await client.connect()
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await client.query('SELECT pg_current_xact_id(), count(*) FROM noetl.queue')
      await loadEnds
      await delay(5000)
      await client.query('ROLLBACK')
      await client.end()
    },
  },
]

/** The node that leads the stream of commands. */
function leaderOf(cluster: Cluster): Promise<Cluster['nodes'][number]> {
  return withNats(cluster, async (nats) => {
    const info = await (await nats.jetstreamManager()).streams.info(STREAM)
    if (info.config.num_replicas !== 3) throw new Error(`the stream has ${info.config.num_replicas} copies`)
    return cluster.nodes.find(({ name }) => name === info.cluster?.leader)!
  })
}

/** The worker that holds most commands, once it holds some. */
async function busiest({ databaseUrl, workers }: Cluster): Promise<Cluster['workers'][number]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const name = await until('a worker that is busy', async () => {
      const { rows } = await client.query<{ worker_id: string; n: number }>(
        `SELECT worker_id, count(*)::int AS n FROM noetl.queue WHERE status = 'running'
         GROUP BY 1 ORDER BY n DESC LIMIT 1`,
      )
      return rows[0] && rows[0].n > 1 ? rows[0].worker_id : undefined
    })
    return workers.find((worker) => worker.name === name)!
  } finally {
    await client.end()
  }
}

/** Pulls whatever the consumer gives and says nothing to it. */
async function hoard(nats: NatsConnection, ms: number): Promise<void> {
  const inbox = `_INBOX.hoard.${Date.now()}`
  nats.subscribe(inbox, { callback: () => undefined })
  for (const end = Date.now() + ms; Date.now() < end; ) {
    const request = { batch: 100_000, expires: nanos(5000) }
    nats.publish(`$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${DURABLE}`, JSON.stringify(request), { reply: inbox })
    await nats.flush()
    await delay(250)
  }
}

async function withNats<T>(cluster: Cluster, use: (nats: NatsConnection) => Promise<T>): Promise<T> {
  const nats = await connect({ servers: cluster.natsUrl.replaceAll('nats://', '').split(',') })
  try {
    return await use(nats)
  } finally {
    await nats.close()
  }
}

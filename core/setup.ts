import type { Logger } from 'pino'
import { connectBus, ensurePatiently } from './bus/bus.ts'
import { durableOf, placesOf, STREAM } from './bus/streams.ts'
import type { Config } from './config.ts'
import { NORMAL_LANE } from './schemas/lanes.ts'
import { migrate } from './store/migrate.ts'
import { openPools, waitForStore } from './store/pools.ts'

/** What a set-up did. */
export interface SetUp {
  /** Migrations applied now; empty when the schema was new enough. */
  migrations: string[]
  schemaVersion: number
  stream: { name: string; created: boolean }
  consumers: string[]
}

/** Brings database and bus to what servers and workers need: migrations, stream, consumers. Safe to run twice. */
export async function setUp(config: Config, options: { log: Logger }): Promise<SetUp> {
  const { log } = options
  const patienceMs = config.startPatienceSeconds * 1000
  const pools = openPools({ url: config.databaseUrl, maxConnections: 4, onError: () => {} })
  try {
    await waitForStore(pools.durable, { url: config.databaseUrl, patienceMs, log })
  } finally {
    await pools.close()
  }
  const { applied, version } = await migrate(config.databaseUrl)
  const bus = await connectBus({
    url: config.natsUrl,
    replicas: config.natsReplicas,
    name: 'noetl-setup',
    patienceMs,
    log,
  })
  try {
    const lanes = config.worker.lanes.length === 0 ? [NORMAL_LANE] : config.worker.lanes
    const places = placesOf(lanes, [config.worker.pool, ...config.routes.map(({ pool }) => pool)])
    const created = await ensurePatiently(bus, places, { patienceMs, log })
    return {
      migrations: applied,
      schemaVersion: version,
      stream: { name: STREAM, created },
      consumers: places.map(durableOf),
    }
  } finally {
    await bus.close()
  }
}

import type { Client } from '../../core/client.ts'
import type { Cluster } from './cluster.ts'
import type { Tables } from './tables.ts'
import type { World } from './world.ts'

/** Those who start executions and meddle with them, over HTTP like anyone. */
export interface People {
  start(catalogId: string): void
  /** Cancels, finalizes and sets values of executions, now and then until a time. */
  meddle(untilMs: number): void
  /** A worker is about to report on a command of an execution. */
  onReport(executionId: string): void
  /** Settles dead letters, from now on; `kindly`: gives all of them back. */
  tend(options: { kindly: boolean }): void
  /** Requests under way. */
  readonly asking: number
  /** Executions whose course is not that of their playbook alone any more. */
  meddledWith: ReadonlySet<string>
}

/** Failures of one execution after which no one believes that another try helps. */
const PATIENCE = 10
/** How often letters are looked at. In milliseconds. */
const LOOK_MS = 2000

export function makePeople(parts: {
  world: World
  tables: Tables
  cluster: Cluster
  open: (url: string) => Client
}): People {
  const { world, tables, cluster, open } = parts
  const { random } = world
  const meddledWith = new Set<string>()
  let racing: { left: number; untilMs: number; act(id: string): void } | undefined
  let round = 0
  let asking = 0

  async function ask(path: string, body: object): Promise<boolean> {
    world.note(() => `people ask ${path} ${JSON.stringify(body)}`)
    asking += 1
    try {
      await open(random.pick(cluster.servers).url).request('POST', path, body)
      return true
    } catch (error) {
      world.note(() => `people were told: ${(error as Error).message}`)
      return false
    } finally {
      asking -= 1
    }
  }

  function touch(id: string): void {
    meddledWith.add(id)
    const parent = tables.executions.get(id)?.row.parent_execution_id
    if (parent && !meddledWith.has(parent)) touch(parent)
    for (const { row } of tables.all()) {
      if (row.parent_execution_id === id && !meddledWith.has(row.execution_id)) touch(row.execution_id)
    }
  }

  return {
    meddledWith,
    get asking() {
      return asking
    },
    start(catalogId) {
      // Asked again when it failed: it may have begun all the same.
      void ask('/start', { catalogId, payload: {} }).then(
        (done) => done || ask('/start', { catalogId, payload: {} }),
      )
    },
    meddle(untilMs) {
      const act = (id: string) => {
        touch(id)
        void random.pick([
          () => ask('/cancel', { id }),
          () => ask('/finalize', { id, status: random.pick(['COMPLETED', 'FAILED']) }),
          () => ask('/set', { id }),
        ])()
      }
      for (let n = random.int(1, 4); n > 0; n--) {
        world.after(random.between(0, untilMs), null, () => {
          const running = tables.all().filter(({ row }) => row.status === 'RUNNING')
          if (running.length > 0) act(random.pick(running).row.execution_id)
        })
      }
      // Others come at the very moment at which a worker reports.
      racing = { left: random.int(1, 4), untilMs: world.now() + untilMs, act }
    },
    onReport(id) {
      if (racing === undefined || racing.left === 0 || world.now() > racing.untilMs) return
      if (random.chance(0.4)) return
      racing.left -= 1
      const { act } = racing
      world.after(random.between(0, 3), null, () => act(id))
    },
    tend({ kindly }) {
      round += 1
      const own = round
      const look = () => {
        if (own !== round) return
        for (const { letters, queue, row } of tables.all()) {
          const failures = [...letters.values()].filter(({ reason }) => reason === 'error').length
          for (const { letter_id: id, queue_id, status } of letters.values()) {
            if (status !== 'open' || !queue.has(queue_id)) continue
            if (kindly ? failures < PATIENCE : random.chance(0.5)) void ask('/retry', { id })
            else {
              touch(row.execution_id)
              void ask('/resolve', { id, as: random.pick(['done', 'dropped']) })
            }
          }
        }
        world.after(LOOK_MS, null, look)
      }
      look()
    },
  }
}

import type { Store } from '../../core/store/store.ts'
import type { Statements } from './memory-store.ts'
import { delay, type Weather } from './weather.ts'
import type { Process, World } from './world.ts'

/** The way from servers to Postgres, and Postgres itself being there or not. */
export interface Postgres {
  /** The store as one server sees it. */
  storeOf(process: Process): Store
  down: boolean
}

/** Hears of every statement as it is done, at the time at which it is. */
export type Observe = <K extends keyof Statements>(
  name: K,
  given: Parameters<Statements[K]>,
  act: () => ReturnType<Statements[K]>,
  process: Process,
) => ReturnType<Statements[K]>

const injected = new WeakSet<object>()

/** True for a failure that the simulation made up. */
export function isInjected(error: unknown): boolean {
  return typeof error === 'object' && error !== null && injected.has(error)
}

function failure(code: string, message: string): Error {
  const error = Object.assign(new Error(message), { code })
  injected.add(error)
  return error
}

export function makePostgres(parts: {
  world: World
  statements: Statements
  weather: () => Weather
  observe: Observe
}): Postgres {
  const { world, statements, weather, observe } = parts
  const { random } = world

  /** A statement goes there, is done there, and its answer comes back; each of the three may fail. */
  function trip<K extends keyof Statements>(
    process: Process,
    name: K,
    given: Parameters<Statements[K]>,
  ): Promise<ReturnType<Statements[K]>> {
    return new Promise((resolve, reject) => {
      const { slow, refused, answerLost, deadlock } = weather().store
      const lost = random.chance(answerLost)
      const refusal = random.chance(refused)
        ? failure('ECONNRESET', 'read ECONNRESET')
        : random.chance(deadlock)
          ? failure('40P01', 'deadlock detected')
          : undefined
      const back = (act: () => void) => void world.after(delay(random, slow), process, act)
      const there = () => {
        // What a process sent before it died arrives, or does not.
        if (!process.alive && random.chance(0.5)) return
        if (postgres.down) return back(() => reject(failure('ECONNREFUSED', 'connect ECONNREFUSED')))
        if (refusal !== undefined) return back(() => reject(refusal))
        try {
          const run = statements[name] as (...given: unknown[]) => ReturnType<Statements[K]>
          const answer = observe(name, given, () => run(...given), process)
          if (lost) {
            world.note(() => `store: the answer to ${name} of ${process.name} is lost`)
            back(() => reject(failure('ECONNRESET', 'Connection terminated unexpectedly')))
          } else back(() => resolve(answer))
        } catch (error) {
          if ((error as { code?: string }).code === undefined) {
            world.accidents.push(`${name}: ${(error as Error).stack}`)
          }
          back(() => reject(error))
        }
      }
      world.after(delay(random, slow), null, there)
    })
  }

  const postgres: Postgres = {
    down: false,
    storeOf(process) {
      const plain = Object.keys(statements).map((name) => {
        const key = name as keyof Statements
        return [key, (...given: unknown[]) => trip(process, key, given as Parameters<Statements[typeof key]>)]
      })
      return {
        ...(Object.fromEntries(plain) as unknown as Store),
        async rescueExpired(limit, newId) {
          const rows = await trip(process, 'rescue', [limit])
          if (rows.length === 0) return rows
          const told = rows.map(({ execution_id, queue_id, node_id, node_name, holder, attempt }) => ({
            ...{ execution_id, node_id, node_name },
            event_id: newId(queue_id),
            created_at: '',
            event_type: 'command.lease_expired',
            worker_id: holder,
            meta: { command_id: queue_id, attempt },
          }))
          await trip(process, 'tellExpired', [told])
          return rows
        },
      }
    },
  }
  return postgres
}

import { publish } from '../channels.ts'
import type { Engine } from '../engine/engine.ts'
import { callError } from '../engine/problem.ts'
import { makeError } from '../errors.ts'
import type { Pools } from '../store/pools.ts'
import { findExhausted } from '../store/queue.ts'
import type { Duty } from './upkeep.ts'

/** Fails commands whose last attempt ended without a word: their step decides what follows. */
export function giveUpDuty(parts: { pools: Pools; engine: Engine }): Duty {
  return {
    name: 'give-up',
    everySeconds: 1,
    async run() {
      const exhausted = await findExhausted(parts.pools.relaxed, 100)
      for (const command of exhausted) {
        const { queue_id, execution_id, node_name, attempt, worker_id, token } = command
        const { message, code } = makeError('NOETL_ERR_COMMAND_ATTEMPTS', [queue_id, node_name, attempt])
        await parts.engine.report(
          execution_id,
          {
            type: 'report',
            command_id: queue_id,
            step: node_name,
            worker_id,
            attempt,
            started_at: null,
            outcome: {
              status: 'error',
              error: { ...callError(code, message), kind: 'timeout' },
              result: null,
              set: {},
              meta: { duration_ms: 0, calls: 0, facets: {} },
            },
          },
          { queue_id, token, worker_id },
        )
      }
      if (exhausted.length > 0) publish('noetl:upkeep', { what: 'exhausted', count: exhausted.length })
    },
  }
}

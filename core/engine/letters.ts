import { randomUUID } from 'node:crypto'
import { makeError } from '../errors.ts'
import { makeCallError } from '../schemas/command.ts'
import type { Json } from '../schemas/json.ts'
import type { Letter, LetterFilter } from '../store/dead-letters.ts'
import type { Waiting } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import type { Engine } from './engine.ts'

/** How a person settles a command that waits: `done` with a result, or given up for a reason. */
export type Resolution = { as: 'done'; result: Json } | { as: 'dropped'; why: string }

/** Dead letters, and what a person says of them. Each act changes nothing when the letter is open no more. */
export interface Letters {
  list(filter: LetterFilter, limit: number): Promise<Letter[]>
  /** Gives commands back to the queue, with all their attempts; returns the ids of the letters. */
  retry(letters: Letter[]): Promise<string[]>
  /** Throws NOETL_ERR_LETTER_NOT_FOUND when the letter is open no more. */
  resolve(letter: Letter, resolution: Resolution, by: string): Promise<void>
}

export function makeLetters(parts: {
  store: Store
  engine: Engine
  newId(after?: string): string
  announce(commands: Waiting[], again: boolean): void
}): Letters {
  const { store, engine } = parts
  return {
    list: (filter, limit) => store.listLetters(filter, limit),

    async retry(letters) {
      const wanted = letters.map(({ execution_id, letter_id }) => ({
        execution_id,
        letter_id,
        event_id: parts.newId(letter_id),
      }))
      const queued = await store.retryLetters(wanted)
      parts.announce(queued, true)
      const back = new Set(queued.map((command) => command.queue_id))
      return letters.filter((letter) => back.has(letter.queue_id)).map((letter) => letter.letter_id)
    },

    async resolve(letter, resolution, by) {
      const { execution_id, letter_id, queue_id, step } = letter
      const token = randomUUID()
      const status = resolution.as === 'done' ? 'resolved' : 'dropped'
      if (!(await store.seizeLetter({ execution_id, letter_id, token, by, status }))) {
        throw makeError('NOETL_ERR_LETTER_NOT_FOUND', [letter_id])
      }
      const meta = { duration_ms: 0, calls: 0, facets: {} }
      const dropped = () => {
        const { message, code } = makeError('NOETL_ERR_COMMAND_DROPPED', [
          resolution.as === 'dropped' ? resolution.why : '',
        ])
        return makeCallError({ kind: 'cancelled', message, code })
      }
      await engine.report(
        execution_id,
        {
          type: 'report',
          command_id: queue_id,
          step,
          worker_id: by,
          attempt: null,
          started_at: null,
          outcome:
            resolution.as === 'done'
              ? { status: 'ok', error: null, result: resolution.result, set: {}, meta }
              : { status: 'error', error: dropped(), result: null, set: {}, meta },
        },
        { queue_id, token, worker_id: by },
      )
    },
  }
}

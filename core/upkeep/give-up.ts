import { publish } from '../channels.ts'
import { callError } from '../engine/problem.ts'
import { makeError } from '../errors.ts'
import { fingerprintOf, type Lost, type NewLetter } from '../store/dead-letters.ts'
import type { Store } from '../store/store.ts'
import type { Duty } from './upkeep.ts'

/**
 * Makes dead letters of commands that are not begun again by themselves: those begun as often as they may be and
 * not heard of again, and those whose worker died in the midst of what is not safe to repeat. Their execution
 * stands where it stood, until a person says how it goes on.
 */
export function giveUpDuty(parts: { store: Store; newId(after: string): string }): Duty {
  return {
    name: 'give-up',
    everySeconds: 1,
    async run() {
      const lost = await parts.store.findLost(100)
      if (lost.length === 0) return
      const parked = await parts.store.parkLost(
        lost.map((command) => letterOf(command, parts.newId(command.queue_id))),
      )
      publish('noetl:upkeep', { what: 'parked', count: parked.length })
      for (const { execution_id, queue_id, node_name, tool_kind, in_doubt } of lost) {
        if (!parked.includes(queue_id)) continue
        publish('noetl:dead', {
          ...{ execution_id, command_id: queue_id, step: node_name, kind: tool_kind },
          reason: in_doubt ? 'in_doubt' : 'attempts',
        })
      }
    },
  }
}

function letterOf(command: Lost, letter_id: string): NewLetter & { execution_id: string } {
  const { execution_id, queue_id, node_name: step, tool_kind, attempt, worker_id, path, in_doubt } = command
  const { message, code } = in_doubt
    ? makeError('NOETL_ERR_COMMAND_IN_DOUBT', [queue_id, step, worker_id ?? 'none', execution_id])
    : makeError('NOETL_ERR_COMMAND_ATTEMPTS', [queue_id, step, attempt])
  const error = { ...callError(code, message), kind: 'timeout' as const }
  return {
    execution_id,
    letter_id,
    queue_id,
    path,
    step,
    tool_kind,
    reason: in_doubt ? 'in_doubt' : 'attempts',
    error,
    fingerprint: fingerprintOf({ path, step, error }),
    attempts: attempt,
    worker_id,
  }
}

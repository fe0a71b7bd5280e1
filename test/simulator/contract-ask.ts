import type { Claim, Claimed } from '../../core/store/queue.ts'
import type { Store } from '../../core/store/store.ts'
import type { Call } from './contract-calls.ts'
import type { Statements } from './memory-store.ts'

/** What a call of Postgres answers; of one that it refuses, the code. */
export async function ask(store: Store, { name, given }: Call, newId: () => string): Promise<unknown> {
  if (name === 'rescue') return store.rescueExpired(given[0], newId)
  if (name === 'tellExpired') throw new Error('it is a part of rescue')
  return (store[name] as (...given: unknown[]) => Promise<unknown>)(...given).catch(codeOf)
}

/** What the memory answers. */
export function askMemory(statements: Statements, { name, given }: Call, newId: () => string): unknown {
  if (name === 'rescue') {
    const rows = statements.rescue(given[0])
    statements.tellExpired(
      rows.map(({ execution_id, queue_id, node_id, node_name, holder, attempt }) => ({
        ...{ execution_id, node_id, node_name },
        event_id: newId(),
        created_at: '',
        event_type: 'command.lease_expired',
        worker_id: holder,
        meta: { command_id: queue_id, attempt },
      })),
    )
    return rows
  }
  try {
    return (statements[name] as (...given: unknown[]) => unknown)(...given)
  } catch (error) {
    return codeOf(error)
  }
}

const codeOf = (error: unknown) => ({ code: (error as { code?: string }).code })

/** Of several that ask for one free command, Postgres takes any: the memory is to take the same. */
export function agree(call: Call, real: unknown): Call {
  if (call.name !== 'claimCommands' || !Array.isArray(real)) return call
  const won = (claim: Claim) =>
    (real as Claimed[]).some((row) => row.queue_id === claim.queue_id && row.lease_token === claim.token)
  const [claims, seconds] = call.given
  return {
    name: call.name,
    given: [[...claims.filter(won), ...claims.filter((claim) => !won(claim))], seconds],
  }
}

/** Answers in one form: most lists have no order, and objects none. */
export function sorted(answer: unknown): unknown {
  if (answer instanceof Set) return [...answer].sort()
  if (Array.isArray(answer)) return answer.map((entry) => JSON.stringify(ordered(plain(entry)))).sort()
  if (answer !== null && typeof answer === 'object' && 'written' in answer) {
    return Object.entries(answer).map(([name, ids]) => [name, sorted(ids)])
  }
  return plain(answer)
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, ordered(inner)]),
  )
}

/** As JSON has it: dates are text, nothing is null. */
export const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null))

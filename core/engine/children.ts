import type { Logger } from 'pino'
import { isNoetlError, makeError } from '../errors.ts'
import { shownName } from '../playbook/faults.ts'
import type { CallError, Child } from '../schemas/command.ts'
import { childTrace, type Trace } from '../schemas/trace.ts'
import type { Store } from '../store/store.ts'
import type { Wait } from '../store/waits.ts'
import type { Engine } from './engine.ts'
import type { Plan } from './plan.ts'
import type { Plans } from './plans.ts'
import { callError } from './problem.ts'
import type { NewChild } from './turn.ts'
import { workloadOf } from './workload.ts'

/**
 * Executions that others wait for. A step that calls a playbook is committed as waiting, with a row that says
 * for whom; only then is the child started, under the id it was given. When the child ends its parent is told
 * and goes on. Whatever a server that dies leaves undone, upkeep finds in those rows and does again: each of
 * the acts changes nothing when it was done before.
 */
export interface Children {
  /** Starts those that an execution has just begun to wait for. */
  begin(parent: Parent, children: NewChild[]): void
  /** Tells a parent that one it started has ended. */
  ended(executionId: string, parentExecutionId: string): void
  /** Does what is left undone of a wait. */
  look(wait: Wait): Promise<void>
}

interface Parent {
  executionId: string
  depth: number
  trace?: Trace
}

/** Executions that wait for each other in a row, at most. */
const MAX_DEPTH = 50

export function makeChildren(parts: {
  store: Store
  plans: Plans
  engine: Engine
  log: Logger
  /** What templates of workloads may read of the environment. */
  templateEnv?: Readonly<Record<string, string>>
}): Children {
  const { store, plans, engine, log, templateEnv = {} } = parts

  async function start(parent: Parent, id: string, child: Child): Promise<void> {
    try {
      if (parent.depth >= MAX_DEPTH) {
        throw makeError('NOETL_ERR_EXECUTION_DEPTH', [child.path, parent.depth + 1, MAX_DEPTH])
      }
      const plan = await planOf(child)
      const about = { executionId: id, parentExecutionId: parent.executionId }
      await engine.start({
        ...about,
        plan,
        workload: workloadOf(plan.playbook.workload, child.payload, {
          ...about,
          now: new Date().toISOString(),
          env: templateEnv,
        }),
        meta: { depth: parent.depth + 1 },
        ...(parent.trace === undefined ? {} : { trace: childTrace(id, parent.trace) }),
        ...(child.lane === undefined ? {} : { lane: child.lane }),
      })
    } catch (error) {
      if (!isNoetlError(error) || error.statusCode >= 500) throw error
      await engine.childEnded(parent.executionId, id, callError(error.code, error.message))
      return
    }
    // Cancelled in between: those who cancelled it did not see this child yet.
    const row = await store.loadExecution(parent.executionId)
    if (row?.status === 'CANCELLED') await engine.cancel(id, `execution ${parent.executionId} was cancelled`)
  }

  async function planOf(child: Child): Promise<Plan> {
    const entry = await store.getCatalogEntry({
      path: child.path,
      ...(child.version === null ? {} : { version: child.version }),
    })
    if (entry === undefined) throw makeError('NOETL_ERR_PLAYBOOK_NOT_FOUND', [shownName(child.path), ''])
    return plans.byId(entry.catalog_id)
  }

  async function giveUp(wait: Wait): Promise<void> {
    const error: CallError = {
      ...callError(
        'NOETL_ERR_EXECUTION_CHILD',
        makeError('NOETL_ERR_EXECUTION_CHILD', [wait.child_execution_id, wait.path ?? '', 'took too long'])
          .message,
      ),
      kind: 'timeout',
      retryable: true,
    }
    await engine.childEnded(wait.execution_id, wait.child_execution_id, error)
    if (wait.status === 'RUNNING')
      await engine.cancel(wait.child_execution_id, 'it took longer than its caller waits')
  }

  return {
    begin(parent, children) {
      for (const { child_execution_id, event_id: _event, ...child } of children) {
        start(parent, child_execution_id, child).catch((err) =>
          log.warn(
            { err, execution_id: child_execution_id },
            'a child could not be started; upkeep will try again',
          ),
        )
      }
    },

    ended(executionId, parentExecutionId) {
      engine.childEnded(parentExecutionId, executionId, null).catch((err) => {
        if (isNoetlError(err) && err.code === 'NOETL_ERR_EXECUTION_NOT_FOUND') return
        log.warn(
          { err, execution_id: parentExecutionId },
          'a parent could not be told; upkeep will try again',
        )
      })
    },

    async look(wait) {
      const ended = wait.status !== null && wait.status !== 'RUNNING'
      if (wait.late && !ended) return giveUp(wait)
      if (wait.status === null) {
        const [event] = await store.loadEvents(wait.execution_id, [wait.event_id])
        const child = event?.context?.child as unknown as Child | undefined
        const parent = await store.loadExecution(wait.execution_id)
        if (child === undefined || parent === undefined) return
        const { depth = 0, trace } = parent.state
        const about = { executionId: wait.execution_id, depth, ...(trace === undefined ? {} : { trace }) }
        return start(about, wait.child_execution_id, child)
      }
      await engine.childEnded(wait.execution_id, wait.child_execution_id, null)
    },
  }
}

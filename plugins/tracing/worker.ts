import { commandTraceparent, type WorkerGateway } from '@noetl/core'
import type { Spans } from './export.ts'

/** A span for each attempt of a command, and one for each call of a tool in it. */
export function aboutWorker(noetl: WorkerGateway, spans: Spans): void {
  noetl.listen('noetl:command', (fact) => {
    const { phase, trace, execution_id, command_id, step, kind, attempt, status, seconds = 0 } = fact
    if (phase === 'begun' || trace === undefined) return
    spans.tell({
      name: `step ${step}`,
      kind: 'consumer',
      traceparent: commandTraceparent(trace, command_id, attempt),
      parent: trace.traceparent.slice(36, 52),
      ...{ link: trace.link, seconds },
      attributes: {
        'noetl.execution_id': execution_id,
        'noetl.command_id': command_id,
        'noetl.step': step,
        'noetl.tool_kind': kind,
        'noetl.attempt': attempt,
        'noetl.worker': noetl.config.name,
        ...(status === undefined ? {} : { 'noetl.status': status }),
      },
      error: status === 'error' || status === 'aborted' ? status : undefined,
    })
  })

  noetl.listen('noetl:call', (fact) => {
    const { traceparent, parent_span, execution_id, command_id, step, task, kind, status, error, seconds } =
      fact
    if (traceparent === undefined) return
    spans.tell({
      name: `${kind} ${task}`,
      kind: 'internal',
      ...{ traceparent, parent: parent_span, seconds },
      attributes: {
        'noetl.execution_id': execution_id,
        'noetl.command_id': command_id,
        'noetl.step': step,
        'noetl.task': task,
        'noetl.tool_kind': kind,
        'noetl.status': status,
        ...(error === undefined ? {} : { 'error.type': error }),
      },
      error,
    })
  })
}
